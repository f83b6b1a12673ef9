"""Which model is served: `spec.model`."""

from __future__ import annotations

from typing import Literal

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import ServedName
from ascendllm.api.sources import ModelSource

__all__ = ["Model"]


class Model(ResourceModel):
    """Which model is served."""

    source: ModelSource
    """Where the weights are."""

    served_name: ServedName | None = None
    """The name that clients ask for; the resource's own name when unset."""

    kind: Literal["base", "instruct"] = "base"
    """A base model is checked by completions, an instruct model by chat."""
