"""What a single look at the server can come to, beside passing."""

from __future__ import annotations

__all__ = ["NotApplicableError", "WrongError", "shown"]


class WrongError(Exception):
    """The server answered, and wrongly: a verdict, unlike a `CheckError`."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}, seen {seen}")
        self.expected = expected
        self.seen = seen


class NotApplicableError(Exception):
    """There is nothing to look at here; the text says why."""


def shown(value: object) -> str:
    """A value of the server's, as far as a finding shows it."""
    return repr(value)[:160]
