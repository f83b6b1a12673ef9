"""What parity found."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ascendllm.api.model import ResourceModel
from ascendllm.api.status.check import CheckStatus

__all__ = ["FirstDivergence", "ParityBounds", "ParityStatus"]


class FirstDivergence(ResourceModel):
    """Where the model, left to itself, first writes another token than the reference."""

    diverged: int | None = None
    """Prompts whose answers differ."""
    earliest: int | None = None
    """The first such token's place, from 0, in the prompt that differs soonest."""
    median: float | None = None
    """The median of those places."""


class ParityBounds(ResourceModel):
    """What the figures were held against."""

    min_rank_agreement: float | None = None
    """The least rankAgreement, in percent."""
    max_perplexity_difference: float | None = None
    """The largest perplexityDifference either way, in percent."""
    max_mean_logprob_difference: float | None = None
    """The largest meanLogprobDifference, in nat."""
    max_p99_logprob_difference: float | None = None
    """The largest p99LogprobDifference, in nat."""


class ParityStatus(CheckStatus):
    """Token by token against a reference."""

    prompts: int | None = None
    """Prompts compared."""
    tokens: int | None = None
    """Tokens compared."""
    rank_agreement: float | None = None
    """Percent of the reference's tokens that are the model's first choice too."""
    first_divergence: FirstDivergence | None = None
    """Where answers first differ."""
    diverged_beyond_noise: int | None = None
    """Prompts whose answers differ where the reference's choice was clear."""
    perplexity: float | None = None
    """The model's perplexity over the reference's text."""
    reference_perplexity: float | None = None
    """The reference's own."""
    perplexity_difference: float | None = None
    """How far the two are apart, in percent of the reference's."""
    perplexity_precision: float | None = None
    """How exactly that difference is known, in percent."""
    perplexity_tokens: int | None = None
    """Tokens of the text that the perplexity is of."""
    mean_logprob_difference: float | None = None
    """Mean difference of the tokens' log-probabilities, in nat."""
    p99_logprob_difference: Annotated[float | None, Field(alias="p99LogprobDifference")] = None
    """The 99th percentile of it."""
    max_logprob_difference: float | None = None
    """The largest of it."""
    reference_hash: str | None = None
    """The hash over the reference."""
    thresholds_from: str | None = None
    """spec, or control: the reference's own run against itself."""
    thresholds: ParityBounds | None = None
    """The bounds that were in force."""
