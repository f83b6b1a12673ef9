from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from ascendllm.checks.judging.bench import FIGURES, check_figure, judge_bench, read_requests
from ascendllm.checks.judging.bench_comparison import change_percent
from ascendllm.exceptions import CheckError, SpecError

RUN: dict[str, Any] = {
    "completed": 4,
    "failed": 0,
    "duration": 2.0,
    "concurrency": 4,
    "outputThroughput": 177.75,
    "meanTtftMs": 22.3,
    "meanTpotMs": 22.49,
    "p99E2elMs": 2879.12,
}
SWEEP = RUN | {
    "sweep": [
        {"concurrency": 1, "completed": 4, "meanTtftMs": 10.0, "outputThroughput": 50.0},
        {"concurrency": 4, "completed": 4, "meanTtftMs": 22.3, "outputThroughput": 177.75},
    ]
}
LATENCIES = "[[10.5,20,100],[11,21.25,110],[12,null,12],[300,20,400]]"


def test_nothing_asked_for_passes() -> None:
    verdict = judge_bench(RUN)
    assert (verdict.result, verdict.reason) == ("Passed", "Measured")
    assert verdict.message == (
        "outputThroughput 177.75, meanTtftMs 22.3, meanTpotMs 22.49 at concurrency 4; no bounds "
        "to hold them against"
    )
    assert verdict.figures == {}


@pytest.mark.parametrize(
    ("bounds", "result"),
    [
        ({"max": 22.3}, "Passed"),
        ({"max": 22.29}, "Failed"),
        ({"min": 22.3}, "Passed"),
        ({"min": 22.31}, "Failed"),
        ({"min": 1, "max": 100}, "Passed"),
        ({"min": None, "max": Decimal("22.3")}, "Passed"),
    ],
)
def test_bounds_belong_to_what_is_allowed(bounds: dict[str, Any], result: str) -> None:
    verdict = judge_bench(RUN, thresholds={"meanTtftMs": bounds})
    assert verdict.result == result
    assert verdict.reason == ("WithinBounds" if result == "Passed" else "ThresholdMissed")


def test_a_miss_is_told_with_figure_and_bound() -> None:
    verdict = judge_bench(RUN, thresholds={"meanTtftMs": {"max": 20}, "completed": {"min": 5}})
    assert verdict.message == ("missed: meanTtftMs 22.3 (at most 20), completed 4 (at least 5)")


def test_every_point_of_a_sweep_keeps_a_threshold() -> None:
    assert judge_bench(SWEEP, thresholds={"meanTtftMs": {"max": 22.3}}).result == "Passed"
    missed = judge_bench(SWEEP, thresholds={"outputThroughput": {"min": 51}})
    assert (missed.result, missed.reason) == ("Failed", "ThresholdMissed")
    assert "outputThroughput 50.0 at concurrency 1 (at least 51)" in missed.message


@pytest.mark.parametrize(
    ("run", "name", "told"),
    [
        (RUN, "meanItlMs", "meanItlMs, which this run lacks"),
        (RUN, "requestGoodput", "ask for goodput"),
        (RUN, "outputThroughputPerNpu", "--npus"),
        (RUN, "longContext.ttftMs", "set longContext"),
        (RUN | {"meanItlMs": "12"}, "meanItlMs", "lacks"),
        (RUN | {"meanItlMs": float("nan")}, "meanItlMs", "lacks"),
        (RUN | {"meanItlMs": True}, "meanItlMs", "lacks"),
        (SWEEP, "meanTpotMs", "lacks at concurrency 1"),
        (SWEEP | {"medianTtftMs": 3}, "medianTtftMs", "a sweep's points have no medianTtftMs"),
    ],
)
def test_a_threshold_on_what_is_missing_is_no_verdict(
    run: dict[str, Any], name: str, told: str
) -> None:
    verdict = judge_bench(run, thresholds={name: {"max": 10**9}})
    assert (verdict.result, verdict.reason) == ("Error", "FigureMissing")
    assert told in verdict.message


def test_figures_of_the_run_count_once_in_a_sweep() -> None:
    run = SWEEP | {"clientLagMs": 2.5, "longContext": {"ttftMs": 800.0}}
    bounds = {"clientLagMs": {"max": 3}, "longContext.ttftMs": {"max": 800}}
    assert judge_bench(run, thresholds=bounds).result == "Passed"


def test_an_unknown_figure_is_refused_with_near_ones() -> None:
    verdict = judge_bench(RUN, thresholds={"meanTTFTms": {"max": 1}})
    assert (verdict.result, verdict.reason) == ("Error", "UnknownFigure")
    assert "did you mean meanTtftMs" in verdict.message
    with pytest.raises(SpecError, match="known are completed"):
        check_figure("xyzzy")
    for name in FIGURES:
        check_figure(name)


@pytest.mark.parametrize("bounds", [{}, {"max": "fast"}, {"most": 3}, {"max": float("inf")}])
def test_a_threshold_that_is_none(bounds: dict[str, Any]) -> None:
    assert judge_bench(RUN, thresholds={"meanTtftMs": bounds}).reason == "BadThreshold"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"failed": 1}, "RequestsFailed"),
        ({"completed": 0}, "FigureMissing"),
        ({"completed": None}, "FigureMissing"),
        ({"duration": 0}, "FigureMissing"),
        ({"duration": "2"}, "FigureMissing"),
    ],
)
def test_a_run_that_is_no_bench(change: dict[str, Any], reason: str) -> None:
    verdict = judge_bench(RUN | change)
    assert (verdict.result, verdict.reason) == ("Error", reason)


@pytest.mark.parametrize("stored", ["Error", "Inconclusive", "Skipped"])
def test_a_stored_result_without_verdict_stays(stored: str) -> None:
    run = RUN | {"result": stored, "reason": "OtherTraffic", "message": "others asked"}
    verdict = judge_bench(run, thresholds={"meanTtftMs": {"max": 1}})
    assert (verdict.result, verdict.reason, verdict.message) == (
        stored,
        "OtherTraffic",
        "others asked",
    )


# Goodput


@pytest.mark.parametrize(
    ("objectives", "goodput"),
    [
        ({"ttftMs": 12}, 1.5),
        ({"ttftMs": 10.5}, 0.5),
        ({"tpotMs": 20}, 1.5),  # the answer of one token counts as 0
        ({"tpotMs": 20, "e2elMs": 100}, 1.0),
        ({"ttftMs": 12, "tpotMs": 21.25, "e2elMs": 110}, 1.5),
        ({"ttftMs": 1}, 0.0),
        ({"e2elMs": 400, "ttftMs": None}, 2.0),
    ],
)
def test_goodput(objectives: dict[str, Any], goodput: float) -> None:
    verdict = judge_bench(RUN, goodput=objectives, requests=read_requests(LATENCIES))
    assert verdict.figures == {"requestGoodput": goodput}


def test_a_threshold_on_goodput() -> None:
    asked: dict[str, Any] = {"goodput": {"ttftMs": 12}, "requests": read_requests(LATENCIES)}
    for least, result in ((1.5, "Passed"), (1.51, "Failed")):
        verdict = judge_bench(RUN, thresholds={"requestGoodput": {"min": least}}, **asked)
        assert verdict.result == result
        assert verdict.figures["requestGoodput"] == 1.5


def test_goodput_needs_all_requests() -> None:
    for requests in (None, read_requests("[]"), read_requests(LATENCIES)[:3]):
        verdict = judge_bench(RUN, goodput={"ttftMs": 1}, requests=requests)
        assert (verdict.result, verdict.reason) == ("Error", "FigureMissing")


def test_a_goodput_that_is_no_longer_asked_for_goes() -> None:
    run = RUN | {"requestGoodput": 1.5, "comparison": []}
    assert judge_bench(run).figures == {"requestGoodput": None, "comparison": None}
    verdict = judge_bench(run, thresholds={"requestGoodput": {"min": 1}})
    assert verdict.reason == "FigureMissing"


@pytest.mark.parametrize("objectives", [{"ttftMs": 0}, {"ttftMs": "x"}, {"itlMs": 4}])
def test_a_goodput_that_is_none(objectives: dict[str, Any]) -> None:
    verdict = judge_bench(RUN, goodput=objectives, requests=read_requests(LATENCIES))
    assert verdict.reason == "BadGoodput"


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[[1,2]]", "[[1,2,3,4]]", '[["1",2,3]]', "[[1,2,null]]", "[1]", "[[NaN,1,1]]"),
        "[" * 100_000,
        json.dumps([[1, 1, 1]] * 20_001),
    ],
)
def test_latencies_that_cannot_be_read(text: str) -> None:
    with pytest.raises(CheckError) as caught:
        read_requests(text)
    assert caught.value.reason == "RequestsUnreadable"


# Regression


@pytest.mark.parametrize(
    ("figure", "before", "after", "result"),
    [
        ("outputThroughput", 100.0, 90.0, "Passed"),
        ("outputThroughput", 100.0, 89.99, "Failed"),
        ("outputThroughput", 100.0, 500.0, "Passed"),
        ("meanTtftMs", 100.0, 110.0, "Passed"),
        ("meanTtftMs", 100.0, 110.01, "Failed"),
        ("meanTtftMs", 100.0, 1.0, "Passed"),
        ("meanTtftMs", 0.0, 0.01, "Failed"),
        ("meanTtftMs", 0.0, 0.0, "Passed"),
        ("meanTtftMs", 33.3, 36.63, "Passed"),  # 3.330000000000005 of 33.3 in floats
    ],
)
def test_a_regression_is_by_the_better_direction(
    figure: str, before: float, after: float, result: str
) -> None:
    verdict = judge_bench(
        RUN | {figure: after}, regression={"figures": [figure]}, previous=RUN | {figure: before}
    )
    assert verdict.result == result
    assert verdict.reason == ("WithinBounds" if result == "Passed" else "Regression")


def test_the_defaults_of_a_regression() -> None:
    verdict = judge_bench(RUN | {"meanTpotMs": 30.0}, regression={}, previous=RUN)
    assert verdict.reason == "Regression"
    assert "meanTpotMs 30.0 after 22.49 (+33.39 %)" in verdict.message
    assert "3 figures compared, tolerance 10 %" in verdict.message


def test_no_earlier_run_is_no_regression() -> None:
    verdict = judge_bench(RUN, regression={}, previous=None)
    assert (verdict.result, verdict.reason) == ("Passed", "Measured")
    assert "no earlier passed run" in verdict.message


@pytest.mark.parametrize(
    "before",
    [
        {"datasetHash": "sha256:1"},
        {"protocolNumber": 1},
        {"concurrency": 8},
        {"sweep": SWEEP["sweep"]},
    ],
)
def test_other_measurements_are_never_compared(before: dict[str, Any]) -> None:
    run = RUN | {"datasetHash": "sha256:2", "protocolNumber": 2, "outputThroughput": 1.0}
    verdict = judge_bench(run, regression={}, previous=RUN | before)
    assert verdict.result == "Passed"
    assert "not compared with the last passed run" in verdict.message


def test_sweeps_are_compared_at_the_same_concurrency() -> None:
    slower = SWEEP | {
        "concurrency": 1,
        "sweep": [SWEEP["sweep"][0] | {"outputThroughput": 40.0}, {"concurrency": 16}],
    }
    asked = {"figures": ["outputThroughput"]}
    verdict = judge_bench(slower, regression=asked, previous=SWEEP)
    assert verdict.reason == "Regression"
    assert "outputThroughput at concurrency 1 40.0 after 50.0 (-20.00 %)" in verdict.message
    none = SWEEP | {"sweep": [SWEEP["sweep"][0] | {"concurrency": 3}]}
    assert "none of the figures" in judge_bench(none, regression=asked, previous=SWEEP).message


@pytest.mark.parametrize(
    ("regression", "reason"),
    [
        ({"figures": ["speed"]}, "UnknownFigure"),
        ({"figures": ["meanItlMs"]}, "FigureMissing"),
        ({"figures": ["totalInputTokens"]}, "BadRegression"),
        ({"tolerance": -1}, "BadRegression"),
        ({"tolerance": "ten"}, "BadRegression"),
        ({"figures": "meanTtftMs"}, "BadRegression"),
    ],
)
def test_a_regression_that_cannot_be_judged(regression: dict[str, Any], reason: str) -> None:
    verdict = judge_bench(RUN | {"totalInputTokens": 5}, regression=regression, previous=RUN)
    assert (verdict.result, verdict.reason) == ("Error", reason)


def test_a_threshold_comes_before_a_regression() -> None:
    verdict = judge_bench(
        RUN | {"outputThroughput": 1.0},
        thresholds={"meanTtftMs": {"max": 1}},
        regression={},
        previous=RUN,
    )
    assert verdict.reason == "ThresholdMissed"
    assert "worse than the last passed run: outputThroughput 1.0 after 177.75" in verdict.message


# The before/after table


def test_seed_004s_table() -> None:
    """102 tokens/s before, 158 after; 9.6 ms a token before, 6.1 after."""
    run = RUN | {"outputThroughput": 158, "meanTpotMs": 6.1}
    verdict = judge_bench(run, compare_to={"outputThroughput": 102, "meanTpotMs": 9.6})
    assert verdict.figures["comparison"] == [
        {"figure": "outputThroughput", "before": 102.0, "after": 158.0, "changePercent": 54.9},
        {"figure": "meanTpotMs", "before": 9.6, "after": 6.1, "changePercent": -36.46},
    ]
    assert (verdict.result, verdict.reason) == ("Passed", "Measured")


def test_a_whole_result_is_compared_by_its_figures() -> None:
    other = {**RUN, "check": "bench", "result": "Passed", "seed": 5, "meanTtftMs": 0}
    rows: Any = judge_bench(RUN, compare_to=other).figures["comparison"]
    assert [row["figure"] for row in rows] == [name for name in FIGURES if name in RUN]
    ttft = next(row for row in rows if row["figure"] == "meanTtftMs")
    assert ttft["changePercent"] is None


def test_change_percent_of_nothing() -> None:
    assert change_percent(Decimal(0), Decimal(0)) == 0
    assert change_percent(Decimal(0), Decimal(1)) is None
