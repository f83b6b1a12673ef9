"""Multi-node serving: how the processes of one server wait for each other and end together.

The rules are those of vllm 0.18.0 (`engine/arg_utils.py`, `entrypoints/cli/serve.py`) and of
vllm-ascend's `patch/platform/patch_multiproc_executor.py`. The leader binds to its configured
address, which must be an IP address, and accepts clients only after every worker has joined. A
worker, started with `--headless`, has no HTTP server and retries until it reaches the leader. When
the leader exits, a worker hangs until it gets a signal, like a rank that waits for its next step.
How a real leader reacts to the loss of a worker depends on the backend and the phase; here its
engine dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from ascendllm.exceptions import SettingsError

__all__ = ["Gathering", "Place", "gather", "join", "read_place"]

_RETRY_SECONDS = 0.2
_RANK_DIGITS = 8
_MASTER_PORT = 29501
_RPC_PORT = 29550


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one process in a multi-node server.

    Args:
        address: The leader's address.
        port: The port on which the leader listens for workers.
        rank: The rank; 0 is the leader.
        size: The number of processes.
        headless: Whether this process has no HTTP server.
    """

    address: str
    port: int
    rank: int
    size: int
    headless: bool


@dataclass
class Gathering:
    """The workers, as the leader sees them.

    Attributes:
        complete: Set when all workers have joined.
        lost: Set when a worker that had joined is gone.
    """

    place: Place
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    joined: set[int] = field(default_factory=set)

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold the connection of one worker until the worker closes it."""
        try:
            said = await reader.read(_RANK_DIGITS)
            rank = int(said) if said.isdigit() else -1
            if rank not in range(1, self.place.size):
                return  # for example a port scan
            self.joined.add(rank)
            if len(self.joined) == self.place.size - 1:
                self.complete.set()
            await reader.read()
            self.lost.set()
        finally:
            writer.close()


def read_place(values: Mapping[str, object]) -> Place | None:
    """The place that the options assign to a process; None for a server of one process.

    Args:
        values: The options by the parser's names.

    Raises:
        SettingsError: vLLM would exit with these options.
    """
    nodes, rank = _number(values, "nnodes", 1), _number(values, "node_rank", 0)
    copies = _number(values, "data_parallel_size", 1)
    local = _number(values, "data_parallel_size_local", copies)
    headless = bool(values["headless"])
    if nodes > 1:
        world = copies * _number(values, "tensor_parallel_size", 1)
        world *= _number(values, "pipeline_parallel_size", 1)
        if world % nodes:
            raise SettingsError(f"world_size={world} must be divisible by nnodes={nodes}.")
        if not rank < nodes:
            raise SettingsError(f"node_rank={rank} must be less than nnodes={nodes}.")
        address, port = values["master_addr"], _number(values, "master_port", _MASTER_PORT)
        place = Place(str(address or "127.0.0.1"), port, rank, nodes, headless)
    elif local < copies or headless:
        if not 0 < local < copies or copies % local:
            raise SettingsError(
                f"--data-parallel-size-local={local} of {copies}: that leaves no even share for "
                "the other processes"
            )
        address = values["data_parallel_address"]
        port = _number(values, "data_parallel_rpc_port", _RPC_PORT)
        rank = _number(values, "data_parallel_start_rank", 0) // local
        place = Place(str(address or "127.0.0.1"), port, rank, copies // local, headless)
    else:
        return None
    if place.headless == (place.rank == 0) or place.rank >= place.size:
        raise SettingsError(
            f"process {place.rank} of {place.size}: the first one has HTTP, the others --headless"
        )
    return place


@contextlib.asynccontextmanager
async def gather(place: Place | None) -> AsyncIterator[Gathering | None]:
    """Listen for workers while the context is active; None if there are none.

    Raises:
        OSError: The address does not belong to this machine, or is a host name.
    """
    if place is None:
        yield None
        return
    try:
        ipaddress.ip_address(place.address)
    except ValueError:
        # ZeroMQ does not resolve a host name to bind to.
        raise OSError(f"No such device (addr='tcp://{place.address}:{place.port}')") from None
    gathering = Gathering(place)
    server = await asyncio.start_server(gathering.welcome, place.address, place.port)
    try:
        yield gathering
    finally:
        server.close()


async def join(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the leader, without a time limit; the stream ends when the leader exits."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(place.address, place.port)
            writer.write(str(place.rank).encode())
            await writer.drain()
            return reader, writer
        await asyncio.sleep(_RETRY_SECONDS)


def _number(values: Mapping[str, object], dest: str, default: int) -> int:
    value = values[dest]
    return value if isinstance(value, int) and not isinstance(value, bool) else default
