"""The work queue: which resources are to be reconciled, when, and how often after failures.

A key is worked on by one worker at a time. Added while it is worked on, it is worked on once more.
A failure is tried again after a growing pause; other keys go on meanwhile. A namespace takes no
more workers than it leaves free: however slow the passes of some are, others find a worker.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable

from ascendllm.exceptions import AscendError
from ascendllm.reconcile import Key

__all__ = ["WorkQueue"]

logger = logging.getLogger(__name__)

Handler = Callable[[Key], Awaitable[float | None]]
Observer = Callable[[str, float], None]

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0
_PASS_TIMEOUT = 120.0


def _ignore(result: str, seconds: float) -> None:
    """Take no notice of a pass."""


class WorkQueue:
    """Keys to reconcile.

    Args:
        handler: Reconciles a key; returns after how many seconds to look again, or None.
        workers: How many keys are worked on at the same time, at most half of them of one
            namespace.
        observe: Called after each pass with its result (`success`, `error`) and its seconds.
    """

    def __init__(self, handler: Handler, *, workers: int = 16, observe: Observer = _ignore) -> None:
        self._handler = handler
        self._observe = observe
        self._workers = workers
        self._due: list[tuple[float, int, Key]] = []
        self._when: dict[Key, float] = {}
        self._running: set[Key] = set()
        self._waiting: dict[str, deque[Key]] = {}
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._order = itertools.count()
        self._changed = asyncio.Event()
        self._stamp = time.monotonic()

    def __len__(self) -> int:
        now = time.monotonic()
        return sum(moment <= now for moment in self._when.values()) + len(self._again)

    def add(self, key: Key, after: float = 0.0) -> None:
        """Have a key reconciled; an earlier moment wins over a later one."""
        if key in self._running and after <= 0:
            self._again.add(key)
            return
        moment = time.monotonic() + max(0.0, after)
        if key in self._when and self._when[key] <= moment:
            return
        self._when[key] = moment
        heapq.heappush(self._due, (moment, next(self._order), key))
        self._changed.set()

    @property
    def silent_seconds(self) -> float:
        """Since when no worker has looked at the queue: a growing number means a stuck process."""
        return time.monotonic() - self._stamp

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._next()
            self._running.add(key)
            try:
                await self._pass(key)
            finally:
                self._running.discard(key)
                self._make_due()
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    async def _next(self) -> Key:
        while True:
            self._stamp = time.monotonic()
            pause = 5.0
            while self._due:
                moment, _, key = self._due[0]
                if self._when.get(key) != moment:
                    heapq.heappop(self._due)
                    continue
                pause = moment - time.monotonic()
                if pause > 0:
                    break
                heapq.heappop(self._due)
                if self._is_at_its_share(key[0]):
                    self._waiting.setdefault(key[0], deque()).append(key)
                    continue
                del self._when[key]
                return key
            self._changed.clear()
            try:
                async with asyncio.timeout(min(max(pause, 0.0), 5.0)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _is_at_its_share(self, namespace: str) -> bool:
        running = sum(key[0] == namespace for key in self._running)
        return running > 0 and running >= self._workers - len(self._running)

    def _make_due(self) -> None:
        """Lets keys that wait for a worker have their turn, now that one is free."""
        free = self._workers - len(self._running)
        for namespace, waiting in list(self._waiting.items()):
            for _ in range(min(free, len(waiting))):
                key = waiting.popleft()
                heapq.heappush(self._due, (self._when[key], next(self._order), key))
            if not waiting:
                del self._waiting[namespace]
        self._changed.set()

    async def _pass(self, key: Key) -> None:
        started = time.monotonic()
        result = "success"
        try:
            async with asyncio.timeout(_PASS_TIMEOUT):
                after = await self._handler(key)
            self._failures.pop(key, None)
            if after is not None:
                self.add(key, after)
        except Exception as error:  # one resource's trouble must not end the others'
            result = "error"
            pause = self._pause(key)
            known = isinstance(error, AscendError | TimeoutError)
            logger.warning(
                "reconcile failed, again in %.0f s: %s",
                pause,
                error or type(error).__name__,
                exc_info=not known,
                extra={"namespace": key[0], "name_": key[1]},
            )
            self.add(key, pause)
        self._observe(result, time.monotonic() - started)

    def _pause(self, key: Key) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        pause = min(_FIRST_PAUSE * 2.0**failures, _LONGEST_PAUSE)
        return pause * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, keeps no secret
