"""What smoke found."""

from __future__ import annotations

from ascendllm.api.model import ResourceModel
from ascendllm.api.status.check import CheckOutcome, CheckStatus

__all__ = ["SmokeItem", "SmokeStatus"]


class SmokeItem(ResourceModel):
    """One thing that smoke looked at."""

    name: str
    """What was looked at."""
    result: CheckOutcome
    """Passed, Failed, Error or Skipped."""
    latency_ms: float | None = None
    """How long the answer took, in ms."""
    expected: str | None = None
    """What was expected, where it was not seen."""
    seen: str | None = None
    """What was seen instead."""


class SmokeStatus(CheckStatus):
    """The server answers, in the right shapes, under the right name."""

    checks: list[SmokeItem] | None = None
    """Each thing that was looked at."""
