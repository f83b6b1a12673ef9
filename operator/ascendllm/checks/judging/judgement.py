"""What judging a check's figures comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ascendllm.checks.result import Verdict

__all__ = ["Judgement"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the figures that belong to it.

    Args:
        result: Passed or Failed, or what kept a verdict from being reached.
        reason: CamelCase.
        message: The figures that decided, for people.
        figures: The keys of the status that follow from judging, to be laid over the measured
            ones, such as baseline, tolerance and delta.
    """

    result: Verdict
    reason: str
    message: str
    figures: Mapping[str, object]
