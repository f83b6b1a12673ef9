"""judge_bench over made-up figures."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ascendllm.checks.judging.bench import FIGURES, judge_bench, read_requests

NUMBERS = st.decimals(0, 10**6, places=2).map(float)
OWN = ("completed", "failed", "duration", "requestGoodput")
COMPARED = [name for name, known in FIGURES.items() if known.better and name not in OWN]
NAMES = st.sampled_from(COMPARED)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


def run_of(**figures: Any) -> dict[str, Any]:
    """A run of these figures; `longContext.ttftMs` is one within longContext."""
    prefix = "longContext."
    within = {key.removeprefix(prefix): v for key, v in figures.items() if key.startswith(prefix)}
    plain = {key: value for key, value in figures.items() if not key.startswith(prefix)}
    run = {"completed": 10, "failed": 0, "duration": 5.0, "longContext": {}} | plain
    return run | ({"longContext": within} if within else {})


@given(NAMES, NUMBERS, NUMBERS)
def test_min_and_max_split_the_numbers(name: str, value: float, bound: float) -> None:
    run = run_of(**{name: value})
    least = judge_bench(run, thresholds={name: {"min": bound}}).result
    most = judge_bench(run, thresholds={name: {"max": bound}}).result
    assert least == ("Passed" if value >= bound else "Failed")
    assert most == ("Passed" if value <= bound else "Failed")


@given(NAMES, NUMBERS, NUMBERS, st.integers(0, 100))
def test_a_regression_is_the_same_as_by_hand(
    name: str, before: float, after: float, tolerance: int
) -> None:
    judged = judge_bench(
        run_of(**{name: after}),
        regression={"figures": [name], "tolerance": tolerance},
        previous=run_of(**{name: before}),
    )
    old, new = Decimal(str(before)), Decimal(str(after))
    edge = old * tolerance / 100
    lower = FIGURES[name].better == "lower"
    worse = new > old + edge if lower else new < old - edge
    assert judged.result == ("Failed" if worse else "Passed")


@given(NAMES, NUMBERS, st.integers(0, 100))
def test_a_run_is_no_regression_of_itself(name: str, value: float, tolerance: int) -> None:
    run = run_of(**{name: value})
    asked = {"figures": [name], "tolerance": tolerance}
    assert judge_bench(run, regression=asked, previous=run).result == "Passed"


@given(st.lists(st.tuples(NUMBERS, NUMBERS | st.none(), NUMBERS), min_size=1, max_size=20), NUMBERS)
def test_goodput_grows_with_the_objective(
    rows: list[tuple[float, float | None, float]], limit: float
) -> None:
    run = run_of(completed=len(rows))
    text = str([list(row) for row in rows]).replace("None", "null")
    requests = read_requests(text)
    found = []
    for objective in (limit + 1, limit + 2, 10**7):
        asked = {"ttftMs": objective, "tpotMs": objective, "e2elMs": objective}
        goodput: Any = judge_bench(run, goodput=asked, requests=requests).figures["requestGoodput"]
        found.append(goodput)
    assert found == sorted(found)
    assert math.isclose(found[-1], len(rows) / 5, abs_tol=0.005)


@given(
    st.dictionaries(st.sampled_from([*COMPARED, "sweep", "result", "longContext"]), JSON),
    st.dictionaries(st.text(max_size=9) | NAMES, st.dictionaries(st.text(max_size=4), JSON)),
    st.none() | st.dictionaries(st.sampled_from(["tolerance", "figures"]), JSON),
    st.none() | st.dictionaries(NAMES | st.just("sweep"), JSON),
)
def test_anything_ends_in_a_judgement(
    figures: dict[str, Any],
    thresholds: dict[str, Any],
    regression: dict[str, Any] | None,
    other: dict[str, Any] | None,
) -> None:
    for run in (figures, run_of(**figures)):
        judged = judge_bench(
            run, thresholds=thresholds, regression=regression, previous=other, compare_to=other
        )
        assert judged.result in ("Passed", "Failed", "Error", "Inconclusive", "Skipped")
        assert judged.reason
