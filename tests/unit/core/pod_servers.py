"""Serving pods on loopback: each has an address of its own, and all listen on one port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ascendllm.reconcile import Key
from ascendllm.state.pods import Pod

__all__ = ["METRICS", "PodServers", "answering", "response", "silent"]

METRICS = (
    b'# HELP vllm:num_requests_running vllm:num_requests_running{engine="9"} 9.0\n'
    b'vllm:num_requests_running{engine="0",model_name="m"} 1.0\n'
    b'vllm:iteration_tokens_total_count{engine="0",model_name="m"} 7.0\n'
    b'vllm:iteration_tokens_total_count{engine="1",model_name="m"} 8.0\n'
    b'vllm:num_requests_running{engine="1",model_name="m"} 2.0\n'
)

Serve = Callable[[], asyncio.BaseProtocol]


def response(body: bytes = METRICS, status: str = "200 OK", headers: str = "") -> bytes:
    """An HTTP response that says how long it is."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


class silent(asyncio.Protocol):  # noqa: N801
    """Accepts and never answers."""


def answering(
    data: bytes, *, after: float = 0.0, piece: int = 1 << 24, pause: float = 0.0
) -> Serve:
    """Sends something, whatever it is asked, piece by piece."""

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport
            self.left = data

        def data_received(self, _: bytes) -> None:
            asyncio.get_running_loop().call_later(after, self.send)

        def send(self) -> None:
            if self.transport.is_closing():
                return
            self.transport.write(self.left[:piece])
            self.left = self.left[piece:]
            if self.left:
                asyncio.get_running_loop().call_later(pause, self.send)
            else:
                self.transport.close()

    return Answering


@dataclass
class PodServers:
    """Pods and the servers in them."""

    port: int
    targets: list[tuple[Key, Pod]] = field(default_factory=list)
    _servers: dict[str, asyncio.Server] = field(default_factory=dict)

    async def add(self, serve: Serve, keys: Sequence[Key]) -> list[str]:
        """Start a server for a new pod of each of these resources; the pods' uids."""
        loop = asyncio.get_running_loop()
        uids = []
        for key in keys:
            number = len(self.targets)
            address = f"127.0.{1 + number // 250}.{1 + number % 250}"
            self._servers[address] = await loop.create_server(serve, address, self.port)
            self.targets.append((key, pod(f"uid-{number}", address)))
            uids.append(f"uid-{number}")
        return uids

    def stop(self, uid: str) -> None:
        """End the server of a pod."""
        address = next(pod.address for _, pod in self.targets if pod.uid == uid)
        self._servers.pop(address).close()

    def close(self) -> None:
        for server in self._servers.values():
            server.close()


def pod(uid: str, address: str) -> Pod:
    return Pod.read(
        {
            "metadata": {"name": uid, "uid": uid, "labels": {}},
            "status": {"podIP": address, "conditions": [{"type": "Ready", "status": "True"}]},
        }
    )
