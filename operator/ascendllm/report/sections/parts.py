"""What several sections are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ascendllm.report.blocks import Block, Table, Verdict
from ascendllm.report.table import number

__all__ = ["facts", "part", "rows_of", "signed", "texts", "verdict"]


def verdict(check: Mapping[str, Any]) -> Verdict:
    """A check's result and message."""
    return Verdict(str(check.get("result", "Pending")), str(check.get("message") or ""))


def facts(pairs: Iterable[tuple[str, object]]) -> list[Block]:
    """A table of names and values, without those that are not known; nothing if none is."""
    rows = [(name, str(value)) for name, value in pairs if value not in (None, "", "-")]
    return [Table(("", ""), rows)] if rows else []


def part(whole: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object of the status or the spec; an empty one where there is none."""
    value = whole.get(key)
    return value if isinstance(value, Mapping) else {}


def signed(value: object, digits: int = 2) -> str:
    """A difference, with its sign."""
    text = number(value, digits)
    return text if text.startswith("-") else f"+{text}"


def rows_of(check: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A list of objects of the status; what is none is left out."""
    value = check.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def texts(whole: Mapping[str, Any], key: str) -> list[str]:
    """A list of texts of the status."""
    value = whole.get(key)
    return [str(item) for item in value] if isinstance(value, list) else []
