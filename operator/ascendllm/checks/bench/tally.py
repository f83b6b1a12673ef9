"""Distributions that merge exactly: how many values of each hundredth of a millisecond.

What is written of a latency has two decimals of a millisecond, so that is kept. Means, standard
deviations and percentiles follow from the counts alone, in whole numbers: the tallies of several
processes or pods, put together, give the very figures of one tally over all their values.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import accumulate, chain, pairwise
from typing import cast

from ascendllm.exceptions import CheckError

__all__ = ["UNITS_PER_SECOND", "Tally", "to_units"]

UNITS_PER_SECOND = 100_000
"""A unit is 0.01 ms."""

_UNITS_PER_MS = 100


def to_units(seconds: float) -> int:
    """Seconds as whole units."""
    return round(seconds * UNITS_PER_SECOND)


class Tally:
    """A multiset of latencies.

    Args:
        counts: How often each value, in units, came.
    """

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Counter[int] = Counter(counts or {})

    def add(self, units: Iterable[int]) -> None:
        """Take values in."""
        self.counts.update(units)

    def merge(self, other: Tally) -> None:
        """Take another tally's values in."""
        self.counts.update(other.counts)

    def __len__(self) -> int:
        return self.counts.total()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and self.counts == other.counts

    __hash__ = None  # type: ignore[assignment]  # it changes

    def mean_ms(self) -> Fraction:
        """The mean; of at least one value."""
        return Fraction(self._total(), len(self) * _UNITS_PER_MS)

    def std_ms(self) -> float:
        """The population's standard deviation (numpy's default)."""
        squares = sum(value * value * count for value, count in self.counts.items())
        spread = len(self) * squares - self._total() ** 2
        return math.sqrt(spread) / (len(self) * _UNITS_PER_MS)

    def percentile_ms(self, percent: int) -> Fraction:
        """As numpy's default (linear): the position is (n - 1) * percent / 100."""
        position = Fraction((len(self) - 1) * percent, 100)
        low = math.floor(position)
        below, above = self._at(low), self._at(min(low + 1, len(self) - 1))
        return (below + (above - below) * (position - low)) / _UNITS_PER_MS

    def _total(self) -> int:
        return sum(value * count for value, count in self.counts.items())

    def _at(self, index: int) -> int:
        """The value at a place in the sorted row."""
        passed = 0
        for value in sorted(self.counts):
            passed += self.counts[value]
            if passed > index:
                return value
        raise IndexError(index)

    def to_json(self) -> list[int]:
        """Flat pairs in order: the step from the value before, the count."""
        values = sorted(self.counts)
        steps = [later - earlier for earlier, later in pairwise([0, *values])]
        return list(
            chain.from_iterable(zip(steps, map(self.counts.__getitem__, values), strict=True))
        )

    @staticmethod
    def from_json(data: object) -> Tally:
        """Read what `to_json` made.

        Raises:
            CheckError: `ShardUnreadable`.
        """
        if (
            not isinstance(data, list)
            or len(data) % 2
            or not all(type(number) is int for number in data)
            or any(count < 1 for count in data[1::2])
            or any(step < 1 for step in data[2::2])
        ):
            raise CheckError("ShardUnreadable", "a tally is no list of steps and counts")
        numbers = cast("list[int]", data)
        return Tally(dict(zip(accumulate(numbers[::2]), numbers[1::2], strict=True)))
