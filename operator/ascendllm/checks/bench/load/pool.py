"""The connections of a load: opened and greeted beforehand, replaced when the server ends them."""

from __future__ import annotations

import itertools
import selectors
from collections.abc import Sequence

from ascendllm.checks.bench.load.connection import Backlog, Connection, Stage, Target
from ascendllm.checks.bench.load.wire import Address
from ascendllm.checks.bench.tally import Tally, to_units
from ascendllm.checks.endpoint import unreachable
from ascendllm.exceptions import CheckError

__all__ = ["BOTH", "MOST_GREETED", "READ_ON", "Pool"]

READ_ON = selectors.EVENT_READ
BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE

MOST_OPENING = 64
"""Connections that are opened at the same time."""

MOST_GREETED = 8
"""Greeted connections that the server may close before it is taken for one that keeps none."""


class Pool:
    """The connections.

    Args:
        target: The server.
        addresses: Its addresses; each in turn.
        selector: Where connections are watched.
        backlog: Where the pieces of answers go.
        connect: Takes the time that each connection took to open.
    """

    def __init__(
        self,
        target: Target,
        addresses: Sequence[Address],
        selector: selectors.BaseSelector,
        backlog: Backlog,
        connect: Tally,
    ) -> None:
        self._target = target
        self._addresses = itertools.cycle(addresses)
        self._selector = selector
        self._backlog = backlog
        self._connect = connect
        self.connections: set[Connection] = set()
        self.idle: list[Connection] = []
        """Those over which a request can be sent; the one that was used last is last."""
        self.opening = 0
        self.greeting = True
        """Whether a new connection is greeted: not once the server turns out to close those."""
        self.lost = 0
        """Connections without a request of the load that the server has closed."""

    def open_more(self, wanted: int) -> None:
        """Begin to open some more, as many as may be opened at the same time.

        Raises:
            CheckError: `ServerUnreachable`.
        """
        for _ in range(min(wanted, MOST_OPENING - self.opening)):
            address = next(self._addresses)
            try:
                connection = Connection(self._target, address, self._backlog)
            except OSError as error:
                raise unreachable(f"connecting to {address}", error) from None
            self.connections.add(connection)
            self.opening += 1
            self._selector.register(connection.wire.socket, BOTH, connection)

    def advance(self, connection: Connection) -> None:
        """Go on with opening one, then greet.

        Raises:
            CheckError: `ServerUnreachable`.
        """
        wire = connection.wire
        try:
            if not wire.advance():
                wanted = BOTH if wire.wants_write else READ_ON
                self._selector.modify(wire.socket, wanted, connection)
                return
            self.opening -= 1
            self._connect.add((to_units(wire.opened - wire.began),))
            self._selector.modify(wire.socket, READ_ON, connection)
            if self.greeting:
                connection.greet()
            else:
                connection.stage = Stage.IDLE
                self.idle.append(connection)
        except OSError as error:
            what = f"connecting to {self._target.endpoint.root}"
            raise unreachable(what, error) from None

    def drop(self, connection: Connection) -> None:
        """Close one that is open."""
        self._selector.unregister(connection.wire.socket)
        self.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        connection.wire.close()

    def lose(self, connection: Connection) -> None:
        """The server has closed one that carried no request of the load."""
        self.drop(connection)
        self.lost += 1
        if self.lost > MOST_GREETED:
            self.greeting = False

    def all_lost(self) -> CheckError:
        """What it means that the server closes one after the other."""
        return CheckError(
            "ServerUnreachable",
            f"{self._target.endpoint.root} closes connections before a request is sent: "
            f"{self.lost} so far; is a proxy in between?",
        )

    def close(self) -> None:
        """Close all."""
        for connection in self.connections:
            connection.wire.close()
