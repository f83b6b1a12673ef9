"""Reads the metrics of one serving pod, whatever its server sends.

The server belongs to a tenant. It may send interim responses or chunks of one byte as fast as the
network takes them: a client that parses all that it receives then blocks the event loop for 60 ms
at a time, for as long as the server likes (measured with aiohttp 3.14). So this one parses a
bounded number of parts, and keeps only the lines that the watchdog reads. It accepts no compressed
body, and follows no redirect.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping

import h11

from ascendllm.state.pulse import Beat, read_beats

__all__ = ["MetricsError", "MetricsResponse", "read_metrics"]

_CHUNK_BYTES = 64 * 1024
_RESPONSE_BYTES = 4 * 1024 * 1024
"""vLLM writes about 100 KB for each engine."""
_PARTS = 1024
"""Chunks and reads of one response; each takes 12 us."""
_LINE_BYTES = 16 * 1024
_KEPT_BYTES = 256 * 1024
"""Two lines of 150 bytes for each of 800 engines."""

_LINE = re.compile(rb"\n(vllm:(?:num_requests_running|iteration_tokens_total_count)\{[^\n]*)")


class MetricsError(Exception):
    """A server did not answer with metrics."""


async def read_metrics(
    address: str, port: int, spend: Callable[[float], None]
) -> Mapping[str, Beat]:
    """Asks a server for its metrics; the caller limits the time.

    Args:
        address: The pod's IP address.
        port: Where its server listens.
        spend: Called with the seconds for which parsing kept the event loop busy.

    Returns:
        The server's engines by label; {} where the metrics contain none.

    Raises:
        MetricsError: The server cannot be reached, or answers with something else.
    """
    response = MetricsResponse(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    try:
        reader, writer = await asyncio.open_connection(address, port, limit=_CHUNK_BYTES)
        try:
            writer.write(response.request)
            while not response.complete:
                data = await reader.read(_CHUNK_BYTES)
                started = time.thread_time()
                try:
                    response.receive(data)
                finally:
                    spend(time.thread_time() - started)
        finally:
            writer.transport.abort()
    except OSError as error:
        raise MetricsError(str(error)) from error
    started = time.thread_time()
    engines = read_beats(response.text)
    spend(time.thread_time() - started)
    return engines


class MetricsResponse:
    """One request for metrics and the response to it, without the network.

    Args:
        host: The request's Host header.

    Attributes:
        request: What to send.
        complete: Whether the response has been received to its end.
    """

    def __init__(self, host: str) -> None:
        self._connection = h11.Connection(h11.CLIENT)
        headers = [("Host", host), ("Accept-Encoding", "identity"), ("Connection", "close")]
        request = h11.Request(method="GET", target="/metrics", headers=headers)
        self.request = b"".join(
            self._connection.send(event) or b"" for event in (request, h11.EndOfMessage())
        )
        self.complete = False
        self._bytes = self._parts = self._kept_bytes = 0
        self._rest = b"\n"
        self._kept: list[bytes] = []

    @property
    def text(self) -> str:
        """The lines that the watchdog reads."""
        return b"\n".join(self._kept).decode(errors="replace")

    def receive(self, data: bytes) -> None:
        """Takes the next bytes of the server; b"" if it has closed the connection.

        Raises:
            MetricsError: They are not those of a response with metrics, or too many.
        """
        self._bytes += len(data)
        if self._bytes > _RESPONSE_BYTES:
            raise MetricsError(f"the response has more than {_RESPONSE_BYTES} bytes")
        try:
            self._connection.receive_data(data)
            while (event := self._connection.next_event()) is not h11.NEED_DATA:
                self._handle(event)
                if self.complete:
                    return
        except h11.RemoteProtocolError as error:
            raise MetricsError(str(error)) from error

    def _handle(self, event: object) -> None:
        self._parts += 1
        if self._parts > _PARTS:
            raise MetricsError(f"the response has more than {_PARTS} parts")
        match event:
            case h11.Response(status_code=200):
                return
            case h11.Data(data=data):
                self._keep_lines(bytes(data))
            case h11.EndOfMessage():
                self._keep_lines(b"\n")
                self.complete = True
            case h11.Response() | h11.InformationalResponse():
                raise MetricsError(f"HTTP status {event.status_code}")
            case _:
                raise MetricsError("the server closed the connection")

    def _keep_lines(self, data: bytes) -> None:
        # The rest begins with the end of the line before, so that no line is cut in two.
        text = self._rest + data
        end = text.rfind(b"\n")
        found = _LINE.findall(text, 0, end)
        self._kept += found
        self._kept_bytes += sum(map(len, found))
        self._rest = text[end:]
        if len(self._rest) > _LINE_BYTES:
            raise MetricsError(f"a line has more than {_LINE_BYTES} bytes")
        if self._kept_bytes > _KEPT_BYTES:
            raise MetricsError(f"the engines' lines have more than {_KEPT_BYTES} bytes")
