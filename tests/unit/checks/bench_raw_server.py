"""A server whose answers to /v1/completions are written byte by byte by the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class Call:
    """One request to /v1/completions.

    Args:
        number: How many came before it.
        payload: What was asked.
        headers: By lower-case name.
        writer: Where the answer goes.
    """

    number: int
    payload: dict[str, Any]
    headers: dict[str, str]
    writer: asyncio.StreamWriter

    def pieces(self, tokens: int | None = None) -> list[bytes]:
        """The right answer: the head, a chunk a token, usage, [DONE], the end."""
        count = self.payload["max_tokens"] if tokens is None else tokens
        base = {"id": f"cmpl-{self.number}", "model": self.payload["model"]}
        choice = {"index": 0, "text": " x", "finish_reason": None}
        usage = {"prompt_tokens": words(self.payload["prompt"]), "completion_tokens": count}
        events: list[Any] = [base | {"choices": [choice]} for _ in range(count)]
        events.append(base | {"choices": [], "usage": usage})
        said = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
        return [HEAD, *(chunk(each) for each in [*said, b"data: [DONE]\n\n"]), b"0\r\n\r\n"]

    async def write(self, *pieces: bytes, pause: float = 0.0) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause)


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


def words(text: str) -> int:
    return len(text.split()) + 1


Script = Callable[[Call], Awaitable[None]]


async def right(call: Call) -> None:
    await call.write(*call.pieces())


@dataclass
class RawServer:
    """The server; `script` answers the load's requests.

    Args:
        script: It may raise ConnectionAbortedError to end the connection.
        metrics: The text of /metrics, made anew for each request; None: there is none.
        tls: Its certificate.
    """

    script: Script = right
    metrics: Callable[[], str] | None = None
    tls: ssl.SSLContext | None = None
    url: str = ""
    connections: int = 0
    calls: list[Call] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[RawServer]:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=self.tls)
        port = server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{port}"
        try:
            yield self
        finally:
            server.close()
            self.abort()

    def abort(self) -> None:
        """Break all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                await self._request(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = lines[0].split(" ")
        pairs = (line.split(": ", 1) for line in lines[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        payload = json.loads(body) if body else {}
        match method, path:
            case "POST", "/v1/completions":
                call = Call(len(self.calls), payload, headers, writer)
                self.calls.append(call)
                await self.script(call)
            case "POST", "/tokenize":
                count = words(payload["prompt"])
                answer(writer, {"count": count, "tokens": list(range(count))})
            case "GET", "/v1/models":
                answer(writer, {"data": [{"id": "m", "max_model_len": 4096}]})
            case "GET", "/metrics" if self.metrics is not None:
                answer(writer, self.metrics())
            case _:
                answer(writer, {"error": {"message": "Not Found"}}, "404 Not Found")


def answer(writer: asyncio.StreamWriter, body: object, status: str = "200 OK") -> None:
    raw = (body if isinstance(body, str) else json.dumps(body)).encode()
    writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(raw)}\r\n\r\n".encode() + raw)
