"""The proof that a resource asks for: its checks, and where their jobs run."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import Duration, KeyValue, Quantity, cel, rules
from ascendllm.api.sources import DataSource

__all__ = [
    "Baseline",
    "BenchCheck",
    "JobSettings",
    "MmluCheck",
    "SmokeCheck",
    "Toleration",
    "Validation",
]


class SmokeCheck(ResourceModel):
    """The server answers, in the right shapes, under the right name."""


class BenchCheck(ResourceModel):
    """Throughput and latency in a closed loop, with the definitions of `vllm bench serve`."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.requests >= self.concurrency",
                "requests must be at least concurrency, or that many are never in flight: raise "
                "requests or lower concurrency",
                path=".requests",
            )
        )
    )

    input_tokens: Annotated[int, Field(ge=1, le=1_048_576)] = 128
    """Tokens of each prompt, as the server counts."""

    output_tokens: Annotated[int, Field(ge=2, le=1_048_576)] = 128
    """Tokens of each answer."""

    concurrency: Annotated[int, Field(ge=1, le=4096)] = 4
    """Requests in flight."""

    requests: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Requests in all."""

    @model_validator(mode="after")
    def _enough_requests(self) -> Self:
        if self.requests < self.concurrency:
            raise ValueError(
                f"requests {self.requests} must be at least concurrency {self.concurrency}, or "
                "that many are never in flight: raise requests or lower concurrency"
            )
        return self


class Baseline(ResourceModel):
    """The published figure that the model is held against."""

    value: Annotated[float, Field(ge=0, le=100)]
    """The accuracy in percent."""

    average: Literal["macro", "micro"]
    """macro: the mean of the subjects' accuracies; micro: over all questions."""

    source: Annotated[str, Field(max_length=256)] | None = None
    """Where the figure was published."""


class MmluCheck(ResourceModel):
    """MMLU by the letters' log-probabilities, as lm-eval asks it (protocol lmEval)."""

    shots: Annotated[int, Field(ge=0, le=5)] = 5
    """Solved examples before each question."""

    data: DataSource | None = None
    """The data set; the operator's own when unset."""

    baseline: Baseline | None = None
    """The figure to hold the model against; without one, reaching a figure passes."""

    tolerance: Annotated[float, Field(ge=0, le=100)] = 1.0
    """How many percent points below the baseline still pass."""


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


class Validation(ResourceModel):
    """The proof that is asked for, check by check, in the order smoke, bench, mmlu."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.smoke) || has(self.bench) || has(self.mmlu)",
                # `smoke:` without a value is null to YAML, and the API server drops nulls: a proof
                # that was meant to be asked for must not be missing in silence.
                "ask for at least one check, such as smoke: {} (with the braces), or remove "
                "validation",
            )
        )
    )

    smoke: SmokeCheck | None = None
    """The server answers, in the right shapes, under the right name."""

    bench: BenchCheck | None = None
    """Throughput and latency."""

    mmlu: MmluCheck | None = None
    """Accuracy against a baseline."""

    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a check that reached no verdict (Error) is run again."""

    timeout: Duration = "6h"
    """How long one run of a check may take."""

    job: JobSettings | None = None
    """Where and with what the jobs run."""

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if self.smoke is None and self.bench is None and self.mmlu is None:
            raise ValueError(
                "ask for at least one check, such as smoke: {} (with the braces), or remove it"
            )
        return self
