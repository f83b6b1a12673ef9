"""The difference to a reference on the same questions, and what it decides.

Notation, by subject s of S: N_s questions in all, n_s of them looked at, b_s of these right in the
reference and wrong now ("worse"), c_s the reverse ("better").

    D_s   = (c_s - b_s) / n_s
    delta = (1/S) sum D_s                                    the paired macro difference
    f     = (sum (b_s + c_s) + 2) / (sum n_s + 4)            the pooled flip rate, smoothed
    Var   = (1/S^2) sum (f / n_s) (N_s - n_s) / (N_s - 1)    with the finite population's factor
    lower, upper = delta -/+ Z sqrt(Var)

The population is the whole set: with all questions asked the variance is 0 and delta is exact.
Passed where lower > -tolerance, Failed where upper < -tolerance, else more questions are needed.
The smoothing keeps f above 0 while no answer has flipped (Agresti and Coull's plus-four rule).
McNemar's exact p is the two-sided binomial of (b; b + c, 1/2); it is shown and decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from ascendllm.checks.mmlu.looks import Z
from ascendllm.checks.result import rounded

__all__ = ["Flips", "Paired", "compare", "count_flips", "mcnemar", "shifted"]

SIGMAS = 3


@dataclass(frozen=True, slots=True)
class Flips:
    """A subject's flips.

    Args:
        worse: Right in the reference, wrong now.
        better: Wrong in the reference, right now.
        asked: Questions looked at.
        questions: Questions in all.
    """

    worse: int
    better: int
    asked: int
    questions: int

    @property
    def difference(self) -> Fraction:
        """From -1 to 1."""
        return Fraction(self.better - self.worse, self.asked)


@dataclass(frozen=True, slots=True)
class Paired:
    """The comparison over all subjects at one look.

    Args:
        delta: Macro difference in percent points, exact.
        error: The standard error of `delta` in percent points; 0 with all questions asked.
        worse: Over all subjects.
        better: Over all subjects.
        asked: Questions looked at.
        p_value: McNemar's.
    """

    delta: Fraction
    error: float
    worse: int
    better: int
    asked: int
    p_value: float

    @property
    def exact(self) -> bool:
        """Whether all questions were asked, so that there is nothing left to estimate."""
        return self.error == 0

    @property
    def bounds(self) -> tuple[float, float]:
        """The lower and the upper bound of the difference, percent points."""
        delta, reach = float(self.delta), Z * self.error
        return delta - reach, delta + reach

    @property
    def written_delta(self) -> Decimal:
        """The difference as it is written, to two decimals."""
        return Decimal(str(rounded(self.delta)))

    def to_json(self) -> dict[str, object]:
        """The figures, in percent and percent points."""
        lower, upper = self.bounds
        return {
            "questions": self.asked,
            "better": self.better,
            "worse": self.worse,
            "flipRate": rounded(Fraction(100 * (self.better + self.worse), self.asked)),
            "delta": rounded(self.delta),
            "lower": rounded(self.delta if self.exact else lower),
            "upper": rounded(self.delta if self.exact else upper),
            "mcnemarP": rounded(self.p_value, 4),
        }


def count_flips(before: Sequence[bool], now: Sequence[bool], questions: int) -> Flips:
    """Compare a subject's answers.

    Args:
        before: Whether the reference was right, of each question that was asked.
        now: Whether the answer is right, of the same questions in the same order; at least one.
        questions: Questions of the subject in all.
    """
    pairs = list(zip(before, now, strict=True))
    return Flips(
        worse=sum(then and not right for then, right in pairs),
        better=sum(right and not then for then, right in pairs),
        asked=len(pairs),
        questions=questions,
    )


def compare(subjects: Mapping[str, Flips]) -> Paired:
    """The comparison over all subjects.

    Args:
        subjects: At least one, each with at least one question asked.
    """
    worse = sum(flips.worse for flips in subjects.values())
    better = sum(flips.better for flips in subjects.values())
    asked = sum(flips.asked for flips in subjects.values())
    delta = sum((flips.difference for flips in subjects.values()), Fraction()) / len(subjects)
    rate = (worse + better + 2) / (asked + 4)
    variance = sum(rate * _left(flips) / flips.asked for flips in subjects.values())
    return Paired(
        delta=100 * delta,
        error=100 * math.sqrt(variance) / len(subjects),
        worse=worse,
        better=better,
        asked=asked,
        p_value=mcnemar(worse, better),
    )


def mcnemar(worse: int, better: int) -> float:
    """McNemar's exact two-sided p: how likely so uneven a split of the flips is by chance."""
    flips, fewer = worse + better, min(worse, better)
    if 2 * fewer == flips:
        return 1.0
    term, total = 1, 1
    for k in range(fewer):
        term = term * (flips - k) // (k + 1)
        total += term
    return float(min(Fraction(1), Fraction(2 * total, 2**flips)))


def shifted(subjects: Mapping[str, Flips]) -> list[str]:
    """The subjects that moved by more than three standard errors, the worst first.

    A subject's standard error is sqrt(f / n_s), with the pooled and smoothed flip rate f.
    """
    flips = sum(item.worse + item.better for item in subjects.values())
    rate = (flips + 2) / (sum(item.asked for item in subjects.values()) + 4)
    beyond = [
        name
        for name, item in subjects.items()
        if abs(item.difference) > SIGMAS * math.sqrt(rate / item.asked)
    ]
    return [
        f"{name} {rounded(100 * subjects[name].difference):+.2f} ({subjects[name].worse} worse, "
        f"{subjects[name].better} better of {subjects[name].asked})"
        for name in sorted(beyond, key=lambda name: (subjects[name].difference, name))
    ]


def _left(flips: Flips) -> float:
    """The finite population's factor (N - n) / (N - 1); a single question leaves nothing open."""
    return (flips.questions - flips.asked) / max(1, flips.questions - 1)
