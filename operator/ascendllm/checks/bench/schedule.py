"""When requests are due, and how a load is split.

Source of the gaps: vLLM 0.18.0, benchmarks/serve.py (get_request): gamma distributed with shape
`burstiness` (1: a Poisson process; inf: constant), summed up, and without a ramp stretched so that
the last of n requests is due at n / rate. A ramp's rate follows the request's index.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

__all__ = ["RampUp", "due_times", "shares"]


@dataclass(frozen=True, slots=True)
class RampUp:
    """A rate that grows from the first request to the last.

    Args:
        strategy: Linear or exponential in the request's index.
        start_rps: Requests a second at the first.
        end_rps: At the last.
    """

    strategy: Literal["linear", "exponential"]
    start_rps: int
    end_rps: int

    def rate(self, index: int, total: int) -> float:
        """Requests a second at a request's index."""
        progress = index / max(total - 1, 1)
        if self.strategy == "linear":
            return self.start_rps + (self.end_rps - self.start_rps) * progress
        return float(self.start_rps * (self.end_rps / self.start_rps) ** progress)


def due_times(
    total: int, rate: float, burstiness: float, ramp_up: RampUp | None, rng: random.Random
) -> list[float]:
    """Seconds after the load's start at which each request is due; ascending.

    Args:
        total: Requests.
        rate: A second, finite; not used with a ramp.
        burstiness: Above 0; inf: constant gaps.
        ramp_up: A rate that grows.
        rng: Of the gaps.
    """

    def gap(index: int) -> float:
        now = rate if ramp_up is None else ramp_up.rate(index, total)
        if math.isinf(burstiness):
            return 1.0 / now
        return rng.gammavariate(burstiness, 1.0 / (now * burstiness))

    due = list(accumulate(gap(index) for index in range(total)))
    if ramp_up is None and due[-1] > 0:
        stretch = total / rate / due[-1]
        due = [moment * stretch for moment in due]
    return due


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """Split a whole number in proportion, by largest remainders; the sum is kept.

    No share is less than its weight where `total` is at least the weights' sum.
    """
    whole = sum(weights)
    split = [total * weight // whole for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for index in by_rest[: total - sum(split)]:
        split[index] += 1
    return split
