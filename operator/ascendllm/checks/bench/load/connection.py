"""One connection: it is opened, greeted, and then carries one request after the other."""

from __future__ import annotations

import enum
import ssl
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

from ascendllm import __version__
from ascendllm.checks.bench.load.answer import WHAT, StreamedAnswer
from ascendllm.checks.bench.load.frames import Request
from ascendllm.checks.bench.load.response import ResponseReader
from ascendllm.checks.bench.load.wire import Address, Clock, Wire
from ascendllm.checks.endpoint import ANSWER_BYTES, Endpoint, refusal
from ascendllm.checks.result import compact_json
from ascendllm.exceptions import CheckError

__all__ = ["GREETING", "Backlog", "Connection", "Prepared", "Stage", "Target"]

GREETING = "GET /v1/models"

Piece = tuple["Exchange", bytes, float]
Backlog = deque[Piece]
"""Pieces of answers that came and aren't read yet; an empty one ends its answer."""


class Stage(enum.Enum):
    """What a connection is in the middle of."""

    OPENING = enum.auto()
    GREETING = enum.auto()
    IDLE = enum.auto()
    BUSY = enum.auto()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as the bytes that are sent, and what its answer must count."""

    data: bytes
    input_tokens: int
    output_tokens: int


@dataclass(slots=True)
class Exchange:
    """A request that was sent.

    Args:
        request: What was sent.
        answer: What comes.
        due: When it should have been sent.
        start: Right before its bytes left.
        sent: Right after.
        measured: False for a warm-up.
        end: When its response had ended.
    """

    request: Prepared
    answer: StreamedAnswer
    due: float
    start: float
    sent: float
    measured: bool
    end: float = 0.0


class Target:
    """The server, as requests name it.

    Args:
        endpoint: The server.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        parts = urlsplit(endpoint.root)
        self.endpoint = endpoint
        self.hostname = parts.hostname or ""
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        lines = [f"Host: {parts.netloc}", f"User-Agent: ascendllm/{__version__}"]
        lines += [f"{name}: {value}" for name, value in endpoint.headers.items()]
        self._headers = "".join(f"{line}\r\n" for line in lines)
        self._path = parts.path

    def greeting(self) -> bytes:
        """A request that computes nothing: the server has taken the connection on with it."""
        return f"GET {self._path}/v1/models HTTP/1.1\r\n{self._headers}\r\n".encode("latin-1")

    def prepared(self, request: Request, salt: str) -> Prepared:
        """The request as bytes."""
        body = compact_json(
            {
                "model": self.endpoint.model,
                "prompt": request.prompt,
                "max_tokens": request.output_tokens,
                "temperature": 0,
                "ignore_eos": True,
                "stream": True,
                "stream_options": {"include_usage": True},
                "cache_salt": salt,
            }
        ).encode()
        head = (
            f"POST {self._path}/v1/completions HTTP/1.1\r\n{self._headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return Prepared(head.encode("latin-1") + body, request.input_tokens, request.output_tokens)


class Connection:
    """A wire, and what is going on over it.

    Args:
        target: The server.
        address: Which of its addresses.
        backlog: Where the pieces of answers go.

    Raises:
        OSError: It can't be opened.
    """

    __slots__ = ("_backlog", "_body", "_reader", "exchange", "heard", "stage", "target", "used",
                 "wire")  # fmt: skip

    def __init__(self, target: Target, address: Address, backlog: Backlog) -> None:
        self.target = target
        self.wire = Wire(address, target.tls, target.hostname)
        self.stage = Stage.OPENING
        self.exchange: Exchange | None = None
        self.heard = self.wire.began
        """When something last came or was sent."""
        self.used = False
        """Whether it has carried a request: only then a server ends it for idleness."""
        self._reader = ResponseReader(WHAT)
        self._body: list[bytes] = []
        self._backlog = backlog

    @property
    def keep(self) -> bool:
        """Whether another request may go over it."""
        return self._reader.keep

    def greet(self) -> None:
        """Ask for the models.

        Raises:
            OSError: The connection is gone.
        """
        self._reader.begin(GREETING)
        self._body.clear()
        self.stage, self.used = Stage.GREETING, True
        _, self.heard = self.wire.send(self.target.greeting())

    def send(self, request: Prepared, due: float, measured: bool) -> None:
        """Send a request of the load.

        Raises:
            OSError: The connection is gone, and the request never left.
        """
        self._reader.begin(WHAT)
        self._body.clear()
        answer = StreamedAnswer(self.target.endpoint, request.input_tokens, request.output_tokens)
        start, sent = self.wire.send(request.data)
        self.exchange = Exchange(request, answer, due, start, sent, measured)
        self.stage, self.used, self.heard = Stage.BUSY, True, sent

    def read(self, clock: Clock) -> float | None:
        """Take what came; returns how late its moment can be, None where the other side is gone.

        Raises:
            CheckError: As what came is wrong, or its end.
            OSError: The connection broke.
        """
        arrival = self.wire.receive(clock)
        if arrival.data is None:
            self._ended(arrival.moment)
            return None
        if not arrival.data:
            return arrival.late
        self.heard = clock.now
        if self.stage is Stage.IDLE:
            return None  # such as a proxy's 408 before it closes
        reader = self._reader
        for piece in reader.feed(arrival.data):
            self._take(piece, arrival.moment)
        if reader.done:
            self._complete(arrival.moment)
        return arrival.late

    def broken(self, why: str) -> CheckError:
        """What it means that it broke in the middle of a request."""
        if self.stage is not Stage.BUSY or self.exchange is None:
            return CheckError("ServerUnreachable", f"{GREETING}: the connection broke: {why}")
        waiting = sum(1 for exchange, _, _ in self._backlog if exchange is self.exchange)
        chunks = len(self.exchange.answer.moments) + waiting
        came = f"after {chunks} chunks" if chunks else "before any answer"
        return CheckError(
            "StreamCut",
            f"{WHAT}: cut {came}: {why}; the request may have been served, so it is not sent again",
        )

    def _take(self, piece: bytes, moment: float) -> None:
        if self.stage is Stage.BUSY and self._reader.status == 200:
            assert self.exchange is not None  # noqa: S101 - what busy means
            self._backlog.append((self.exchange, piece, moment))
            return
        self._body.append(piece)
        if sum(map(len, self._body)) > ANSWER_BYTES:
            raise CheckError(
                "BadAnswer", f"the server's answer is longer than {ANSWER_BYTES} bytes"
            )

    def _complete(self, moment: float) -> None:
        status = self._reader.status
        what = GREETING if self.stage is Stage.GREETING else WHAT
        if status != 200:
            raise refusal(what, status, b"".join(self._body), self.target.endpoint)
        if self.exchange is not None:
            self.exchange.end = moment
            self._backlog.append((self.exchange, b"", moment))
        self.stage = Stage.IDLE

    def _ended(self, moment: float) -> None:
        if self.stage is Stage.IDLE:
            return
        if not self._reader.eof():
            raise self.broken("the server closed the connection")
        self._complete(moment)
