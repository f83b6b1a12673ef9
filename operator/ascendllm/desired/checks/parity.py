"""The call of `ascendllm validate parity`."""

from __future__ import annotations

from ascendllm.api.checks.parity import ParityCheck, ParityThresholds
from ascendllm.desired.checks.call import Call, number
from ascendllm.desired.checks.files import reference_file

__all__ = ["REFERENCE_KEY", "parity_call"]

REFERENCE_KEY = "reference.jsonl"
"""What `ascendllm parity record` writes."""


def parity_call(parity: ParityCheck) -> Call:
    """How many requests are in flight is the check's own matter: batches change the figures."""
    files = reference_file(parity.reference, REFERENCE_KEY)
    thresholds = parity.thresholds or ParityThresholds.model_construct()
    options = {
        "min-rank-agreement": thresholds.min_rank_agreement,
        "max-perplexity-difference": thresholds.max_perplexity_difference,
        "max-mean-logprob-difference": thresholds.max_mean_logprob_difference,
        "max-p99-logprob-difference": thresholds.max_p99_logprob_difference,
    }
    bounds = [f"--{name}={number(value)}" for name, value in options.items() if value is not None]
    return Call([*files.arguments, *bounds], files.mounted, files.env, scratch=files.scratch)
