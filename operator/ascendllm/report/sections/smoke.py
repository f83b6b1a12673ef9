"""Smoke: each thing that was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm.report.blocks import Block, Section, Table
from ascendllm.report.sections.parts import rows_of, verdict
from ascendllm.report.table import number

__all__ = ["smoke"]


def smoke(check: Mapping[str, Any], title: str = "Smoke") -> Section:
    """What was expected and seen stands where it differs."""
    blocks: list[Block] = [verdict(check)]
    items = rows_of(check, "checks")
    if items:
        rows = [
            (
                str(item.get("name", "")),
                str(item.get("result", "")),
                number(item.get("latencyMs")),
                str(item.get("expected") or ""),
                str(item.get("seen") or ""),
            )
            for item in items
        ]
        wide = any(row[3] or row[4] for row in rows)
        head = ("Check", "Result", "Latency (ms)", "Expected", "Seen")
        width = len(head) if wide else 3
        blocks.append(Table(head[:width], [row[:width] for row in rows]))
    return Section(title, blocks)
