"""How many replicas the load asks for: `spec.autoscaling`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import cel, rules

__all__ = ["Autoscaling"]

_MOST_REPLICAS = 1000

_MIN_ABOVE_MAX = "minReplicas is above maxReplicas: lower the first or raise the second"
_SHARE = "kvCacheUsage is a share of the cache: give a target of at most 1, such as 0.8"
_NO_WAKE = (
    "scaleToZero needs wakeQuery: with no pod there is no metric of vLLM, so something in front of "
    "it, such as the gateway, must tell that clients ask"
)
_NO_ZERO = "wakeQuery is what raises the model from zero: set scaleToZero to true, or remove it"


class Autoscaling(ResourceModel):
    """How many replicas the load asks for, between two bounds."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("self.minReplicas <= self.maxReplicas", _MIN_ABOVE_MAX, path=".minReplicas"),
            cel(
                "self.metric != 'kvCacheUsage' || double(self.target) <= 1.0",
                _SHARE,
                path=".target",
            ),
            cel("!self.scaleToZero || has(self.wakeQuery)", _NO_WAKE, path=".scaleToZero"),
            cel("self.scaleToZero || !has(self.wakeQuery)", _NO_ZERO, path=".wakeQuery"),
        )
    )

    min_replicas: Annotated[int, Field(ge=1, le=_MOST_REPLICAS)] = 1
    """The fewest replicas while there is work."""

    max_replicas: Annotated[int, Field(ge=1, le=_MOST_REPLICAS)]
    """The most replicas; each takes npu.count NPUs."""

    metric: Literal["queueDepth", "kvCacheUsage", "requestRate"]
    """What is held at the target: requests that wait for a place in the engine, the share of the KV
    cache that is in use (0 to 1), or requests answered a second."""

    target: Annotated[float, Field(gt=0, le=1_000_000)]
    """The metric's value that a replica should have, on average over the replicas."""

    scale_to_zero: bool = False
    """No replica while there is no work; needs KEDA. Only a model that has been proven goes to
    zero."""

    wake_query: (
        Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f]+$")] | None
    ) = None
    """A query of Prometheus that is above 0 while clients ask for the model, though no pod answers,
    such as the rate of the gateway's requests for its host."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for problem in _problems(self):
            raise ValueError(problem)
        return self


def _problems(autoscaling: Autoscaling) -> Iterator[str]:
    if autoscaling.min_replicas > autoscaling.max_replicas:
        yield f"minReplicas: {_MIN_ABOVE_MAX}"
    if autoscaling.metric == "kvCacheUsage" and autoscaling.target > 1:
        yield f"target: {_SHARE}"
    if autoscaling.scale_to_zero and autoscaling.wake_query is None:
        yield f"scaleToZero: {_NO_WAKE}"
    if not autoscaling.scale_to_zero and autoscaling.wake_query is not None:
        yield f"wakeQuery: {_NO_ZERO}"
