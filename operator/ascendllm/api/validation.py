"""The proof that a resource asks for: its checks (`ascendllm.api.checks`) and when they run."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ascendllm.api.checks.bench import BenchCheck
from ascendllm.api.checks.dummy import DummyCheck
from ascendllm.api.checks.evals import Evals, require_unique
from ascendllm.api.checks.mmlu import MmluCheck
from ascendllm.api.checks.parity import ParityCheck
from ascendllm.api.checks.smoke import SmokeCheck
from ascendllm.api.cron import CronSchedule
from ascendllm.api.job import JobSettings
from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import Duration, cel, rules

__all__ = ["Validation"]

_ASK = "ask for at least one check, such as smoke: {} (with the braces), or remove validation"


class Validation(ResourceModel):
    """The proof that is asked for, in the order dummy, smoke, bench, mmlu, evals, parity."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.dummy) || has(self.smoke) || has(self.bench) || has(self.mmlu) || "
                "has(self.evals) || has(self.parity)",
                # `smoke:` without a value is null to YAML, and the API server drops nulls: a proof
                # that was meant to be asked for must not be missing in silence.
                _ASK,
            )
        )
    )

    dummy: DummyCheck | None = None
    """Before the model is loaded: the engine runs its architecture. A pod with random weights
    (--load-format dummy) must answer, or the model's own are never loaded."""

    smoke: SmokeCheck | None = None
    """The server answers, in the right shapes, under the right name."""

    bench: BenchCheck | None = None
    """Throughput and latency."""

    mmlu: MmluCheck | None = None
    """Accuracy against a baseline."""

    evals: Annotated[Evals, AfterValidator(require_unique)] | None = None
    """Tasks of lm-eval, which lm-eval itself runs."""

    parity: ParityCheck | None = None
    """Token by token against a reference."""

    schedule: CronSchedule | None = None
    """When all checks run again, as cron has it: minute, hour, day of the month, month, day of the
    week, in UTC. Only after changes when unset."""

    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a check that reached no verdict (Error) is run again."""

    timeout: Duration = "6h"
    """How long one run of a check may take."""

    job: JobSettings | None = None
    """Where and with what the jobs run."""

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not any((self.dummy, self.smoke, self.bench, self.mmlu, self.evals, self.parity)):
            raise ValueError(_ASK)
        return self
