"""Where pods stand on their way to ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ascendllm.checks.result import one_line

__all__ = ["Stage", "cut", "quoted", "quoted_message"]

_MESSAGE_LIMIT = 900
_QUOTE_LIMIT = 500
_INNER_MARKS = str.maketrans(dict.fromkeys('"“”„', "'"))


@dataclass(frozen=True)
class Stage:
    """A reason and a message for a condition; both are made printable."""

    reason: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", one_line(self.reason))
        object.__setattr__(self, "message", one_line(self.message))


def cut(text: str, limit: int = _MESSAGE_LIMIT) -> str:
    """The text in one printable line, or its beginning with an ellipsis, in `limit` characters."""
    text = one_line(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quoted(text: str, limit: int = _QUOTE_LIMIT) -> str:
    """Somebody else's text in quotation marks, which nothing in it can close.

    So a log or a registry cannot put a sentence into a message of ours.
    """
    return f'"{cut(one_line(text).strip(), limit).translate(_INNER_MARKS)}"'


def quoted_message(source: Mapping[str, Any], otherwise: str = "no message") -> str:
    """The message of a status or condition, which is another component's, in quotation marks."""
    message = source.get("message")
    return quoted(str(message)) if message else otherwise
