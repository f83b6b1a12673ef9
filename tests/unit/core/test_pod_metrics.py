"""The metrics of one pod, whatever its server sends."""

from __future__ import annotations

import gzip
import time
from collections.abc import Mapping

import pytest

from ascendllm.runtime.pod_metrics import MetricsError, MetricsResponse, read_metrics
from ascendllm.state.pulse import Beat, read_beats
from unit.core.pod_servers import METRICS, PodServers, answering, response

ENGINES = {"0": Beat(1.0, 7.0), "1": Beat(2.0, 8.0)}


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def receive(data: bytes, step: int) -> Mapping[str, Beat]:
    """What is read of a response that arrives in steps."""
    reading = MetricsResponse("pod:8000")
    for start in range(0, len(data), step):
        reading.receive(data[start : start + step])
    if not reading.complete:
        reading.receive(b"")
    assert reading.complete
    return read_beats(reading.text)


FILLER = b'vllm:other{le="+Inf"} 1.0\n' * 5000


@pytest.mark.parametrize("step", [1000, 1448, 65536])
@pytest.mark.parametrize(
    "data",
    [
        response(FILLER + METRICS + FILLER),
        response(METRICS),
        response(METRICS.rstrip()),
        chunked(FILLER + METRICS + FILLER, 65536),
        chunked(METRICS, 1),
        b"HTTP/1.0 200 OK\r\n\r\n" + METRICS + FILLER,
    ],
    ids=["long", "short", "no-newline", "chunked", "chunks-of-a-byte", "http-1.0"],
)
def test_metrics_are_read_wherever_they_are_cut(data: bytes, step: int) -> None:
    assert receive(data, step) == ENGINES


def test_the_request() -> None:
    assert MetricsResponse("[fd00::1]:8000").request == (
        b"GET /metrics HTTP/1.1\r\nHost: [fd00::1]:8000\r\n"
        b"Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize("body", [b"", b"<html>", gzip.compress(METRICS), b"\n" * 4_000_000])
def test_another_body_has_no_engines(body: bytes) -> None:
    assert receive(response(body), 65536) == {}


LINE = b'vllm:num_requests_running{engine="0"} 1.0\n'
REFUSED: dict[str, bytes] = {
    "redirect": response(b"", "302 Found", "Location: http://169.254.169.254/\r\n"),
    "not found": response(b"", "404 Not Found"),
    "interim responses": b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000,
    "a header without end": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000,
    "more than 4 MiB": response(METRICS * 40_000),
    "chunks of a byte": chunked(b"x" * 100_000, 1),
    "a line without end": response(b"x" * 100_000),
    "thousands of engines": response(LINE * 50_000),
    "a body that ends early": response(METRICS)[:-5],
    "nothing": b"",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a length of 5000 digits": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_no_answer_with_metrics_is_refused_at_little_cost(data: bytes) -> None:
    began = time.thread_time()
    with pytest.raises(MetricsError):
        receive(data, 65536)
    assert time.thread_time() - began < 0.5


async def test_reading_over_the_network_counts_the_time_that_it_takes(
    unused_tcp_port: int,
) -> None:
    servers = PodServers(unused_tcp_port)
    spent: list[float] = []
    try:
        await servers.add(answering(response(FILLER * 20 + METRICS)), [("a", "b")])
        address = servers.targets[0][1].address
        assert await read_metrics(address, servers.port, spent.append) == ENGINES
        assert sum(spent) > 0
        servers.stop("uid-0")
        with pytest.raises(MetricsError):
            await read_metrics(address, servers.port, spent.append)
    finally:
        servers.close()
