"""Whether the figures of lm-eval's tasks keep to their baselines.

Figures are compared as decimals of what is written (two decimals), as for MMLU. Of the rows of a
task (one a filter and metric) the one that is judged must be named, or be the only one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import cast, get_args

from ascendllm.checks.judging.decimals import decimal_of
from ascendllm.checks.judging.judgement import Judgement
from ascendllm.checks.result import Verdict, is_number, rounded

__all__ = ["choices", "judge_evals"]

_JUDGED_AGAIN = frozenset(
    {"AmbiguousMetric", "NoSuchMetric", "NotPercent", "Subset", "BadBaseline"}
)
"""Reasons that stand for a bound that could not be applied: figures of such a run are whole."""

_ORDER: tuple[Verdict, ...] = ("Failed", "Error", "Inconclusive", "Passed")
_LAID = ("baseline", "tolerance", "delta", "result")

Row = Mapping[str, object]


def judge_evals(figures: Mapping[str, object], bounds: Sequence[Mapping[str, object]]) -> Judgement:
    """Hold an evals result against its baselines.

    Args:
        figures: The flat result of a run (measured or as stored): `tasks`, a list of rows
            `{task, filter, metric, value (percent), unit (where it is no percentage),
            samples, questions (the data set's, where they are more than the samples), …}`, and
            `result` where it is stored: Error, Inconclusive and Skipped stay what they are, unless
            a bound was the cause.
        bounds: What is asked of each task: `{task, filter?, metric?, baseline?, tolerance? [1.0]}`
            in percent and percent points; a task without a baseline is Passed when it reached its
            figures.

    Returns:
        Passed iff every delta >= -tolerance; its figures are `tasks`, with baseline, tolerance,
        delta and result laid over the rows that are judged, which come first.
    """
    stored = figures.get("result")
    again = str(figures.get("reason")) in _JUDGED_AGAIN
    if stored not in (None, "Passed", "Failed") and not again:
        result = cast(Verdict, stored if stored in get_args(Verdict) else "Error")
        reason = str(figures.get("reason") or "ResultUnreadable")
        return Judgement(result, reason, str(figures.get("message") or ""), {})
    rows = _rows(figures)
    if rows is None:
        return Judgement("Error", "FiguresMissing", "the result lacks rows of tasks", {})
    verdicts = [_task(rows, bound) for bound in bounds]
    if not verdicts:
        return Judgement("Error", "FiguresMissing", "no task is asked for", {})
    for bound, verdict in zip(bounds, verdicts, strict=True):
        if verdict.row is not None and "baseline" in bound:
            verdict.row.update(verdict.laid | {"result": verdict.result})
    worst = min(verdicts, key=lambda verdict: _ORDER.index(verdict.result))
    told = sorted(verdicts, key=lambda verdict: _ORDER.index(verdict.result))
    message = "; ".join(verdict.message for verdict in told)
    first = sorted(rows, key=lambda row: "result" not in row)
    return Judgement(worst.result, worst.reason, message, {"tasks": first})


def choices(rows: Sequence[Row], bound: Mapping[str, object]) -> list[Row]:
    """The rows of the bound's task that its filter and metric leave.

    Args:
        rows: With task, filter and metric.
        bound: With task, and filter and metric where they are named.
    """
    return [
        row
        for row in rows
        if row.get("task") == bound.get("task")
        and bound.get("filter") in (None, row.get("filter"))
        and bound.get("metric") in (None, row.get("metric"))
    ]


class _Task:
    """What one task came to."""

    def __init__(self, result: Verdict, reason: str, message: str) -> None:
        self.result = result
        self.reason = reason
        self.message = message
        self.row: dict[str, object] | None = None
        self.laid: dict[str, object] = {}


def _task(rows: list[dict[str, object]], bound: Mapping[str, object]) -> _Task:
    name = str(bound.get("task"))
    of_task = choices(rows, {"task": name})
    if not of_task:
        return _Task("Error", "FiguresMissing", f"{name}: the result has no figure of it")
    left = choices(rows, bound)
    if not left:
        return _Task(
            "Error",
            "NoSuchMetric",
            f"{name}: no figure with {_named(bound)}; there are {_list(of_task)}",
        )
    if bound.get("baseline") is None:
        told = ", ".join(f"{_label(row)} {row.get('value')}" for row in left)
        return _Task("Passed", "NoBaseline", f"{name}: {told}; no baseline to hold it against")
    if len(left) > 1:
        return _Task(
            "Error",
            "AmbiguousMetric",
            f"{name}: the baseline could be for any of {_list(left)}; name the filter and the "
            "metric that it is for",
        )
    return _judge(cast("dict[str, object]", left[0]), bound)


def _judge(row: dict[str, object], bound: Mapping[str, object]) -> _Task:
    label = f"{row.get('task')} {_label(row)}"
    value = decimal_of(row.get("value"))
    baseline, tolerance = decimal_of(bound.get("baseline")), decimal_of(bound.get("tolerance", 1))
    if baseline is None or tolerance is None or not (0 <= baseline <= 100 and tolerance >= 0):
        return _Task(
            "Error",
            "BadBaseline",
            f"{label}: baseline {bound.get('baseline')!r:.40}, tolerance "
            f"{bound.get('tolerance')!r:.40}: percent from 0 to 100, and not negative",
        )
    if value is None:
        return _Task("Error", "FiguresMissing", f"{label}: the result holds no value of it")
    if row.get("unit") is not None or not 0 <= value <= 100:
        return _Task(
            "Error",
            "NotPercent",
            f"{label}: {value} is no percentage of which more is better; remove the baseline, or "
            "name a metric that is one",
        )
    delta = Decimal(str(rounded(value - baseline)))
    text = f"{label}: {value:.2f} against {baseline}: {delta:+.2f} points, tolerance {tolerance}"
    laid: dict[str, object] = {
        "baseline": float(baseline),
        "tolerance": float(tolerance),
        "delta": float(delta),
    }
    samples, questions = row.get("samples"), row.get("questions")
    if is_number(questions) and questions != samples:
        task = _Task(
            "Inconclusive",
            "Subset",
            f"{text}; only {samples} of {questions} questions were asked, and the baseline is of "
            "all: remove the limit, or the baseline",
        )
    elif delta >= -tolerance:
        task = _Task("Passed", "WithinTolerance", text)
    else:
        task = _Task("Failed", "BelowBaseline", text)
    task.row, task.laid = row, laid
    return task


def _rows(figures: Mapping[str, object]) -> list[dict[str, object]] | None:
    """The rows, without what an earlier judging laid over them."""
    rows = figures.get("tasks")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        return None
    return [{key: value for key, value in row.items() if key not in _LAID} for row in rows]


def _label(row: Row) -> str:
    return f"{row.get('metric')} ({row.get('filter')})"


def _list(rows: Sequence[Row]) -> str:
    return ", ".join(f"filter={row.get('filter')},metric={row.get('metric')}" for row in rows)[:600]


def _named(bound: Mapping[str, object]) -> str:
    return ",".join(f"{key}={bound[key]}" for key in ("filter", "metric") if bound.get(key))
