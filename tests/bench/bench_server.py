"""A server of exactly known timing, as a process of its own: the truth that clients are held to.

    python tests/bench/bench_server.py      # prints its port

It answers /v1/completions with streams whose first token leaves `ttftMs` after the request has been
read, and each further one `itlMs` later, on a fixed grid; /v1/models, /tokenize (a token a word,
one more for the start) and /metrics as far as a load generator needs them. `POST /reset` with
`{"ttftMs", "itlMs"}` sets the timing and forgets what was; `GET /truth` tells what it really did.
One epoll loop, chunks that are bytes beforehand, nothing else: it takes a fraction of a core where
512 streams get a token every 40 ms.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import json
import select
import signal
import socket
import statistics
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MODEL = "bench"
MAX_MODEL_LEN = 131072
WRITES_A_PASS = 16
_BASE = {"id": "cmpl-0", "object": "text_completion", "created": 0, "model": MODEL}
_TIMESTAMPING, _RX_SOFTWARE, _SOFTWARE = 37, 1 << 3, 1 << 4
_STAMP = struct.Struct("@qq")
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def _chunk(text: str) -> bytes:
    body = f"data: {text}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(body), body)


def _token(finish: str | None) -> bytes:
    choice = {"index": 0, "text": " word", "logprobs": None, "finish_reason": finish}
    return _chunk(json.dumps({**_BASE, "choices": [choice], "usage": None}))


TOKEN, LAST_TOKEN = _token(None), _token("length")


@dataclass
class Truth:
    """What it did since the last reset, in ms."""

    ttft: list[float] = field(default_factory=list)
    ttft_from_arrival: list[float] = field(default_factory=list)
    tpot: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    longest_write: float = 0.0
    first_read: float = 0.0
    last_write: float = 0.0

    def to_json(self) -> dict[str, float]:
        late = sorted(self.late) or [0.0]
        return {
            "requests": len(self.tpot),
            "meanTtftMs": statistics.fmean(self.ttft or [0.0]),
            "maxTtftMs": max(self.ttft or [0.0]),
            "meanTtftFromArrivalMs": statistics.fmean(self.ttft_from_arrival or [0.0]),
            "meanTpotMs": statistics.fmean(self.tpot or [0.0]),
            "p99LateMs": late[int(0.99 * (len(late) - 1))],
            "maxLateMs": late[-1],
            "maxWriteMs": self.longest_write * 1000,
            "seconds": self.last_write - self.first_read,
        }


class Stream:
    """One answer under way."""

    __slots__ = ("arrived", "client", "first", "first_due", "read", "sent", "tokens", "words")

    def __init__(self, client: Client, read: float, arrived: float, due: float) -> None:
        self.client, self.read, self.arrived, self.first_due = client, read, arrived, due
        self.first, self.sent, self.tokens, self.words = 0.0, 0, 0, 0


class Client:
    """One connection."""

    __slots__ = ("data", "socket", "wanted")

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.setsockopt(socket.SOL_SOCKET, _TIMESTAMPING, _RX_SOFTWARE | _SOFTWARE)
        self.socket, self.data, self.wanted = accepted, b"", 0


class Server:
    """The loop."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.setblocking(False)
        self.poll = select.epoll()
        self.poll.register(self.listener, select.EPOLLIN)
        self.clients: dict[int, Client] = {}
        self.due: list[tuple[float, int, Stream]] = []
        self.numbers = itertools.count()
        self.ttft, self.itl = 0.05, 0.02
        self.truth = Truth()
        self.served: Counter[str] = Counter()

    def run(self) -> None:
        while True:
            patience = self.due[0][0] - time.monotonic() if self.due else 60.0
            if patience > 0:
                # epoll itself waits in whole milliseconds.
                select.select([self.poll], [], [], patience)
            for number, _ in self.poll.poll(0):
                if number == self.listener.fileno():
                    self.accept()
                else:
                    self.receive(self.clients[number])
            self.write()

    def accept(self) -> None:
        while True:
            try:
                accepted, _ = self.listener.accept()
            except BlockingIOError:
                return
            self.clients[accepted.fileno()] = Client(accepted)
            self.poll.register(accepted, select.EPOLLIN)

    def receive(self, client: Client) -> None:
        try:
            data, ancillary, _, _ = client.socket.recvmsg(256 * 1024, 128)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self.close(client)
            return
        client.data += data
        if client.wanted == 0:
            end = client.data.find(b"\r\n\r\n")
            if end < 0:
                return
            length = client.data.lower().find(b"content-length:", 0, end)
            if length >= 0:
                stop = client.data.index(b"\r\n", length)
                client.wanted = end + 4 + int(client.data[length + 15 : stop])
            else:
                client.wanted = end + 4
        if len(client.data) < client.wanted:
            return
        now = time.monotonic()
        arrived = now
        for _, kind, value in ancillary:
            if kind == _TIMESTAMPING:
                seconds, nanoseconds = _STAMP.unpack_from(value)
                arrived = now - (time.time_ns() - seconds * 1_000_000_000 - nanoseconds) / 1e9
        request, client.data, client.wanted = client.data[: client.wanted], b"", 0
        self.answer(client, request, now, arrived)

    def answer(self, client: Client, request: bytes, now: float, arrived: float) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if path == b"/v1/completions":
            self.begin(client, json.loads(body), now, arrived)
            return
        payload: Any = json.loads(body) if body else {}
        match (method, path):
            case (b"GET", b"/v1/models"):
                entry = {"id": MODEL, "root": MODEL, "max_model_len": MAX_MODEL_LEN}
                answer: Any = {"object": "list", "data": [entry]}
            case (b"POST", b"/tokenize"):
                count = len(payload["prompt"].split()) + 1
                answer = {"count": count, "tokens": list(range(count))}
            case (b"GET", b"/metrics"):
                self.send(client, self.whole(self.metrics().encode(), b"text/plain"))
                return
            case (b"POST", b"/reset"):
                self.ttft, self.itl = payload["ttftMs"] / 1000, payload["itlMs"] / 1000
                self.truth = Truth()
                gc.collect()
                answer = {}
            case (b"GET", b"/truth"):
                answer = self.truth.to_json()
            case _:
                gone = json.dumps({"error": {"message": "Not Found", "code": 404}}).encode()
                self.send(client, self.whole(gone, b"application/json", b"404 Not Found"))
                return
        self.send(client, self.whole(json.dumps(answer).encode(), b"application/json"))

    def begin(self, client: Client, payload: Any, now: float, arrived: float) -> None:
        stream = Stream(client, now, arrived, now + self.ttft)
        stream.tokens, stream.words = payload["max_tokens"], len(payload["prompt"].split()) + 1
        self.truth.first_read = self.truth.first_read or now
        self.send(client, _HEAD)
        heapq.heappush(self.due, (stream.first_due, next(self.numbers), stream))

    def write(self) -> None:
        """Write what is due, some at a time: requests that come are to be read at once."""
        for _ in range(WRITES_A_PASS):
            now = time.monotonic()
            if not self.due or self.due[0][0] > now:
                return
            due, _, stream = heapq.heappop(self.due)
            stream.sent += 1
            if stream.sent == 1:
                stream.first = now
                self.truth.ttft.append((now - stream.read) * 1000)
                self.truth.ttft_from_arrival.append((now - stream.arrived) * 1000)
            self.truth.late.append((now - due) * 1000)
            if stream.sent < stream.tokens:
                self.send(stream.client, TOKEN)
                following = stream.first_due + stream.sent * self.itl
                heapq.heappush(self.due, (following, next(self.numbers), stream))
            else:
                self.finish(stream, now)

    def finish(self, stream: Stream, now: float) -> None:
        self.send(stream.client, LAST_TOKEN)
        usage = {"prompt_tokens": stream.words, "completion_tokens": stream.tokens}
        usage["total_tokens"] = sum(usage.values())
        tail = _chunk(json.dumps({**_BASE, "choices": [], "usage": usage})) + _chunk("[DONE]")
        self.send(stream.client, tail + b"0\r\n\r\n")
        if stream.tokens > 1:
            self.truth.tpot.append((now - stream.first) * 1000 / (stream.tokens - 1))
        self.truth.last_write = now
        self.served["length"] += 1

    def send(self, client: Client, data: bytes) -> None:
        try:
            began = time.monotonic()
            if client.socket.send(data) != len(data):
                self.close(client)  # a client that doesn't read has no place in a measurement
            self.truth.longest_write = max(self.truth.longest_write, time.monotonic() - began)
        except OSError:
            self.close(client)

    def close(self, client: Client) -> None:
        number = client.socket.fileno()
        if number >= 0:
            self.clients.pop(number, None)
            self.poll.unregister(number)
            client.socket.close()

    def metrics(self) -> str:
        labels = f'engine="0",model_name="{MODEL}"'
        served = self.served["length"]
        return (
            f"vllm:num_requests_running{{{labels}}} {len(self.due)}.0\n"
            f"vllm:num_requests_waiting{{{labels}}} 0.0\n"
            f'vllm:request_success_total{{{labels},finished_reason="length"}} {served}.0\n'
        )

    @staticmethod
    def whole(body: bytes, kind: bytes, status: bytes = b"200 OK") -> bytes:
        head = b"HTTP/1.1 %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
        return head % (status, kind, len(body)) + body


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = Server()
    print(server.listener.getsockname()[1], flush=True)
    gc.freeze()
    gc.disable()
    server.run()


if __name__ == "__main__":
    main()
