"""The load itself: one selector, and whatever is due on it.

A request is due when the one before it has ended (closed loop), or at its time (open loop). It
goes over a connection that is open; where none is, one is opened first, which is in no latency.
Answers are read (JSON) only while nothing else is due, unless too many wait.
"""

from __future__ import annotations

import itertools
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
from ascendllm.checks.bench.load.wire import Clock
from ascendllm.checks.bench.measured import Measured
from ascendllm.checks.bench.tally import to_units
from ascendllm.checks.endpoint import unreachable
from ascendllm.exceptions import CheckError

__all__ = ["Load"]

READ_ON = selectors.EVENT_READ
BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE

MOST_OPENING = 64
"""Connections that are opened at the same time."""

SLICE = 16
"""Pieces that are read in one go: some 60 microseconds."""

MOST_WAITING = 200_000
"""Pieces: some 60 MB; with more, they are read even though other things are due."""

IDLE_SECONDS = 2.0
"""A used connection that idles longer is replaced: vLLM's server closes it after 5 s."""

MOST_GREETED = 8
"""Greeted connections that the server may close before it is taken for one that keeps none."""

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
        self._target = Target(plan.endpoint)
        self._addresses = itertools.cycle(plan.addresses)
        self._clock = Clock()
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ, None)
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._opening = 0
        self._backlog: Backlog = deque()
        self._requests: deque[Prepared] = deque()
        self._due: deque[float] = deque()
        """When each of the next requests is, or was, due."""
        self._schedule: deque[float] = deque()
        self._closed_loop = True
        self._in_flight = 0
        self._measuring = False
        self._greeting = True
        """Whether a new connection is greeted: not once the server turns out to close those."""
        self._lost = 0
        """Idle connections that the server has closed before the load."""
        self._wanted = plan.connections if plan.concurrency is None else plan.concurrency
        """Connections to hold ready for the load's start."""
        self._start = math.inf
        """When the load is to start."""
        self._began = 0.0
        self._looked = 0.0
        self.measured = Measured()
        self.failed = 0

    def prepare(self) -> None:
        """Open the connections, each with an answered request, and warm the server up.

        Raises:
            CheckError: The server can't be reached, or a warm-up failed.
        """
        plan = self._plan
        self.wait(lambda: len(self._idle) >= self._wanted)
        self._greeting = False
        self._requests.extend(self._target.prepared(r, plan.salt) for r in plan.warmups)
        self._run([self._clock.now] * min(len(self._requests), self._wanted))
        self._requests.extend(self._target.prepared(r, plan.salt) for r in plan.requests)
        self._plan = replace(plan, requests=(), warmups=())  # they are bytes now, once is enough

    def wait(self, until: Callable[[], bool]) -> None:
        """Keep the connections fresh until something has happened."""
        while not until():
            missing = self._wanted - len(self._connections)
            for _ in range(min(missing, MOST_OPENING - self._opening)):
                self._open()
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
        for connection in self._connections:
            connection.wire.close()
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
        while self._due and self._idle:
            self._send(self._idle.pop())
        for _ in range(min(len(self._due) - self._opening, MOST_OPENING - self._opening)):
            if len(self._connections) >= self._plan.most_in_flight:
                raise CheckError(
                    "TooManyInFlight",
                    f"{len(self._connections)} requests are in flight and more are due: the server "
                    "does not keep up with this rate; lower --request-rate or raise --processes",
                )
            self._open()

    def _send(self, connection: Connection) -> None:
        if connection.used and connection.wire.ended():
            self._drop(connection)
            return
        try:
            connection.send(self._requests[0], self._due[0], self._measuring)
        except OSError:
            self._drop(connection)  # nothing left this machine: it goes over another connection
            return
        self._requests.popleft()
        self._due.popleft()
        self._in_flight += 1
        if connection.wire.wants_write:
            self._selector.modify(connection.wire.socket, BOTH, connection)

    def _open(self) -> None:
        address = next(self._addresses)
        try:
            connection = Connection(self._target, address, self._backlog)
        except OSError as error:
            raise unreachable(f"connecting to {address}", error) from None
        self._connections.add(connection)
        self._opening += 1
        self._selector.register(connection.wire.socket, BOTH, connection)

    def _drop(self, connection: Connection) -> None:
        self._selector.unregister(connection.wire.socket)
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.wire.close()

    def _serve(self, connection: Connection, mask: int) -> None:
        stage = connection.stage
        if stage is Stage.OPENING:
            self._advance(connection)
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
            self._lose(connection)

    def _advance(self, connection: Connection) -> None:
        """Go on with opening, then greet."""
        try:
            if not connection.wire.advance():
                wanted = BOTH if connection.wire.wants_write else READ_ON
                self._selector.modify(connection.wire.socket, wanted, connection)
                return
            self._opening -= 1
            wire = connection.wire
            self.measured.connect.add((to_units(wire.opened - wire.began),))
            self._selector.modify(wire.socket, READ_ON, connection)
            if self._greeting:
                connection.greet()
            else:
                connection.stage = Stage.IDLE
                self._idle.append(connection)
        except OSError as error:
            what = f"connecting to {self._target.endpoint.root}"
            raise unreachable(what, error) from None

    def _free(self, connection: Connection, before: Stage, keep: bool) -> None:
        """A response has ended."""
        if before is Stage.BUSY:
            self._in_flight -= 1
            exchange = connection.exchange
            connection.exchange = None
            if self._closed_loop and len(self._requests) > len(self._due) and exchange:
                self._due.append(exchange.end)
        if keep and not connection.wire.wants_write:
            self._idle.append(connection)
        elif before is Stage.BUSY:
            self._drop(connection)
        else:
            self._lose(connection)

    def _lose(self, connection: Connection) -> None:
        """The server has closed a connection that carried no request of the load."""
        self._drop(connection)
        if self._measuring:
            return
        self._lost += 1
        if self._lost > MOST_GREETED:
            self._greeting = False
        if self._lost > 2 * self._wanted + MOST_GREETED:
            raise CheckError(
                "ServerUnreachable",
                f"{self._target.endpoint.root} closes connections before a request is sent: "
                f"{self._lost} so far; is a proxy in between?",
            )

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
        for connection in self._connections:
            silent = now - connection.heard
            if connection.exchange is not None:
                lasts = now - connection.exchange.start
                if silent > plan.silence or lasts > plan.request_timeout:
                    self.failed += 1
                    raise unreachable(WHAT, TimeoutError())
            elif connection.stage is not Stage.IDLE and silent > GREETING_SECONDS:
                raise unreachable(GREETING, TimeoutError())
        for connection in [c for c in self._idle if c.used and now - c.heard > IDLE_SECONDS]:
            self._drop(connection)
            if not self._closed_loop:
                self._open()
        self._tell(self.measured.completed)
