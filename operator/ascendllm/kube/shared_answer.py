"""Shares one answer of the API server among all who need it at about the same time."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

__all__ = ["SharedAnswer"]

T = TypeVar("T")

_RETRY_SECONDS = 1.0


class SharedAnswer(Generic[T]):
    """An answer that is asked for again when it is too old.

    One request is under way at a time, and all who need the answer meanwhile wait for it. An error
    is raised to all of them, and to those who come within a second: otherwise each would ask again
    at once.

    Args:
        ask: Makes the request.
        fresh_seconds: For how long an answer is used after it has arrived.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        ask: Callable[[], Coroutine[Any, Any, T]],
        fresh_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._request: asyncio.Task[T] | None = None
        self._arrived = 0.0

    @property
    def is_expired(self) -> bool:
        """Whether the next who needs the answer asks for it anew."""
        request = self._request
        if request is None or (request.done() and request.cancelled()):
            return True
        if not request.done():
            return False
        failed = request.exception() is not None
        age = self._clock() - self._arrived
        return age >= (min(_RETRY_SECONDS, self._fresh_seconds) if failed else self._fresh_seconds)

    async def get(self) -> T:
        """The answer; errors are those of `ask`."""
        request = self._request
        if request is None or self.is_expired:
            # It belongs to nobody's pass alone.
            request = self._request = asyncio.create_task(
                self._make_request(), context=contextvars.Context()
            )
        # One who stops waiting must not end the request for the others.
        return await asyncio.shield(request)

    async def _make_request(self) -> T:
        try:
            return await self._ask()
        finally:
            self._arrived = self._clock()
