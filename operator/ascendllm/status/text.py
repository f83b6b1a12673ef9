"""Texts of a status: bounded and printable.

A status is kept in etcd and sent to every watcher at each change. Its texts quote servers, and end
in terminals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm.checks.result import one_line

__all__ = ["printable", "shortened"]

_VERBATIM = frozenset({"lastHandledRevalidate"})
"""Compared with the annotation that a user wrote, to the letter."""


def shortened(text: str, size: int) -> str:
    """The text, or its beginning with an ellipsis, in at most `size` bytes of UTF-8."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= size:
        return encoded.decode()
    return encoded[: size - len("…".encode())].decode(errors="ignore") + "…"


def printable(status: Mapping[str, Any]) -> dict[str, Any]:
    """The status with only printable characters in its texts, none of which becomes longer."""
    return {key: value if key in _VERBATIM else _printable(value) for key, value in status.items()}


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, Mapping):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value
