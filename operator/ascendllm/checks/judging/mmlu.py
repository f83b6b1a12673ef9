"""Whether MMLU's figures keep to the baseline.

Figures are compared as decimals of what is written (two decimals), never as floats: what a person
computes by hand from the status is what decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Literal, cast, get_args

from ascendllm.checks.judging.judgement import Judgement
from ascendllm.checks.result import Verdict, is_number, rounded

__all__ = ["BROKEN_BELOW", "Average", "judge_mmlu"]

Average = Literal["macro", "micro"]

BROKEN_BELOW = Decimal(30)
"""Percent. Guessing gives 25: below 30 the method is broken, not the model (vllm-ascend#1043 gave
23 instead of 80 with every answer HTTP 200)."""


def judge_mmlu(
    figures: Mapping[str, object], baseline: Mapping[str, object] | None, tolerance: Decimal
) -> Judgement:
    """Hold an MMLU result against a baseline.

    Args:
        figures: The flat result of a run (measured or as stored): macroAverage and microAverage in
            percent, questions, unanswered, customData, `standardErrors {macro, micro}`, and
            `result` where it is stored: Error, Inconclusive and Skipped stay what they are.
        baseline: `{value, average, …}` in percent; None: a run that reached its figures is Passed.
        tolerance: Percent points.

    Returns:
        Passed iff delta >= -tolerance.
    """
    stored = figures.get("result")
    if stored not in (None, "Passed", "Failed"):
        result = cast(Verdict, stored if stored in get_args(Verdict) else "Error")
        reason = str(figures.get("reason") or "ResultUnreadable")
        return Judgement(result, reason, str(figures.get("message") or ""), None, {})
    macro, micro = _percent(figures.get("macroAverage")), _percent(figures.get("microAverage"))
    questions, unanswered = figures.get("questions"), figures.get("unanswered", 0)
    if macro is None or micro is None or not is_number(questions) or not is_number(unanswered):
        return _error("FiguresMissing", "the result lacks macroAverage, microAverage or questions")
    if unanswered != 0 or not cast(int, questions) > 0:
        return _error("Unanswered", f"{unanswered} of {questions} questions have no valid answer")
    if macro < BROKEN_BELOW:
        return _error(
            "BrokenMethod",
            f"macro average {macro:.2f} is about what guessing gives (25); this says that the "
            "model is served or asked wrongly, not that it is bad: look at the server's "
            "log-probabilities, tokenizer and model.kind",
        )
    note = _note(figures)
    if baseline is None:
        message = f"macro average {macro:.2f}, micro {micro:.2f}; no baseline to hold it against"
        shown = _standard_error(figures, "macro")
        return Judgement("Passed", "NoBaseline", message + note, None, shown)
    average, value = baseline.get("average", "macro"), _percent(baseline.get("value"))
    if value is None or average not in get_args(Average) or tolerance < 0:
        return _error(
            "BadBaseline",
            f"baseline {baseline.get('value')!r} ({average}), tolerance {tolerance}: the value is "
            "percent from 0 to 100, the average macro or micro, the tolerance not negative",
        )
    measured = macro if average == "macro" else micro
    delta = Decimal(str(rounded(measured - value)))
    passed = delta >= -tolerance
    message = (
        f"{average} average {measured:.2f} against {value} ({average}): "
        f"{delta:+.2f} points, tolerance {tolerance}{note}"
    )
    return Judgement(
        "Passed" if passed else "Failed",
        "WithinTolerance" if passed else "BelowBaseline",
        message,
        float(delta),
        {
            "baseline": float(value),
            "baselineAverage": average,
            "tolerance": float(tolerance),
            "delta": float(delta),
        }
        | _standard_error(figures, cast(Average, average)),
    )


def _percent(value: object) -> Decimal | None:
    """A percent figure as the decimal that is written, or None where it is none."""
    if not (is_number(value) or isinstance(value, Decimal)):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number <= 100 else None


def _standard_error(figures: Mapping[str, object], average: Average) -> dict[str, object]:
    """The standard error of the average that is judged, where the run holds it."""
    errors = figures.get("standardErrors")
    value = errors.get(average) if isinstance(errors, Mapping) else None
    return {"standardError": value} if is_number(value) else {}


def _note(figures: Mapping[str, object]) -> str:
    return "; custom data, not the published MMLU" if figures.get("customData") else ""


def _error(reason: str, message: str) -> Judgement:
    return Judgement("Error", reason, message, None, {})
