"""What parity is asked to do."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from ascendllm.api.checks.reference import Reference
from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import cel, rules

__all__ = ["ParityCheck", "ParityThresholds"]

_ONE = "give at least one threshold, or remove thresholds: the reference's control run has its own"


class ParityThresholds(ResourceModel):
    """How far the model may be from the reference; the control run's figures where unset."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.minRankAgreement) || has(self.maxPerplexityDifference) || "
                "has(self.maxMeanLogprobDifference) || has(self.maxP99LogprobDifference)",
                _ONE,
            )
        )
    )

    min_rank_agreement: Annotated[float, Field(ge=0, le=100)] | None = None
    """Percent of the reference's tokens that must be the model's first choice too."""

    max_perplexity_difference: Annotated[float, Field(ge=0, le=100)] | None = None
    """How far the perplexity may be from the reference's, in percent of it."""

    max_mean_logprob_difference: Annotated[float, Field(ge=0, le=1000)] | None = None
    """The largest mean difference of the tokens' log-probabilities, in nat."""

    max_p99_logprob_difference: Annotated[float, Field(ge=0, le=1000)] | None = None
    """The largest 99th percentile of those differences, in nat."""

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(_ONE)
        return self


class ParityCheck(ResourceModel):
    """The model's log-probabilities against those of a reference."""

    reference: Reference
    """What `ascendllm parity record` wrote."""

    thresholds: ParityThresholds | None = None
    """Bounds of one's own; those of the reference's control run when unset."""
