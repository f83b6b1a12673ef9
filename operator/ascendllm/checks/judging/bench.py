"""Whether bench's figures keep to their bounds, and how they stand beside other runs'.

Everything is compared as decimals of what is written: what a person computes by hand from the
status is what decides. The order: a figure that is missing is an Error, then thresholds, then the
regression against the previous run; the before/after table decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import cast, get_args

from ascendllm.checks.judging.bench_comparison import comparison, regressions, same_measurement
from ascendllm.checks.judging.bench_figures import (
    FIGURES,
    Figure,
    Place,
    check_figure,
    figure,
    points,
)
from ascendllm.checks.judging.bench_goodput import Latencies, read_requests, request_goodput
from ascendllm.checks.judging.decimals import decimal_of
from ascendllm.checks.judging.judgement import Judgement
from ascendllm.checks.result import Verdict
from ascendllm.exceptions import CheckError, SpecError

__all__ = [
    "DEFAULT_REGRESSION_FIGURES",
    "DEFAULT_REGRESSION_TOLERANCE",
    "FIGURES",
    "Figure",
    "check_figure",
    "judge_bench",
    "read_requests",
]

DEFAULT_REGRESSION_TOLERANCE = 10
"""Percent of the previous run's figure."""

DEFAULT_REGRESSION_FIGURES = ("outputThroughput", "meanTtftMs", "meanTpotMs")

MOST_ITEMS = 6
"""How many misses a message names."""


def judge_bench(
    figures: Mapping[str, object],
    *,
    thresholds: Mapping[str, Mapping[str, object]] | None = None,
    goodput: Mapping[str, object] | None = None,
    regression: Mapping[str, object] | None = None,
    previous: Mapping[str, object] | None = None,
    compare_to: Mapping[str, object] | None = None,
    requests: Sequence[Latencies] | None = None,
) -> Judgement:
    """Judge a bench result, as measured or as stored.

    Args:
        figures: The flat result; `result` where it is stored: Error, Inconclusive and Skipped stay
            what they are.
        thresholds: `{figure: {min, max}}`, either or both, bounds included; kept by every point of
            a sweep that has the figure.
        goodput: `{ttftMs, tpotMs, e2elMs}`, any of them, in ms.
        regression: `{tolerance, figures}`; None: not asked for.
        previous: The figures of the last Passed run, None where there is none.
        compare_to: Figures to stand beside these; keys that are no figures are left out.
        requests: Each request's latencies (`read_requests`), for goodput.

    Returns:
        Passed, Failed (`ThresholdMissed`, `Regression`) or Error (`FigureMissing`, …); its figures
        hold `requestGoodput` and `comparison` where they were asked for, and None for one that is
        stored and no longer asked for.
    """
    stored = figures.get("result")
    if stored not in (None, "Passed", "Failed"):
        result = cast(Verdict, stored if stored in get_args(Verdict) else "Error")
        reason = str(figures.get("reason") or "ResultUnreadable")
        return _judgement(result, reason, str(figures.get("message") or ""), {})
    try:
        _sound(figures)
        own = _own_figures(figures, goodput, compare_to, requests)
        judged = {**figures, **own}
        missed = list(_missed(judged, thresholds or {}))
        worse, note = _regression(judged, regression, previous)
    except (CheckError, SpecError) as error:
        return _judgement("Error", error.reason, error.message, {})
    if missed or worse:
        parts = [f"missed: {_listed(missed)}"] if missed else []
        parts += [f"worse than the last passed run: {_listed(worse)}"] if worse else []
        reason = "ThresholdMissed" if missed else "Regression"
        return _judgement("Failed", reason, "; ".join(parts) + note, own)
    asked = bool(thresholds) or (regression is not None and previous is not None)
    return _judgement(
        "Passed", "WithinBounds" if asked else "Measured", _headline(judged, asked) + note, own
    )


def _sound(figures: Mapping[str, object]) -> None:
    """Refuse figures that are none of a whole run.

    Raises:
        CheckError: `FigureMissing` or `RequestsFailed`.
    """
    completed, duration = figure(figures, "completed"), figure(figures, "duration")
    if not completed or not duration or completed < 0 or duration < 0:
        raise CheckError("FigureMissing", "the result lacks completed or duration")
    if figure(figures, "failed"):
        raise CheckError("RequestsFailed", f"{figures['failed']} requests failed: it is no bench")


def _own_figures(
    figures: Mapping[str, object],
    goodput: Mapping[str, object] | None,
    compare_to: Mapping[str, object] | None,
    requests: Sequence[Latencies] | None,
) -> dict[str, object]:
    """The figures that follow from judging."""
    stale = ("requestGoodput", "comparison")
    own: dict[str, object] = {key: None for key in stale if key in figures}
    if goodput:
        duration, completed = figure(figures, "duration"), figure(figures, "completed")
        if requests is None or duration is None or len(requests) != completed:
            raise CheckError(
                "FigureMissing",
                "goodput needs the latencies of all requests (requests.json), and this run has "
                f"{'none' if requests is None else len(requests)}: run the check again",
            )
        own["requestGoodput"] = request_goodput(requests, goodput, duration)
    if compare_to is not None:
        own["comparison"] = comparison(compare_to, {**figures, **own})
    return own


def _missed(
    figures: Mapping[str, object], thresholds: Mapping[str, Mapping[str, object]]
) -> Iterator[str]:
    """Every bound that is not kept, for people.

    Raises:
        CheckError: `FigureMissing` or `BadThreshold`.
        SpecError: `UnknownFigure`.
    """
    for name, bounds in thresholds.items():
        check_figure(name)
        least, most = _bounds(name, bounds)
        for place in _places(figures, name):
            value = figure(place.figures, name)
            if value is None:
                raise CheckError("FigureMissing", _why_missing(name, place))
            if least is not None and value < least:
                yield f"{name} {value}{place.name} (at least {least})"
            if most is not None and value > most:
                yield f"{name} {value}{place.name} (at most {most})"


def _places(figures: Mapping[str, object], name: str) -> list[Place]:
    """Where a threshold must be kept: at each point of a sweep, or once.

    Raises:
        CheckError: `FigureMissing`: a figure of a load, which the points of a sweep don't keep.
    """
    swept = list(points(figures))
    if not swept:
        return [Place("", figures)]
    if FIGURES[name].per_point:
        return swept
    if name.endswith(("TtftMs", "TpotMs", "ItlMs", "E2elMs")):
        kept = ", ".join(known for known, figure in FIGURES.items() if figure.per_point)
        raise CheckError(
            "FigureMissing", f"a sweep's points have no {name}: take one of {kept}, or no sweep"
        )
    return [Place("", figures)]


def _why_missing(name: str, place: Place) -> str:
    remedies = {
        "requestGoodput": "ask for goodput",
        "outputThroughputPerNpu": "say how many NPUs serve (--npus)",
        "otherRequests": "set underLoad",
    }
    if name.startswith("longContext."):
        remedy = "set longContext"
    else:
        remedy = remedies.get(name, "ask for two or more output tokens, or remove the threshold")
    return f"a threshold is set on {name}, which this run lacks{place.name}: {remedy}"


def _bounds(name: str, bounds: Mapping[str, object]) -> tuple[Decimal | None, Decimal | None]:
    given = {key: value for key, value in bounds.items() if value is not None}
    numbers = {key: decimal_of(value) for key, value in given.items()}
    if not given or not set(given) <= {"min", "max"} or None in numbers.values():
        raise CheckError(
            "BadThreshold", f"the threshold on {name} is {dict(bounds)!r:.120}, not {{min, max}}"
        )
    return numbers.get("min"), numbers.get("max")


def _regression(
    figures: Mapping[str, object],
    regression: Mapping[str, object] | None,
    previous: Mapping[str, object] | None,
) -> tuple[Sequence[str], str]:
    """What became worse, and a note on what could not be compared.

    Raises:
        CheckError: `BadRegression`, or `FigureMissing` where this run lacks a figure.
        SpecError: `UnknownFigure`.
    """
    if regression is None:
        return [], ""
    given = regression.get("tolerance")
    tolerance = decimal_of(DEFAULT_REGRESSION_TOLERANCE if given is None else given)
    names = regression.get("figures") or DEFAULT_REGRESSION_FIGURES
    if tolerance is None or tolerance < 0 or not isinstance(names, list | tuple):
        raise CheckError("BadRegression", f"regression is {dict(regression)!r:.200}")
    for name in map(str, names):
        check_figure(name)
        if FIGURES[name].better is None:
            raise CheckError("BadRegression", f"{name} has no better and worse; name another")
        if figure(figures, name) is None:
            raise CheckError("FigureMissing", _why_missing(name, Place("", figures)))
    if previous is None:
        return [], "; no earlier passed run to compare with"
    if (why := same_measurement(previous, figures)) is not None:
        return [], f"; not compared with the last passed run: {why}"
    found = regressions(previous, figures, [str(name) for name in names], tolerance)
    if not found.compared:
        return [], "; the last passed run has none of the figures to compare"
    return found.worse, f"; {found.compared} figures compared, tolerance {tolerance} %"


def _headline(figures: Mapping[str, object], asked: bool) -> str:
    shown = [
        f"{name} {value}"
        for name in ("outputThroughput", "meanTtftMs", "meanTpotMs", "requestGoodput")
        if (value := figure(figures, name)) is not None
    ]
    where = f" at concurrency {figures['concurrency']}" if "concurrency" in figures else ""
    return f"{', '.join(shown)}{where}" + ("" if asked else "; no bounds to hold them against")


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - MOST_ITEMS} more" if len(items) > MOST_ITEMS else ""
    return ", ".join(items[:MOST_ITEMS]) + more


def _judgement(
    result: Verdict, reason: str, message: str, figures: Mapping[str, object]
) -> Judgement:
    return Judgement(result, reason, message, figures)
