"""Whoever tokenizes, writes and scores: a server, or a model in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Prompt", "Scored", "Source"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked: a text to go on with, or the messages of a chat.

    Args:
        id: Its name.
        text: The text; of a chat the last message's.
        messages: None for a text.
    """

    id: str
    text: str
    messages: tuple[Mapping[str, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """One token of a sequence, seen from the tokens before it.

    Args:
        logprob: Nat.
        rank: 1 for the likeliest token there.
        top: The likeliest tokens there, `(id, logprob)`, the likeliest first.
    """

    logprob: float
    rank: int
    top: tuple[tuple[int, float], ...]


class Source(Protocol):
    """A model that can be asked about token ids."""

    async def tokenize(self, text: str) -> list[int]:
        """A text's ids, with the special tokens that are put around it."""
        ...

    async def prompt_ids(self, prompt: Prompt) -> list[int]:
        """A prompt's ids; of a chat those of its template with the answer's turn opened."""
        ...

    async def write(self, ids: Sequence[int], max_tokens: int) -> list[int]:
        """The greedy answer's ids, the one that ended it included."""
        ...

    async def score(self, ids: Sequence[int], top: int) -> list[Scored]:
        """Every token but the first, teacher-forced: `len(ids) - 1` items."""
        ...
