"""Two runs beside each other: the before/after table, and what became worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ascendllm.checks.judging.bench_figures import FIGURES, Better, Place, figure, points
from ascendllm.checks.result import rounded

__all__ = ["Regressions", "change_percent", "comparison", "regressions", "same_measurement"]

_SAME = (
    "protocolNumber",
    "dataset",
    "datasetHash",
    "requestRate",
    "burstiness",
    "inputTokens",
    "outputTokens",
    "prefixTokens",
    "underLoad",
)
"""What two runs must have in common where both say it: else they measured different things."""


def comparison(
    before: Mapping[str, object], after: Mapping[str, object]
) -> list[dict[str, object]]:
    """A row `{figure, before, after, changePercent}` for each figure that both have."""
    rows: list[dict[str, object]] = []
    for name in FIGURES:
        old, new = figure(before, name), figure(after, name)
        if old is not None and new is not None:
            row = {"figure": name, "before": rounded(old), "after": rounded(new)}
            rows.append(row | {"changePercent": change_percent(old, new)})
    return rows


def change_percent(before: Decimal, after: Decimal) -> float | None:
    """How far `after` is from `before`, in percent of it; None from nothing to something."""
    if before == 0:
        return 0.0 if after == 0 else None
    return rounded((after - before) * 100 / abs(before))


@dataclass(frozen=True, slots=True)
class Regressions:
    """What came out of comparing two runs.

    Args:
        worse: What became worse, for people.
        compared: How many figures were compared.
    """

    worse: tuple[str, ...]
    compared: int


def regressions(
    before: Mapping[str, object],
    after: Mapping[str, object],
    names: Sequence[str],
    tolerance: Decimal,
) -> Regressions:
    """The figures that became worse by more than `tolerance` percent of what they were.

    Two sweeps are compared point by point, at the concurrencies that both have: their heads may
    be of different loads.
    """
    worse: list[str] = []
    compared = 0
    for name in names:
        better = FIGURES[name].better
        if better is None:
            continue
        for place, old, new in _pairs(before, after, name):
            compared += 1
            if _worse(old, new, better, tolerance):
                change = change_percent(old, new)
                shown = "from nothing" if change is None else f"{change:+.2f} %"
                worse.append(f"{name}{place} {new} after {old} ({shown})")
    return Regressions(tuple(worse), compared)


def same_measurement(before: Mapping[str, object], after: Mapping[str, object]) -> str | None:
    """What keeps two runs from being compared, such as another data set; None: nothing does."""
    keys = _SAME if before.get("sweep") and after.get("sweep") else (*_SAME, "concurrency")
    if bool(before.get("sweep")) != bool(after.get("sweep")):
        return "one of them is a sweep"
    for key in keys:
        old, new = before.get(key), after.get(key)
        if key in before and key in after and old != new:
            return f"its {key} is {old!r:.90}, this run's {new!r:.90}"
    return None


def _pairs(
    before: Mapping[str, object], after: Mapping[str, object], name: str
) -> Iterator[tuple[str, Decimal, Decimal]]:
    for old, new in _places(before, after, name):
        values = figure(old.figures, name), figure(new.figures, name)
        if values[0] is not None and values[1] is not None:
            yield new.name, values[0], values[1]


def _places(
    before: Mapping[str, object], after: Mapping[str, object], name: str
) -> Iterator[tuple[Place, Place]]:
    earlier = {place.figures.get("concurrency"): place for place in points(before)}
    later = list(points(after))
    if not earlier or not later or not FIGURES[name].per_point:
        yield Place("", before), Place("", after)
        return
    for place in later:
        concurrency = place.figures.get("concurrency")
        if concurrency in earlier:
            yield earlier[concurrency], place


def _worse(before: Decimal, after: Decimal, better: Better, tolerance: Decimal) -> bool:
    loss = after - before if better == "lower" else before - after
    return loss * 100 > tolerance * abs(before)
