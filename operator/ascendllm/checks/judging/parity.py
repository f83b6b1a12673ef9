"""Whether a model keeps close enough to its reference.

Bounds come from the resource or the command line, or, where none is given, from the reference's
control run: a second run on the same server, whose differences are its own noise. A bound is then
three times the control's figure, and never closer than the numbers themselves are: a server that
answers the same bits twice shows no noise, and another machine's sums still round otherwise.

The floors, in nat. One step of bfloat16 between 8 and 16, where logits lie, is 0.0625 (of float16
0.0078; for float32 seed 001's 0.001 is taken). The difference of two roundings is at most one step
a logit, a third of it in the mean; two steps are allowed to the 99th percentile. The perplexity's
floor is seed 001's 0.1 percent, and the ranks' is 0.5 percent of the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import cast, get_args

from ascendllm.checks.judging.decimals import decimal_of
from ascendllm.checks.judging.judgement import Judgement
from ascendllm.checks.result import Verdict, is_number, rounded

__all__ = ["FACTOR", "THRESHOLDS", "control_thresholds", "judge_parity", "noise_of"]

FACTOR = 3
"""How many times the control run's own difference is allowed."""

STEPS: Mapping[str, float] = {"float32": 0.001, "float16": 0.0078125}
"""One step by data type; any other, and an unknown one, is taken for bfloat16."""

BFLOAT16_STEP = 0.0625
PERPLEXITY_FLOOR = 0.1
RANK_FLOOR = 0.5

THRESHOLDS: Mapping[str, str] = {
    "minRankAgreement": "rankAgreement",
    "maxPerplexityDifference": "perplexityDifference",
    "maxMeanLogprobDifference": "meanLogprobDifference",
    "maxP99LogprobDifference": "p99LogprobDifference",
}
"""The figure that each threshold bounds; percent, percent, nat, nat."""

_JUDGED_AGAIN = frozenset({"NoThresholds", "TooFewTokens", "FigureMissing", "BadThreshold"})


def judge_parity(
    figures: Mapping[str, object], thresholds: Mapping[str, object] | None = None
) -> Judgement:
    """Judge a parity result, as measured or as stored.

    Args:
        figures: The flat result; `control` holds the control run's figures and the reference's
            `dtype` where there are any, `result` what is stored: Error and Skipped stay what they
            are.
        thresholds: Any of `THRESHOLDS`; where none is given, the control's count.

    Returns:
        Passed, Failed/`BeyondThreshold`, Inconclusive (`NoThresholds`, `TooFewTokens`) or Error;
        its figures are `thresholds` and `thresholdsFrom`.
    """
    stored, reason = figures.get("result"), figures.get("reason")
    if stored not in (None, "Passed", "Failed") and str(reason) not in _JUDGED_AGAIN:
        result = cast(Verdict, stored if stored in get_args(Verdict) else "Error")
        return Judgement(
            result, str(reason or "ResultUnreadable"), str(figures.get("message") or ""), {}
        )
    given = {name: value for name, value in (thresholds or {}).items() if value is not None}
    control = figures.get("control")
    if given:
        bounds, source = given, "spec"
    elif isinstance(control, Mapping):
        bounds, source = dict(control_thresholds(control)), "control"
    else:
        return Judgement(
            "Inconclusive",
            "NoThresholds",
            f"{_told(figures)}; there is nothing to hold it against: record the reference with "
            "--control, or give thresholds",
            {"thresholds": None, "thresholdsFrom": None},
        )
    return _hold(figures, bounds, source)


def noise_of(control: Mapping[str, object]) -> float:
    """How far ahead the reference's token must be for another choice to be a mistake, in nat."""
    p99 = control.get("p99LogprobDifference")
    return max(_step(control), float(cast(float, p99)) if is_number(p99) else 0.0)


def control_thresholds(control: Mapping[str, object]) -> dict[str, float]:
    """The bounds that a control run gives; a figure that it lacks gives the floor."""
    step = _step(control)

    def far(name: str, floor: float) -> float:
        value = control.get(name)
        seen = abs(float(cast(float, value))) if is_number(value) else 0.0
        return rounded(max(FACTOR * seen, floor), 6)

    agreement = control.get("rankAgreement")
    lost = 100 - float(cast(float, agreement)) if is_number(agreement) else 0.0
    return {
        "minRankAgreement": rounded(max(0.0, 100 - max(FACTOR * lost, RANK_FLOOR))),
        "maxPerplexityDifference": far("perplexityDifference", PERPLEXITY_FLOOR),
        "maxMeanLogprobDifference": far("meanLogprobDifference", step / 3),
        "maxP99LogprobDifference": far("p99LogprobDifference", 2 * step),
    }


def _step(control: Mapping[str, object]) -> float:
    return STEPS.get(str(control.get("dtype")), BFLOAT16_STEP)


def _hold(figures: Mapping[str, object], bounds: Mapping[str, object], source: str) -> Judgement:
    laid: dict[str, object] = {"thresholdsFrom": source, "thresholds": {}}
    missed: list[str] = []
    unsure: list[str] = []
    for name, bound in bounds.items():
        limit = decimal_of(bound)
        if name not in THRESHOLDS or limit is None or limit < 0:
            known = ", ".join(THRESHOLDS)
            return Judgement(
                "Error",
                "BadThreshold",
                f"threshold {name} {bound!r:.40}: give a number not below 0 for one of {known}",
                laid,
            )
        cast("dict[str, object]", laid["thresholds"])[name] = float(limit)
        key = THRESHOLDS[name]
        seen = decimal_of(figures.get(key))
        if seen is None:
            return Judgement(
                "Error",
                "FigureMissing",
                f"threshold {name}: the result holds no {key}"
                + ("; record the reference with a text" if "erplexity" in key else ""),
                laid,
            )
        if name == "minRankAgreement":
            if seen < limit:
                missed.append(f"{key} {seen} is below {limit}")
            continue
        precision = decimal_of(figures.get("perplexityPrecision")) or Decimal(0)
        if name == "maxPerplexityDifference" and limit < precision >= abs(seen) - limit:
            unsure.append(
                f"{key} {seen} is known to {precision} percent only, on "
                f"{figures.get('perplexityTokens')} tokens, where {limit} is to be told: record "
                "the reference with a longer --text"
            )
        elif abs(seen) > limit:
            missed.append(f"{key} {seen} is beyond {limit}")
    if missed:
        told = f"{'; '.join(missed)} (thresholds from the {source}); {_told(figures)}"
        return Judgement("Failed", "BeyondThreshold", told, laid)
    if unsure:
        return Judgement("Inconclusive", "TooFewTokens", "; ".join(unsure), laid)
    told = f"{_told(figures)}; within the thresholds from the {source}"
    return Judgement("Passed", "WithinThresholds", told, laid)


def _told(figures: Mapping[str, object]) -> str:
    return (
        f"rank agreement {figures.get('rankAgreement')} percent of {figures.get('tokens')} tokens, "
        f"perplexity {figures.get('perplexity')} against {figures.get('referencePerplexity')} "
        f"({figures.get('perplexityDifference')} percent), log-probability difference mean "
        f"{figures.get('meanLogprobDifference')}, p99 {figures.get('p99LogprobDifference')} nat"
    )
