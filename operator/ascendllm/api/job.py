"""Where, and with what, the validation jobs run."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import KeyValue, Quantity, cel, parse_quantity, rules

__all__ = ["OVERCOMMITTED", "JobSettings", "Resources", "Toleration"]

OVERCOMMITTED = ("cpu", "memory", "ephemeral-storage")
"""Resources of which less may be requested than is the limit; all others are countable things."""


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


_MORE_REQUESTED = (
    "a request is above its limit: lower the request, or raise the limit; what is neither cpu, "
    "memory nor ephemeral-storage must be requested as it is limited"
)


class Resources(ResourceModel):
    """Compute resources, as in a container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.requests) || !has(self.limits) || self.requests.all(name, "
                "!(name in self.limits) || "
                "quantity(self.requests[name]).compareTo(quantity(self.limits[name])) == 0 || "
                "(name in ['cpu', 'memory', 'ephemeral-storage'] && "
                "quantity(self.requests[name]).compareTo(quantity(self.limits[name])) < 0))",
                _MORE_REQUESTED,
            )
        )
    )

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] | None = None
    """What is reserved."""
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] | None = None
    """What is not exceeded."""

    @model_validator(mode="after")
    def _requests_within_limits(self) -> Self:
        for name, limit in (self.limits or {}).items():
            requested, most = (self.requests or {}).get(name, limit), parse_quantity(limit)
            value = parse_quantity(requested)
            if value > most or (value < most and name not in OVERCOMMITTED):
                raise ValueError(f"{name}: {_MORE_REQUESTED} ({requested} of {limit})")
        return self


class JobSettings(ResourceModel):
    """Where and with what the validation jobs run; they need no NPU."""

    resources: Resources | None = None
    """The job container's resources; requests of 500m and 256Mi, a limit of 1Gi when unset."""

    node_selector: Annotated[dict[str, KeyValue], Field(max_length=32)] | None = None
    """Labels of the nodes that may run the jobs."""

    tolerations: Annotated[list[Toleration], Field(max_length=32)] | None = None
    """Taints that the jobs tolerate."""
