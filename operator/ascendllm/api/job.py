"""Where, and with what, the validation jobs run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import KeyValue, Quantity

__all__ = ["JobSettings", "Resources", "Toleration"]


class Toleration(ResourceModel):
    """A toleration, as in a pod."""

    key: Annotated[str, Field(max_length=317)] | None = None
    """The taint's key."""
    operator: Literal["Exists", "Equal"] | None = None
    """How key and value are compared."""
    value: KeyValue | None = None
    """The taint's value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; every effect when unset."""
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """How long a NoExecute taint is tolerated."""


class Resources(ResourceModel):
    """Compute resources, as in a container."""

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] | None = None
    """What is reserved."""
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] | None = None
    """What is not exceeded."""


class JobSettings(ResourceModel):
    """Where and with what the validation jobs run; they need no NPU."""

    resources: Resources | None = None
    """The job container's resources; requests of 500m and 256Mi, a limit of 1Gi when unset."""

    node_selector: Annotated[dict[str, KeyValue], Field(max_length=32)] | None = None
    """Labels of the nodes that may run the jobs."""

    tolerations: Annotated[list[Toleration], Field(max_length=32)] | None = None
    """Taints that the jobs tolerate."""
