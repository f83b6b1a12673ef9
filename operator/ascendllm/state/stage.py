"""Where pods stand on their way to ready."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stage", "cut"]

_MESSAGE_LIMIT = 900


@dataclass(frozen=True)
class Stage:
    """A reason and a message for a condition."""

    reason: str
    message: str


def cut(text: str, limit: int = _MESSAGE_LIMIT) -> str:
    """The text, or its beginning with an ellipsis, in at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
