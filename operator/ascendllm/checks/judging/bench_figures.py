"""The figures of bench that can be judged: their names, and which direction is better.

Used by the resource's validation as well, so it stays light.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast

from ascendllm.checks.judging.decimals import decimal_of
from ascendllm.exceptions import SpecError

__all__ = ["FIGURES", "Better", "Figure", "Place", "check_figure", "figure", "points"]

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Figure:
    """What is known of a figure.

    Args:
        better: The direction that is an improvement; None where neither is.
        per_point: Whether each point of a sweep has it; the others are of the whole run or of the
            point that the run is headed by.
    """

    better: Better | None
    per_point: bool = False


_POINT_LATENCIES = frozenset(
    ("meanTtftMs", "p99TtftMs", "meanTpotMs", "p99TpotMs", "meanItlMs", "meanE2elMs", "p99E2elMs")
)
_LATENCIES = tuple(
    f"{statistic}{metric}Ms"
    for metric in ("Ttft", "Tpot", "Itl", "E2el")
    for statistic in ("mean", "median", "std", "p99")
)

FIGURES: Mapping[str, Figure] = {
    "completed": Figure("higher", per_point=True),
    "failed": Figure("lower"),
    "totalInputTokens": Figure(None),
    "totalOutputTokens": Figure(None),
    "duration": Figure("lower", per_point=True),
    "requestThroughput": Figure("higher", per_point=True),
    "outputThroughput": Figure("higher", per_point=True),
    "totalTokenThroughput": Figure("higher", per_point=True),
    "outputThroughputPerNpu": Figure("higher"),
    "requestGoodput": Figure("higher"),
    **{name: Figure("lower", name in _POINT_LATENCIES) for name in _LATENCIES},
    "longContext.ttftMs": Figure("lower"),
    "longContext.tpotMs": Figure("lower"),
    "longContext.e2elMs": Figure("lower"),
    "connectMs": Figure("lower"),
    "clientLagMs": Figure("lower"),
    "otherRequests": Figure("lower"),
}
"""Every figure that a threshold, a regression or a comparison may name.

A name with a dot is a key of an object in the result.
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The figures of one load: the run, or one point of its sweep.

    Args:
        name: Empty for the run, ` at concurrency 4` for a point.
        figures: Its figures.
    """

    name: str
    figures: Mapping[str, object]


def check_figure(name: str) -> None:
    """Refuse what is no figure of bench.

    Raises:
        SpecError: `UnknownFigure`, with the names that come near.
    """
    if name in FIGURES:
        return
    folded = {known.casefold(): known for known in FIGURES}
    near = [folded[key] for key in difflib.get_close_matches(name[:100].casefold(), folded, n=3)]
    known = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(FIGURES)}"
    raise SpecError("UnknownFigure", f"{name[:100]!r} is no figure of bench: {known}")


def figure(figures: Mapping[str, object], name: str) -> Decimal | None:
    """A figure's value; None where the run lacks it."""
    holder, _, key = name.rpartition(".")
    found = figures.get(holder) if holder else figures
    return decimal_of(found.get(key)) if isinstance(found, Mapping) else None


def points(figures: Mapping[str, object]) -> Iterator[Place]:
    """The points of a sweep, in the run's order; none where there was no sweep."""
    sweep = figures.get("sweep")
    for point in sweep if isinstance(sweep, list | tuple) else ():
        if isinstance(point, Mapping):
            held = cast("Mapping[str, object]", point)
            yield Place(f" at concurrency {held.get('concurrency')}", held)
