"""The statistics of a comparison with a reference, by hand and by simulation."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, pairwise
from statistics import fmean, stdev

import pytest

from ascendllm.checks.mmlu.looks import LOOKS, looks, order, selected
from ascendllm.checks.mmlu.paired import Flips, Paired, compare, count_flips, mcnemar, shifted
from ascendllm.checks.mmlu.sequential import decide

SIZES = (
    "100 135 152 100 265 144 100 100 100 173 102 100 235 114 145 378 126 100 310 203 100 165 198 "
    "193 390 270 238 151 545 216 204 237 223 131 121 108 163 112 103 234 100 783 346 895 306 311 "
    "324 282 1534 272 612 110 245 201 100 166 171"
)
"""Questions of the 57 subjects, in order of their names."""

MMLU = {f"s{number:02}": int(size) for number, size in enumerate(SIZES.split())}


def test_the_looks_of_mmlu() -> None:
    assert (len(MMLU), sum(MMLU.values())) == (57, 14042)
    assert [sum(look.values()) for look in looks(MMLU)] == [570, 1140, 2280, 4560, 14042]


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ({"a": 3}, [{"a": 3}]),
        ({"a": 15, "b": 25}, [{"a": 10, "b": 10}, {"a": 15, "b": 20}, {"a": 15, "b": 25}]),
        ({"a": 80}, [{"a": 10}, {"a": 20}, {"a": 40}, {"a": 80}]),
    ],
)
def test_a_look_that_adds_nothing_is_left_out(
    sizes: dict[str, int], wanted: list[dict[str, int]]
) -> None:
    assert looks(sizes) == wanted


def test_the_order_is_one_for_all_times() -> None:
    """Another order would make a run that goes on from a checkpoint ask other questions."""
    assert order("anatomy", 10) == [5, 4, 6, 3, 2, 9, 1, 8, 7, 0]
    assert sorted(order("anatomy", 135)) == list(range(135))
    assert order("anatomy", 10) != order("astronomy", 10)
    assert order("anatomy", 10, seed=1) != order("anatomy", 10)


def test_each_look_holds_the_one_before_it() -> None:
    taken = [selected(MMLU, look) for look in looks(MMLU)]
    for before, after in pairwise(taken):
        assert all(set(before[s]) < set(after[s]) for s in MMLU if MMLU[s] > LOOKS[-1])
    assert all(list(range(n)) == taken[-1][s] for s, n in MMLU.items())


def test_a_comparison_by_hand() -> None:
    before = [True, True, True, False, False]
    now = [True, False, False, True, False]
    assert count_flips(before, now, 50) == Flips(worse=2, better=1, asked=5, questions=50)
    found = compare(
        {
            "a": Flips(worse=2, better=1, asked=5, questions=50),
            "b": Flips(worse=0, better=0, asked=20, questions=30),
        }
    )
    assert found.delta == Fraction(100 * -1, 5) / 2
    # f = (3 + 2) / (25 + 4); Var = (f/5 * 45/49 + f/20 * 10/29) / 4
    rate = 5 / 29
    error = 100 * math.sqrt((rate / 5 * 45 / 49 + rate / 20 * 10 / 29) / 4)
    assert found.error == pytest.approx(error, rel=1e-12)
    assert found.to_json() == {
        "questions": 25,
        "better": 1,
        "worse": 2,
        "flipRate": 12.0,
        "delta": -10.0,
        "lower": round(-10 - 2.5 * error, 2),
        "upper": round(-10 + 2.5 * error, 2),
        "mcnemarP": 1.0,
    }


@pytest.mark.parametrize(("asked", "points"), [(10, 0.41), (20, 0.28), (40, 0.18), (100, 0.08)])
def test_the_standard_errors_that_the_plan_was_made_with(asked: int, points: float) -> None:
    """The table for a flip rate of 1 %: 0.41, 0.28, 0.18, 0.08 points."""
    flips = {s: Flips(0, 0, min(asked, n), n) for s, n in MMLU.items()}
    smoothed = compare(flips).error
    total = sum(f.asked for f in flips.values())
    assert smoothed * math.sqrt(0.01 / (2 / (total + 4))) == pytest.approx(points, abs=0.006)


def test_with_all_questions_there_is_nothing_left_to_estimate() -> None:
    found = compare({"a": Flips(3, 1, 7, 7), "b": Flips(0, 0, 1, 1)})
    assert found.exact
    assert (
        found.to_json()["delta"] == found.to_json()["lower"] == found.to_json()["upper"] == -14.29
    )


@pytest.mark.parametrize(
    ("worse", "better", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (8, 2, 0.109375), (3, 3, 1.0), (10, 4, 0.1795654)],
)
def test_mcnemar_by_the_table(worse: int, better: int, p: float) -> None:
    assert mcnemar(worse, better) == pytest.approx(p, abs=1e-7)
    assert mcnemar(better, worse) == mcnemar(worse, better)


def test_mcnemar_of_thousands_of_flips_is_a_number() -> None:
    assert 0 <= mcnemar(7021, 7021 - 300) < 0.02
    assert mcnemar(14042, 0) == 0.0


def test_subjects_beyond_three_standard_errors_are_named() -> None:
    flips = {f"s{n}": Flips(1, 1, 100, 100) for n in range(20)}
    flips |= {"worst": Flips(12, 0, 100, 100), "best": Flips(1, 11, 100, 100)}
    assert shifted(flips) == [
        "worst -12.00 (12 worse, 0 better of 100)",
        "best +10.00 (1 worse, 11 better of 100)",
    ]
    assert shifted({"a": Flips(0, 0, 10, 100)}) == []


@pytest.mark.parametrize(
    ("delta", "error", "result"),
    [
        (Fraction(0), 0.39, "Passed"),
        (Fraction(0), 0.41, None),
        (Fraction(-2), 0.39, "Failed"),
        (Fraction(-2), 0.41, None),
        (Fraction(-1), 0.01, None),
        (Fraction(-1), 0.0, "Passed"),
        (Fraction(-1004, 1000), 0.0, "Passed"),
        (Fraction(-1005, 1000), 0.0, "Failed"),
    ],
)
def test_the_bounds_decide(delta: Fraction, error: float, result: str | None) -> None:
    """At z = 2.5; with all questions the written difference decides, in decimals."""
    assert decide(Paired(delta, error, 5, 5, 100, 1.0), Decimal(1)) == result


RUNS = 600
PUBLISHED_RUNS = 3000
TABLE = [
    # flips in %, true drop in points, P(pass), mean n, share of verdicts unlike the full run's
    (1, 0.0, 1.000, 1170, 0.0),
    (2, 0.0, 1.000, 1835, 0.0),
    (2, 0.5, 1.000, 6115, 0.0003),
    (1, 1.0, 0.529, 12690, 0.012),
    (2, 1.5, 0.001, 6271, 0.001),
    (2, 2.0, 0.000, 1876, 0.0),
    (5, 0.0, 1.000, 4152, 0.0),
    (5, 5.0, 0.000, 572, 0.0),
]


@pytest.mark.parametrize(("flips", "drop", "passes", "questions", "unlike"), TABLE)
def test_the_stated_error_rates_are_met(
    flips: float, drop: float, passes: float, questions: int, unlike: float
) -> None:
    """The plan's table, made of 3000 runs, within four Monte-Carlo standard errors of both."""
    rng = random.Random(f"{flips} {drop}")
    runs = [simulated(rng, flips / 100, drop / 100) for _ in range(RUNS)]
    assert fmean(run[0] for run in runs) == near(passes)
    assert fmean(run[0] != run[2] for run in runs) == near(unlike)
    asked = [run[1] for run in runs]
    width = stdev(asked) * math.sqrt(1 / RUNS + 1 / PUBLISHED_RUNS)
    assert fmean(asked) == pytest.approx(questions, abs=4 * width + 1)


def near(share: float) -> object:
    """A share that was counted, within four standard errors (a rare one's share is smoothed)."""
    smoothed = (share * PUBLISHED_RUNS + 1) / (PUBLISHED_RUNS + 2)
    error = math.sqrt(smoothed * (1 - smoothed) * (1 / RUNS + 1 / PUBLISHED_RUNS))
    return pytest.approx(share, abs=4 * error)


def simulated(rng: random.Random, flips: float, drop: float) -> tuple[bool, int, bool]:
    """Whether a run passes, the questions that it asked, and whether the full run passes.

    Each question flips with the probability `flips`, so much oftener to wrong that the mean
    difference is `-drop`; the order of the looks is as random as the flips' places.
    """
    at = flipped(rng, flips, (flips + drop) / 2 / flips)
    verdicts = []
    for look in looks(MMLU):
        found = compare({s: counted(at[s], look[s], MMLU[s]) for s in MMLU})
        verdicts.append((decide(found, Decimal(1)), found.asked))
        if verdicts[-1][0] is not None:
            break
    whole = decide(compare({s: counted(at[s], n, n) for s, n in MMLU.items()}), Decimal(1))
    result, asked = verdicts[-1]
    return result == "Passed", asked, whole == "Passed"


def counted(at: list[tuple[int, bool]], taken: int, questions: int) -> Flips:
    worse = [is_worse for place, is_worse in at if place < taken]
    return Flips(sum(worse), len(worse) - sum(worse), taken, questions)


def flipped(rng: random.Random, flips: float, worse: float) -> Mapping[str, list[tuple[int, bool]]]:
    """By subject the place of each flip in the looks' order, and whether it is to wrong."""
    at: dict[str, list[tuple[int, bool]]] = {subject: [] for subject in MMLU}
    names, starts = list(MMLU), [0, *accumulate(MMLU.values())]
    for place in successes(rng, flips, starts[-1]):
        number = bisect_right(starts, place) - 1
        at[names[number]].append((place - starts[number], rng.random() < worse))
    return at


def successes(rng: random.Random, share: float, trials: int) -> Iterator[int]:
    """The places of the successes among Bernoulli trials, by the geometric gaps between them."""
    place = -1
    while (place := place + 1 + int(math.log(1 - rng.random()) / math.log(1 - share))) < trials:
        yield place
