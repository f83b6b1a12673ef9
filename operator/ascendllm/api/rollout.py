"""How a new revision gets traffic: `spec.rollout`."""

from __future__ import annotations

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import Duration

__all__ = ["Rollout"]


class Rollout(ResourceModel):
    """How a new revision gets traffic."""

    gate: bool = True
    """Only a revision whose every check has passed gets traffic."""

    progress_deadline: Duration = "30m"
    """How long a revision may take until its pods are ready."""
