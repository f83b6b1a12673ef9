"""What a parent and its load processes say to each other over pipes: JSON with its length before.

Parent to worker: one `Plan`, then `{"start": seconds of CLOCK_MONOTONIC}`. Worker to parent:
`{"ready": true}`, `{"done": n}` now and then, at last `{"measured": …}` or
`{"error": {"reason", "message"}, "failed": n}`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ascendllm.checks.bench.load.wire import Address
from ascendllm.checks.endpoint import Endpoint
from ascendllm.checks.result import compact_json

__all__ = ["HEADER", "Plan", "Request", "pack", "size_of", "unpack"]

HEADER = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the load.

    Args:
        prompt: Its text.
        input_tokens: As the server counts it.
        output_tokens: To ask for.
    """

    prompt: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One process's share of a load.

    Args:
        endpoint: The server.
        addresses: Its addresses; connections go to each in turn.
        requests: In the order in which they are sent.
        warmups: Sent before, by the same connections; they are in no figure.
        salt: Keeps the server's prefix cache out of the figures.
        concurrency: Requests in flight, in a closed loop; else None.
        due: In an open loop when each request is due, in seconds after the start; else None.
        most_in_flight: An open loop with more in flight ends in an Error.
        connections: Opened before an open loop starts.
        request_timeout: Seconds for one whole answer.
        silence: Seconds between two reads of a stream.
        details: Whether each request is wanted for the full report.
    """

    endpoint: Endpoint
    addresses: tuple[Address, ...]
    requests: tuple[Request, ...]
    warmups: tuple[Request, ...]
    salt: str
    concurrency: int | None
    due: tuple[float, ...] | None
    most_in_flight: int
    connections: int
    request_timeout: float
    silence: float
    details: bool

    def to_json(self) -> dict[str, object]:
        """For the pipe; it holds the API key, so it goes nowhere else."""
        data: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        endpoint = self.endpoint
        return data | {
            "endpoint": [endpoint.root, endpoint.model, endpoint.api_key],
            "addresses": [[a.family, a.host, a.port] for a in self.addresses],
            "requests": [_row(request) for request in self.requests],
            "warmups": [_row(request) for request in self.warmups],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Plan:
        """What the parent sent."""
        due = data["due"]
        return Plan(
            **dict(data)
            | {
                "endpoint": Endpoint(*data["endpoint"]),
                "addresses": tuple(Address(*row) for row in data["addresses"]),
                "requests": tuple(Request(*row) for row in data["requests"]),
                "warmups": tuple(Request(*row) for row in data["warmups"]),
                "due": None if due is None else tuple(due),
            }
        )


def pack(message: Mapping[str, object]) -> bytes:
    """A message as it goes through the pipe."""
    body = compact_json(message).encode("utf-8", "surrogatepass")
    return HEADER.pack(len(body)) + body


def size_of(header: bytes) -> int:
    """The bytes that follow a header."""
    return int(HEADER.unpack(header)[0])


def unpack(body: bytes) -> dict[str, Any]:
    """The message behind a header."""
    message: dict[str, Any] = json.loads(body.decode("utf-8", "surrogatepass"))
    return message


def _row(request: Request) -> list[object]:
    return [request.prompt, request.input_tokens, request.output_tokens]
