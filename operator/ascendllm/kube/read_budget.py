"""Bounds the memory of all passes together, whatever tenants store.

A pass holds the objects of its resource while it waits for the API server, and several passes do so
at the same time. Each is free to read what resources usually have. A pass that needs more becomes a
large one, and waits until no other large one is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

__all__ = ["ReadBudget", "become_large", "fits", "weight_of"]

_VALUE_BYTES = 80
"""Memory of a small value: an empty object has 64 bytes, and its parent refers to it."""

_FREE_BYTES = 6 * 1024 * 1024
"""What a pass may read: with 10 revisions, 20 pods and 100 runs it reads 3 MiB."""


class _Pass:
    def __init__(self, large: asyncio.Lock) -> None:
        self._large = large
        self._first = asyncio.Lock()
        self._read = 0
        self._ended = False
        self.is_large = False

    def fits(self, weight: int) -> bool:
        if not self.is_large and not self._ended and self._read + weight > _FREE_BYTES:
            return False
        self._read += weight
        return True

    async def become_large(self) -> None:
        # Of the pass's own concurrent lists, one waits for all.
        async with self._first:
            if self.is_large or self._ended:
                return
            await self._large.acquire()
            self.is_large = True
        if self._ended:
            # A list that outlived its pass, since another one failed.
            self.end()

    def end(self) -> None:
        self._ended = True
        if self.is_large:
            self.is_large = False
            self._large.release()


_current: ContextVar[_Pass | None] = ContextVar("pass", default=None)


class ReadBudget:
    """What all passes share."""

    def __init__(self) -> None:
        self._large = asyncio.Lock()

    @asynccontextmanager
    async def one_pass(self) -> AsyncIterator[None]:
        """Counts what is read inside, by tasks started there too, as one pass."""
        this = _Pass(self._large)
        token = _current.set(this)
        try:
            yield
        finally:
            _current.reset(token)
            this.end()


def weight_of(text: bytes) -> int:
    """About how many bytes of memory JSON takes once it is decoded."""
    values = text.count(b",") + text.count(b"{") + text.count(b"[")
    return len(text) + _VALUE_BYTES * values


def fits(weight: int) -> bool:
    """Whether the current pass may hold so much more; if so, that is counted."""
    this = _current.get()
    return this is None or this.fits(weight)


async def become_large() -> None:
    """Waits until the current pass may hold as much as it needs."""
    this = _current.get()
    if this is not None:
        await this.become_large()
