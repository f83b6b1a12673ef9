"""The load itself: one selector, and whatever is due on it.

A request is due when the one before it has ended (closed loop), or at its time (open loop). It
goes over a connection that is open; where none is, one is opened first, which is in no latency.
Answers are read (JSON) only while nothing else is due, unless too many wait.
"""

from __future__ import annotations

import math
import select
import selectors
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from ascendllm.checks.bench.load.answer import WHAT
from ascendllm.checks.bench.load.connection import (
    GREETING,
    Backlog,
    Connection,
    Prepared,
    Stage,
    Target,
)
from ascendllm.checks.bench.load.frames import Plan
from ascendllm.checks.bench.load.pool import BOTH, MOST_GREETED, READ_ON, Pool
from ascendllm.checks.bench.load.wire import Clock
from ascendllm.checks.bench.measured import Measured
from ascendllm.checks.bench.tally import to_units
from ascendllm.checks.endpoint import unreachable
from ascendllm.exceptions import CheckError

__all__ = ["Load"]

SLICE = 16
"""Pieces that are read in one go: some 60 microseconds."""

MOST_WAITING = 200_000
"""Pieces: some 60 MB; with more, they are read even though other things are due."""

IDLE_SECONDS = 2.0
"""A used connection that idles longer is replaced: vLLM's server closes it after 5 s."""

GREETING_SECONDS = 30.0
LOOK_SECONDS = 0.25


class Load:
    """One process's share.

    Args:
        plan: What to do.
        tell: Called now and then with the requests done.
        channel: A file to watch beside; `heard` is called when it is readable.
        heard: See `channel`.
    """

    def __init__(
        self, plan: Plan, tell: Callable[[int], None], channel: int, heard: Callable[[], None]
    ) -> None:
        self._plan = plan
        self._tell = tell
        self._heard = heard
        self._clock = Clock()
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ, None)
        self._backlog: Backlog = deque()
        self._requests: deque[Prepared] = deque()
        self._due: deque[float] = deque()
        """When each of the next requests is, or was, due."""
        self._schedule: deque[float] = deque()
        self._closed_loop = True
        self._in_flight = 0
        self._measuring = False
        self._wanted = plan.connections if plan.concurrency is None else plan.concurrency
        """Connections to hold ready for the load's start."""
        self._start = math.inf
        """When the load is to start."""
        self._began = 0.0
        self._looked = 0.0
        self.measured = Measured()
        self.failed = 0
        self._target = Target(plan.endpoint)
        self._pool = Pool(
            self._target, plan.addresses, self._selector, self._backlog, self.measured.connect
        )

    def prepare(self) -> None:
        """Open the connections, each with an answered request, and warm the server up.

        Raises:
            CheckError: The server can't be reached, or a warm-up failed.
        """
        plan = self._plan
        self.wait(lambda: len(self._pool.idle) >= self._wanted, self._wanted * 2 + MOST_GREETED)
        self._pool.greeting = False
        self._requests.extend(self._target.prepared(r, plan.salt) for r in plan.warmups)
        self._run([self._clock.now] * min(len(self._requests), self._wanted))
        self._requests.extend(self._target.prepared(r, plan.salt) for r in plan.requests)
        self._plan = replace(plan, requests=(), warmups=())  # they are bytes now, once is enough

    def wait(self, until: Callable[[], bool], most_lost: float = math.inf) -> None:
        """Keep the connections fresh until something has happened.

        Raises:
            CheckError: `ServerUnreachable`, also where the server has closed more than `most_lost`.
        """
        while not until():
            self._pool.open_more(self._wanted - len(self._pool.connections))
            if self._pool.lost > most_lost:
                raise self._pool.all_lost()
            self._turn()

    def run(self, start: float) -> Measured:
        """Run the load from `start` (seconds of CLOCK_MONOTONIC) to its end.

        Raises:
            CheckError: A request failed: there are no figures over the rest.
        """
        plan = self._plan
        self._start = start
        self.wait(lambda: time.monotonic() >= start)
        self._start = math.inf
        self._measuring, self._began = True, start
        if plan.due is None:
            # From now, not from `start`: a closed loop that begins late is late in nothing else.
            now = time.monotonic()
            self._run([now] * min(plan.concurrency or 1, len(self._requests)))
        else:
            self._closed_loop = False
            self._schedule.extend(start + due for due in plan.due)
            self._run([])
        return self.measured

    def close(self) -> None:
        """Close everything."""
        self._pool.close()
        self._selector.close()

    def _run(self, due: list[float]) -> None:
        self._due.extend(due)
        while self._due or self._schedule or self._in_flight or self._backlog:
            self._turn()

    def _turn(self) -> None:
        """One pass: what is readable, what is due, and if there is nothing, what is unread."""
        clock = self._clock
        self._dispatch()
        events = self._select(self._patience())
        for key, mask in events:
            if key.data is None:
                self._heard()
            else:
                self._serve(key.data, mask)
        if not events or len(self._backlog) > MOST_WAITING:
            self._read_on()
        if clock.now - self._looked >= LOOK_SECONDS:
            self._look()

    def _select(self, patience: float) -> list[tuple[selectors.SelectorKey, int]]:
        """What is readable or writable, after at most `patience` seconds."""
        clock = self._clock
        clock.ask()
        if 0 < patience < LOOK_SECONDS:
            # A selector waits in whole milliseconds; a selector's own file can be waited for finer.
            select.select([self._selector], [], [], patience)
            patience = 0
        events = self._selector.select(patience)
        clock.tick()
        return events

    def _patience(self) -> float:
        """Seconds for which nothing is to be done but to wait."""
        if self._backlog:
            return 0.0
        if self._schedule:
            return min(max(0.0, self._schedule[0] - time.monotonic()), LOOK_SECONDS)
        return min(max(0.0, self._start - time.monotonic()), LOOK_SECONDS)

    def _dispatch(self) -> None:
        """Send what is due."""
        if self._schedule:
            now = time.monotonic()
            while self._schedule and self._schedule[0] <= now:
                self._due.append(self._schedule.popleft())
        while self._due and self._pool.idle:
            self._send(self._pool.idle.pop())
        missing = len(self._due) - self._pool.opening
        if missing > 0 and len(self._pool.connections) >= self._plan.most_in_flight:
            raise CheckError(
                "TooManyInFlight",
                f"{self._in_flight} requests are in flight and more are due: the server does not "
                "keep up with this rate; lower --request-rate, or raise --shards",
            )
        self._pool.open_more(missing)

    def _send(self, connection: Connection) -> None:
        if connection.used and connection.wire.ended():
            self._pool.drop(connection)
            return
        try:
            connection.send(self._requests[0], self._due[0], self._measuring)
        except OSError:
            self._pool.drop(
                connection
            )  # nothing left this machine: it goes over another connection
            return
        self._requests.popleft()
        self._due.popleft()
        self._in_flight += 1
        if connection.wire.wants_write:
            self._selector.modify(connection.wire.socket, BOTH, connection)

    def _serve(self, connection: Connection, mask: int) -> None:
        stage = connection.stage
        if stage is Stage.OPENING:
            self._pool.advance(connection)
            return
        try:
            if mask & selectors.EVENT_WRITE:
                connection.wire.flush()
                if not connection.wire.wants_write:
                    self._selector.modify(connection.wire.socket, READ_ON, connection)
                if not mask & selectors.EVENT_READ:
                    return
            late = connection.read(self._clock)
        except OSError as error:
            if stage is not Stage.IDLE:
                self.failed += stage is Stage.BUSY
                raise connection.broken(str(error) or type(error).__name__) from None
            late = None
        except CheckError:
            self.failed += stage is Stage.BUSY
            raise
        if late is not None and late >= 0 and self._measuring:
            self.measured.stamp_lag.add((to_units(late),))
        if connection.stage is Stage.IDLE and stage is not Stage.IDLE:
            self._free(connection, stage, late is not None and connection.keep)
        elif late is None:
            self._pool.lose(connection)

    def _free(self, connection: Connection, before: Stage, keep: bool) -> None:
        """A response has ended."""
        if before is Stage.BUSY:
            self._in_flight -= 1
            exchange = connection.exchange
            connection.exchange = None
            if self._closed_loop and len(self._requests) > len(self._due) and exchange:
                self._due.append(exchange.end)
        if keep and not connection.wire.wants_write:
            self._pool.idle.append(connection)
        elif before is Stage.BUSY:
            self._pool.drop(connection)
        else:
            self._pool.lose(connection)

    def _read_on(self) -> None:
        """Read some of what the answers said."""
        for _ in range(min(SLICE, len(self._backlog))):
            exchange, piece, moment = self._backlog.popleft()
            try:
                if piece:
                    exchange.answer.feed(piece, moment)
                    continue
                sample = exchange.answer.sample(exchange.due, exchange.start, exchange.end)
            except CheckError:
                self.failed += 1
                raise
            if exchange.measured:
                self.measured.start_blur.add((to_units(exchange.sent - exchange.start),))
                self.measured.take(sample, self._began, self._plan.details)

    def _look(self) -> None:
        """What is looked at now and then: deadlines, idle connections, progress."""
        now = self._looked = self._clock.now
        plan = self._plan
        for connection in self._pool.connections:
            silent = now - connection.heard
            if connection.exchange is not None:
                lasts = now - connection.exchange.start
                if silent > plan.silence or lasts > plan.request_timeout:
                    self.failed += 1
                    raise unreachable(WHAT, TimeoutError())
            elif connection.stage is not Stage.IDLE and silent > GREETING_SECONDS:
                raise unreachable(GREETING, TimeoutError())
        for connection in [c for c in self._pool.idle if c.used and now - c.heard > IDLE_SECONDS]:
            self._pool.drop(connection)
            if not self._closed_loop:
                self._pool.open_more(1)
        self._tell(self.measured.completed)
