"""Whether MMLU's figures keep to the baseline.

Figures are compared as decimals of what is written (two decimals), never as floats: what a person
computes by hand from the status is what decides. A verdict that was reached by comparing answers
with a reference's (`paired`) needs these answers: it is kept as the job came to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast, get_args

from ascendllm.checks.judging.decimals import percent_of
from ascendllm.checks.judging.judgement import Judgement
from ascendllm.checks.result import Verdict, is_number, rounded

__all__ = ["BROKEN_BELOW", "QUESTIONS", "SUBJECTS", "Average", "judge_mmlu"]

Average = Literal["macro", "micro"]

BROKEN_BELOW = Decimal(30)
"""Percent. Guessing gives 25: below 30 the method is broken, not the model (vllm-ascend#1043 gave
23 instead of 80 with every answer HTTP 200)."""

QUESTIONS = 14_042
"""Of the published test set."""

SUBJECTS = 57
"""Of the published test set."""


def judge_mmlu(
    figures: Mapping[str, object], baseline: Mapping[str, object] | None, tolerance: Decimal
) -> Judgement:
    """Hold an MMLU result against a baseline.

    Args:
        figures: The flat result of a run (measured or as stored): macroAverage and microAverage in
            percent, questions, unanswered, subjectCount, customData, protocol, shots,
            `standardErrors {macro, micro}`, and `result`, `reason` and `message` where a verdict
            was reached already: Error, Inconclusive and Skipped stay what they are, and so does
            any verdict with `paired`.
        baseline: `{value, average, protocol?, shots?, acrossProtocols?, …}`, the value in percent;
            None: a run that reached its figures is Passed.
        tolerance: Percent points.

    Returns:
        Passed iff delta >= -tolerance. Inconclusive where there is nothing to compare: `Subset`
        for a part of the published questions, `ProtocolMismatch` for a baseline that was measured
        in another way.
    """
    if (settled := _settled(figures) or _unsound(figures)) is not None:
        return settled
    bound = None if baseline is None else _bound(baseline)
    if (baseline is not None and bound is None) or tolerance < 0:
        given = baseline or {}
        return _error(
            "BadBaseline",
            f"baseline {given.get('value')!r} ({given.get('average')}), tolerance {tolerance}: "
            "the value is percent from 0 to 100, the average macro or micro, the tolerance not "
            "negative",
        )
    error = _standard_error(figures, "macro" if bound is None else bound.average)
    other = None if baseline is None else _other_way(figures, baseline)
    compared = {} if bound is None or other else _compared(figures, bound, tolerance)
    if isinstance(figures.get("paired"), Mapping):
        return _paired(figures, error | compared)
    if (part := _part(figures)) is not None:
        return Judgement("Inconclusive", "Subset", part, error)
    if bound is None:
        shown = f"macro average {figures['macroAverage']:.2f}, micro {figures['microAverage']:.2f}"
        message = f"{shown}; no baseline to hold it against{_note(figures)}"
        return Judgement("Passed", "NoBaseline", message, error)
    if other is not None:
        return Judgement("Inconclusive", "ProtocolMismatch", other + _note(figures), error)
    return _against(figures, bound, tolerance, error | compared)


@dataclass(frozen=True, slots=True)
class _Bound:
    """What the run is held against, and on which average."""

    value: Decimal
    average: Average


def _settled(figures: Mapping[str, object]) -> Judgement | None:
    """What a stored result stays that is no verdict; None for a verdict, or none yet."""
    stored = figures.get("result")
    if stored in (None, "Passed", "Failed"):
        return None
    result = cast(Verdict, stored if stored in get_args(Verdict) else "Error")
    reason = str(figures.get("reason") or "ResultUnreadable")
    return Judgement(result, reason, str(figures.get("message") or ""), {})


def _unsound(figures: Mapping[str, object]) -> Judgement | None:
    """Why nothing can be judged by these figures; None where it can."""
    macro, micro = percent_of(figures.get("macroAverage")), percent_of(figures.get("microAverage"))
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
    return None


def _bound(baseline: Mapping[str, object]) -> _Bound | None:
    value, average = percent_of(baseline.get("value")), baseline.get("average", "macro")
    if value is None or average not in get_args(Average):
        return None
    return _Bound(value, cast(Average, average))


def _against(
    figures: Mapping[str, object], bound: _Bound, tolerance: Decimal, shown: Mapping[str, object]
) -> Judgement:
    """The one-sided rule: Passed iff delta >= -tolerance."""
    measured, delta = figures[f"{bound.average}Average"], Decimal(str(shown["delta"]))
    passed = delta >= -tolerance
    return Judgement(
        "Passed" if passed else "Failed",
        "WithinTolerance" if passed else "BelowBaseline",
        f"{bound.average} average {measured:.2f} against {bound.value} ({bound.average}): "
        f"{delta:+.2f} points, tolerance {tolerance}{_note(figures)}",
        shown,
    )


def _compared(
    figures: Mapping[str, object], bound: _Bound, tolerance: Decimal
) -> dict[str, object]:
    """The baseline's figures."""
    measured = cast(Decimal, percent_of(figures[f"{bound.average}Average"]))
    return {
        "baseline": float(bound.value),
        "baselineAverage": bound.average,
        "tolerance": float(tolerance),
        "delta": rounded(measured - bound.value),
    }


def _paired(figures: Mapping[str, object], shown: Mapping[str, object]) -> Judgement:
    """The verdict as the comparison with a reference came to it, under its own tolerance."""
    if figures.get("result") is None:
        return _error("FiguresMissing", "the result has a paired comparison and no verdict of it")
    kept = dict(shown)
    kept.pop("tolerance", None)
    if is_number(figures.get("tolerance")):
        kept["tolerance"] = figures["tolerance"]
    reason, message = str(figures.get("reason") or ""), str(figures.get("message") or "")
    if not figures.get("customData") and figures.get("subjectCount") != SUBJECTS:
        part = (
            f"{figures.get('subjectCount')} of {SUBJECTS} subjects: this says nothing of MMLU as a "
            f"whole; ask all of them, or say that the data is custom; {message}"
        )
        return Judgement("Inconclusive", "Subset", part, kept)
    return Judgement(cast(Verdict, figures["result"]), reason, message, kept)


def _part(figures: Mapping[str, object]) -> str | None:
    """Why the run is of a part only; None where it is of all questions, or of one's own."""
    questions = figures.get("questions")
    if figures.get("customData") or questions == QUESTIONS:
        return None
    return (
        f"{questions} of {QUESTIONS} questions were asked, macro average "
        f"{figures.get('macroAverage')}: without a reference a part decides nothing; ask all of "
        "them, give a reference, or say that the data is custom"
    )


def _other_way(figures: Mapping[str, object], baseline: Mapping[str, object]) -> str | None:
    """In which way the baseline was measured otherwise; None where it was not, or may be."""
    if baseline.get("acrossProtocols"):
        return None
    for key in ("protocol", "shots"):
        theirs, ours = baseline.get(key), figures.get(key)
        if theirs is not None and theirs != ours:
            return (
                f"the baseline's {key} is {theirs!r}, this run's {ours!r}: they can't be compared; "
                "give a baseline of the same, or say acrossProtocols (--across-protocols)"
            )
    return None


def _standard_error(figures: Mapping[str, object], average: Average) -> dict[str, object]:
    """The standard error of the average that is judged, where the run holds it."""
    errors = figures.get("standardErrors")
    value = errors.get(average) if isinstance(errors, Mapping) else None
    return {"standardError": value} if is_number(value) else {}


def _note(figures: Mapping[str, object]) -> str:
    return "; custom data, not the published MMLU" if figures.get("customData") else ""


def _error(reason: str, message: str) -> Judgement:
    return Judgement("Error", reason, message, {})
