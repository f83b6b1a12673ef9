"""How long and how often a request is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["FIRST_CONTACT", "RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a request is tried again.

    Args:
        attempts: The most requests for one answer.
        first: Seconds before the second attempt; doubled each time, with up to half as jitter.
        longest: The most seconds between two attempts, a server's Retry-After included.
    """

    attempts: int = 6
    first: float = 0.5
    longest: float = 10.0

    def pause(self, attempt: int, retry_after: float | None = None) -> float:
        """Seconds to wait after attempt number `attempt`, from 1."""
        pause = min(self.first * 2.0 ** (attempt - 1), self.longest)
        pause *= 1 + random.random() / 2  # noqa: S311 - jitter, no secret
        return min(max(pause, retry_after or 0.0), max(self.longest, pause))


FIRST_CONTACT = RetryPolicy(attempts=8, first=0.5, longest=15.0)
"""About a minute: a cluster's DNS may deny a new headless Service's name for 30 s."""
