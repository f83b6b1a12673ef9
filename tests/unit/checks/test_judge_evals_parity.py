"""Verdicts from stored figures, as the operator reaches them again under new bounds."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascendllm.checks.judging.evals import judge_evals
from ascendllm.checks.judging.parity import control_thresholds, judge_parity, noise_of
from ascendllm.checks.parity.reference import read_reference
from ascendllm.checks.result import Verdict
from ascendllm.exceptions import SpecError

ROW = {"task": "gsm8k", "filter": "strict-match", "metric": "exact_match", "value": 91.7}
OTHER = ROW | {"filter": "flexible-extract", "value": 62.9}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIGURES = {
    "rankAgreement": 99.8,
    "tokens": 1024,
    "perplexity": 7.012,
    "referencePerplexity": 7.01,
    "perplexityDifference": -0.0285,
    "perplexityPrecision": 0.02,
    "meanLogprobDifference": 0.011,
    "p99LogprobDifference": 0.09,
}
CONTROL = {"rankAgreement": 99.9, "p99LogprobDifference": 0.08, "meanLogprobDifference": 0.01}


@pytest.mark.parametrize(
    ("baseline", "result", "reason"),
    [
        (Decimal("92.7"), "Passed", "WithinTolerance"),
        (Decimal("92.71"), "Failed", "BelowBaseline"),
        (92.7, "Passed", "WithinTolerance"),
        (Decimal(101), "Error", "BadBaseline"),
    ],
)
def test_a_baseline_is_held_in_decimals(baseline: Any, result: str, reason: str) -> None:
    bound = {"task": "gsm8k", "filter": "strict-match", "baseline": baseline, "tolerance": 1.0}
    verdict = judge_evals({"tasks": [OTHER, ROW]}, [bound])
    assert (verdict.result, verdict.reason) == (result, reason)


def test_a_stored_result_is_judged_anew_and_forgets_the_old_bound() -> None:
    bound = {"task": "gsm8k", "filter": "strict-match", "baseline": 95.0, "tolerance": 1.0}
    first = judge_evals({"tasks": [OTHER, ROW]}, [bound])
    assert first.result == "Failed"
    stored = dict(first.figures) | {"result": "Failed", "reason": first.reason}
    again = judge_evals(stored, [bound | {"filter": "flexible-extract", "baseline": 60.0}])
    assert again.result == "Passed"
    rows: Any = again.figures["tasks"]
    assert [("delta" in row, row["filter"]) for row in rows] == [
        (True, "flexible-extract"),
        (False, "strict-match"),
    ]


def test_an_ambiguous_baseline_can_be_mended() -> None:
    bound = {"task": "gsm8k", "baseline": 90.0}
    first = judge_evals({"tasks": [ROW, OTHER]}, [bound])
    assert (first.result, first.reason) == ("Error", "AmbiguousMetric")
    assert "filter=strict-match,metric=exact_match" in first.message
    stored = {"tasks": [ROW, OTHER], "result": "Error", "reason": "AmbiguousMetric"}
    assert judge_evals(stored, [bound | {"filter": "strict-match"}]).result == "Passed"
    kept = judge_evals(stored | {"reason": "ServerError", "message": "x"}, [bound])
    assert (kept.result, kept.reason, kept.message) == ("Error", "ServerError", "x")


def test_the_worst_of_several_tasks_counts() -> None:
    rows = [ROW, ROW | {"task": "ifeval", "value": 50.0, "samples": 5, "questions": 9}]
    bounds = [{"task": "gsm8k", "baseline": 99.0}, {"task": "ifeval", "baseline": 50.0}]
    assert judge_evals({"tasks": rows}, bounds).reason == "BelowBaseline"
    bounds[0]["baseline"] = 90.0
    verdict = judge_evals({"tasks": rows}, bounds)
    assert (verdict.result, verdict.reason) == ("Inconclusive", "Subset")


def test_thresholds_are_held_and_the_control_fills_in() -> None:
    assert judge_parity(FIGURES).reason == "NoThresholds"
    verdict = judge_parity(FIGURES | {"control": CONTROL})
    assert (verdict.result, verdict.figures["thresholdsFrom"]) == ("Passed", "control")
    verdict = judge_parity(FIGURES | {"control": CONTROL}, {"minRankAgreement": 99.81})
    assert (verdict.result, verdict.reason) == ("Failed", "BeyondThreshold")
    assert judge_parity(FIGURES, {"maxPerplexityDifference": 0.0285}).result == "Passed"


@pytest.mark.parametrize(
    ("limit", "precision", "difference", "reason"),
    [
        (0.1, 0.05, 0.1, "WithinThresholds"),
        (0.1, 0.05, -0.1001, "BeyondThreshold"),
        (0.1, 0.2, 0.05, "TooFewTokens"),
        (0.1, 0.2, 0.3, "TooFewTokens"),
        (0.1, 0.2, 0.3001, "BeyondThreshold"),
        (0.1, 0.0, 0.0, "WithinThresholds"),
    ],
)
def test_a_perplexity_is_judged_as_well_as_it_is_known(
    limit: float, precision: float, difference: float, reason: str
) -> None:
    figures = FIGURES | {"perplexityPrecision": precision, "perplexityDifference": difference}
    assert judge_parity(figures, {"maxPerplexityDifference": limit}).reason == reason


def test_a_stored_verdict_is_judged_again() -> None:
    stored = FIGURES | {"result": "Inconclusive", "reason": "NoThresholds"}
    assert judge_parity(stored, {"minRankAgreement": 99}).result == "Passed"
    stored = FIGURES | {"result": "Failed", "reason": "BeyondThreshold"}
    assert judge_parity(stored, {"minRankAgreement": 99}).result == "Passed"
    kept = judge_parity({"result": "Error", "reason": "ReferenceMismatch", "message": "x"}, {})
    assert (kept.result, kept.reason) == ("Error", "ReferenceMismatch")


def test_a_control_without_noise_still_allows_rounding() -> None:
    quiet = {"rankAgreement": 100.0, "p99LogprobDifference": 0.0, "meanLogprobDifference": 0.0}
    assert control_thresholds(quiet | {"dtype": "bfloat16"}) == {
        "minRankAgreement": 99.5,
        "maxPerplexityDifference": 0.1,
        "maxMeanLogprobDifference": 0.020833,
        "maxP99LogprobDifference": 0.125,
    }
    assert control_thresholds(quiet | {"dtype": "float32"})["maxP99LogprobDifference"] == 0.002
    assert noise_of(quiet) == 0.0625
    assert noise_of(CONTROL) == 0.08
    assert control_thresholds(CONTROL)["maxP99LogprobDifference"] == 0.24


@given(st.dictionaries(st.sampled_from(["tasks", "result", "reason"]), JSON), st.lists(JSON))
def test_whatever_is_stored_evals_end_in_a_verdict(figures: Any, bounds: list[Any]) -> None:
    given = [{"task": "x", "baseline": bound} for bound in bounds]
    assert judge_evals(figures, given).result in get_args(Verdict)


@given(st.dictionaries(st.sampled_from([*FIGURES, "control", "result"]), JSON), JSON)
def test_whatever_is_stored_parity_ends_in_a_verdict(figures: Any, bound: Any) -> None:
    assert judge_parity(figures, {"minRankAgreement": bound}).result in get_args(Verdict)
    assert judge_parity(figures).result in get_args(Verdict)


@given(data=st.binary(max_size=200) | JSON.map(lambda v: str(v).encode()))
def test_whatever_a_reference_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.jsonl"
    path.write_bytes(data)
    with suppress(SpecError):
        read_reference(path)
