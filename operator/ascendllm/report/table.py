"""Plain aligned tables."""

from __future__ import annotations

from collections.abc import Sequence

from ascendllm.checks.result import one_line

__all__ = ["aligned", "number", "progress_bar"]

_BAR = 20


def aligned(rows: Sequence[Sequence[str]], gap: str = "   ") -> str:
    """Rows as columns of equal width, one row a line, with only printable characters."""
    if not rows:
        return ""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def number(value: object, digits: int = 2) -> str:
    """A figure with its decimals, or a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    return f"{value:.{digits}f}"


def progress_bar(done: int, total: int) -> str:
    """How far something is, as a bar of fixed width."""
    share = min(1.0, max(0.0, done / total)) if total > 0 else 0.0
    filled = round(_BAR * share)
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {done}/{total}"
