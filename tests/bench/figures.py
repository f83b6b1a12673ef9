"""What a measurement gives, as a table for people and as JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Figure", "MeasureError", "Measured", "document", "percentile", "table"]


class MeasureError(Exception):
    """A measurement could not be made; the message says why."""


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        what: What it is, for people.
        value: In `unit`.
        unit: Such as ms, s, MB (10^6 bytes), or "" for a count.
        limit: What it should keep; None where there is none.
        at_least: Whether the limit is the least that is wanted, instead of the most.
    """

    what: str
    value: float
    unit: str = ""
    limit: float | None = None
    at_least: bool = False

    @property
    def kept(self) -> bool | None:
        """Whether the limit is kept; None without one."""
        if self.limit is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Measured:
    """The figures of one benchmark.

    Attributes:
        name: The benchmark.
        load: The machine's load average over the minute before it began.
        figures: In the order in which they are shown.
    """

    name: str
    load: float
    figures: tuple[Figure, ...]


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least `percent` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def table(measured: Sequence[Measured]) -> str:
    """One line a figure, in Markdown, so that it can be pasted into a document."""
    rows = [("benchmark", "figure", "measured", "limit", "kept", "load")]
    for one in measured:
        rows += [(one.name, *_cells(figure), f"{one.load:.1f}") for figure in one.figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_line(row, widths) for row in [rows[0], rule, *rows[1:]])


def document(measured: Sequence[Measured], machine: Mapping[str, Any]) -> dict[str, Any]:
    """The same for programs."""
    benchmarks = {
        one.name: {
            "load": round(one.load, 2),
            "figures": [
                {**asdict(figure), "value": round(figure.value, 3), "kept": figure.kept}
                for figure in one.figures
            ],
        }
        for one in measured
    }
    return {"machine": dict(machine), "benchmarks": benchmarks}


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    limit = ""
    if figure.limit is not None:
        limit = f"{'≥' if figure.at_least else '≤'} {_number(figure.limit, figure.unit)}"
    kept = {None: "", True: "yes", False: "NO"}[figure.kept]
    return figure.what, _number(figure.value, figure.unit), limit, kept


def _number(value: float, unit: str) -> str:
    digits = 0 if value == int(value) or value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}".rstrip()


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
    return f"| {' | '.join(cells)} |"
