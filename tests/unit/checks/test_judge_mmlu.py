from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ascendllm.checks.judging.mmlu import judge_mmlu

MEASURED: dict[str, Any] = {
    "macroAverage": 66.30,
    "microAverage": 65.40,
    "questions": 14042,
    "unanswered": 0,
    "standardErrors": {"macro": 0.48, "micro": 0.40},
}
BASELINE = {"value": 66.7, "average": "macro", "source": "Meta"}


def test_seed_000() -> None:
    verdict = judge_mmlu(MEASURED, BASELINE, Decimal("1.0"))
    assert (verdict.result, verdict.reason) == ("Passed", "WithinTolerance")
    assert verdict.message == (
        "macro average 66.30 against 66.7 (macro): -0.40 points, tolerance 1.0"
    )
    assert verdict.figures == {
        "baseline": 66.7,
        "baselineAverage": "macro",
        "tolerance": 1.0,
        "delta": -0.4,
        "standardError": 0.48,
    }


def test_the_same_average_is_compared() -> None:
    verdict = judge_mmlu(MEASURED, {"value": 65.6, "average": "micro"}, Decimal(1))
    assert verdict.figures["delta"] == -0.2
    assert verdict.figures["standardError"] == 0.40


@pytest.mark.parametrize(
    ("macro", "tolerance", "result"),
    [
        (65.70, "1.0", "Passed"),
        (65.69, "1.0", "Failed"),
        (66.40, "0.3", "Passed"),  # 66.40 - 66.7 is -0.30000000000000426 in floats
        (66.39, "0.3", "Failed"),
        (66.70, "0", "Passed"),
        (66.69, "0", "Failed"),
        (99.0, "0", "Passed"),
    ],
)
def test_the_edge_is_decided_in_decimals(macro: float, tolerance: str, result: str) -> None:
    verdict = judge_mmlu(MEASURED | {"macroAverage": macro}, BASELINE, Decimal(tolerance))
    assert verdict.result == result
    assert verdict.reason == ("WithinTolerance" if result == "Passed" else "BelowBaseline")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"macroAverage": 29.99}, "BrokenMethod"),
        ({"macroAverage": 25.0}, "BrokenMethod"),
        ({"unanswered": 1}, "Unanswered"),
        ({"questions": 0}, "Unanswered"),
        ({"questions": None}, "FiguresMissing"),
        ({"macroAverage": None}, "FiguresMissing"),
        ({"microAverage": "65"}, "FiguresMissing"),
        ({"macroAverage": float("nan")}, "FiguresMissing"),
        ({"macroAverage": True}, "FiguresMissing"),
        ({"macroAverage": 101}, "FiguresMissing"),
    ],
)
def test_what_gives_no_verdict(change: dict[str, Any], reason: str) -> None:
    for baseline in (BASELINE, None):
        verdict = judge_mmlu(MEASURED | change, baseline, Decimal(100))
        assert (verdict.result, verdict.reason) == ("Error", reason)
        assert "delta" not in verdict.figures


def test_thirty_is_a_bad_model_not_a_broken_method() -> None:
    verdict = judge_mmlu(MEASURED | {"macroAverage": 30.0}, BASELINE, Decimal(1))
    assert verdict.result == "Failed"


@pytest.mark.parametrize("stored", ["Error", "Inconclusive", "Skipped"])
def test_a_stored_result_without_verdict_stays(stored: str) -> None:
    figures = MEASURED | {"result": stored, "reason": "TimedOut", "message": "too slow"}
    verdict = judge_mmlu(figures, BASELINE, Decimal(100))
    assert (verdict.result, verdict.reason, verdict.message) == (stored, "TimedOut", "too slow")


def test_stored_verdicts_are_judged_again() -> None:
    for stored in ("Passed", "Failed"):
        figures = MEASURED | {"result": stored, "reason": "Whatever"}
        assert judge_mmlu(figures, BASELINE, Decimal("0.3")).result == "Failed"
        assert judge_mmlu(figures, BASELINE, Decimal("0.4")).result == "Passed"


def test_no_baseline_passes_and_says_so() -> None:
    verdict = judge_mmlu(MEASURED, None, Decimal(1))
    assert (verdict.result, verdict.reason) == ("Passed", "NoBaseline")
    assert verdict.figures == {"standardError": 0.48}


def test_custom_data_is_said_in_every_verdict() -> None:
    for baseline in (BASELINE, None):
        verdict = judge_mmlu(MEASURED | {"customData": True}, baseline, Decimal(1))
        assert verdict.message.endswith("custom data, not the published MMLU")


@pytest.mark.parametrize(
    "baseline", [{}, {"value": -1}, {"value": 101}, {"value": 50, "average": "mean"}]
)
def test_a_baseline_that_is_none(baseline: dict[str, Any]) -> None:
    assert judge_mmlu(MEASURED, baseline, Decimal(1)).reason == "BadBaseline"


def test_a_baseline_of_the_same_is_judged() -> None:
    run = MEASURED | {"protocol": "lmEval", "shots": 5}
    for change in (
        {},
        {"protocol": None, "shots": None, "acrossProtocols": False},
        {"protocol": "lmEval", "shots": 5},
        {"protocol": "original", "shots": 0, "acrossProtocols": True},
    ):
        assert judge_mmlu(run, BASELINE | change, Decimal(1)).reason == "WithinTolerance"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"protocol": "original"}, "baseline's protocol is 'original', this run's 'lmEval'"),
        ({"shots": 0}, "baseline's shots is 0, this run's 5"),
    ],
)
def test_a_baseline_that_was_measured_otherwise_is_not(change: dict[str, Any], told: str) -> None:
    run = MEASURED | {"protocol": "lmEval", "shots": 5}
    for stored in ({}, {"result": "Passed", "reason": "WithinTolerance", "message": ""}):
        verdict = judge_mmlu(run | stored, BASELINE | change, Decimal(1))
        assert (verdict.result, verdict.reason) == ("Inconclusive", "ProtocolMismatch")
        assert told in verdict.message
        assert "--across-protocols" in verdict.message
        assert verdict.figures == {"standardError": 0.48}, "no difference of two unlike things"


@pytest.mark.parametrize("baseline", [None, BASELINE])
def test_a_part_of_mmlu_is_not_judged(baseline: dict[str, Any] | None) -> None:
    part = MEASURED | {"questions": 100}
    verdict = judge_mmlu(part, baseline, Decimal(1))
    assert (verdict.result, verdict.reason) == ("Inconclusive", "Subset")
    assert "100 of 14042" in verdict.message
    assert "delta" not in verdict.figures
    assert judge_mmlu(part | {"customData": True}, baseline, Decimal(1)).result == "Passed"


PAIRED = MEASURED | {
    "questions": 570,
    "subjectCount": 57,
    "tolerance": 1.0,
    "paired": {"questions": 570, "delta": 0.1, "lower": -0.8, "upper": 1.0},
    "result": "Passed",
    "reason": "NotInferior",
    "message": "the same",
}


@pytest.mark.parametrize("result", ["Passed", "Failed"])
def test_a_verdict_of_a_comparison_is_kept(result: str) -> None:
    """Its answers are needed to come to another: a new tolerance goes on asking, in a job."""
    for baseline in (None, BASELINE, BASELINE | {"value": 99.0}):
        verdict = judge_mmlu(PAIRED | {"result": result}, baseline, Decimal("0.1"))
        assert (verdict.result, verdict.reason) == (result, "NotInferior")
        assert verdict.message == "the same"
        assert verdict.figures["tolerance"] == 1.0, "the one that the verdict was reached with"
        assert verdict.figures.get("baseline") == (baseline and baseline["value"])


def test_a_comparison_s_baseline_of_another_protocol_is_not_shown() -> None:
    verdict = judge_mmlu(PAIRED, BASELINE | {"shots": 0, "protocol": None}, Decimal(1))
    assert verdict.result == "Passed"
    assert "delta" not in verdict.figures


@pytest.mark.parametrize(
    ("change", "result", "reason"),
    [
        ({"subjectCount": 3}, "Inconclusive", "Subset"),
        ({"subjectCount": 3, "customData": True}, "Passed", "NotInferior"),
        ({"macroAverage": 25.0}, "Error", "BrokenMethod"),
        ({"unanswered": 2}, "Error", "Unanswered"),
        ({"result": None}, "Error", "FiguresMissing"),
        ({"result": "Inconclusive", "reason": "Undecided"}, "Inconclusive", "Undecided"),
    ],
)
def test_a_comparison_that_decides_nothing(
    change: dict[str, Any], result: str, reason: str
) -> None:
    verdict = judge_mmlu(PAIRED | change, BASELINE, Decimal(1))
    assert (verdict.result, verdict.reason) == (result, reason)
