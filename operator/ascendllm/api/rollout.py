"""How a new revision gets traffic: `spec.rollout`."""

from __future__ import annotations

from typing import Literal

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import Duration

__all__ = ["Rollout"]


class Rollout(ResourceModel):
    """How a new revision gets traffic."""

    strategy: Literal["Recreate", "BlueGreen"] = "Recreate"
    """Recreate ends the old revision's pods before the new one's start. BlueGreen keeps what serves
    until the new revision has taken its place, which needs as many NPUs once more."""

    gate: bool = True
    """Only a revision whose every check has passed gets traffic."""

    progress_deadline: Duration = "30m"
    """How long a revision may take until its pods are ready."""
