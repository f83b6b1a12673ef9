"""Evaluations: lm-eval's table, with what was judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm.report.blocks import Block, Paragraph, Section, Table
from ascendllm.report.sections.parts import rows_of, signed, verdict
from ascendllm.report.table import number

__all__ = ["evals"]

_HEAD = (
    "Task", "Version", "Filter", "Shots", "Metric", "Samples", "Value", "Std. error", "Baseline",
    "Difference", "Tolerance", "Result",
)  # fmt: skip


def evals(check: Mapping[str, Any]) -> Section:
    """One row a task, filter and metric."""
    blocks: list[Block] = [verdict(check)]
    rows = [_row(item) for item in rows_of(check, "tasks")]
    if rows:
        blocks.append(Table(_HEAD, rows))
    if check.get("lmEvalVersion"):
        blocks.append(
            Paragraph(f"By lm-eval {check['lmEvalVersion']}; values that are shares in percent.")
        )
    return Section("Evaluations", blocks)


def _row(item: Mapping[str, Any]) -> tuple[str, ...]:
    raw = item.get("unit") is not None
    held = item.get("baseline") is not None
    return (
        *(str(item.get(key, "-")) for key in ("task", "version", "filter", "shots", "metric")),
        _samples(item),
        number(item.get("value"), 4) if raw else f"{number(item.get('value'))} %",
        number(item.get("standardError"), 4 if raw else 2),
        number(item.get("baseline")) if held else "-",
        signed(item.get("delta")) if item.get("delta") is not None else "-",
        number(item.get("tolerance")) if held else "-",
        str(item.get("result", "-")),
    )


def _samples(item: Mapping[str, Any]) -> str:
    whole = f" of {item['questions']}" if item.get("questions") is not None else ""
    return f"{item.get('samples', '-')}{whole}"
