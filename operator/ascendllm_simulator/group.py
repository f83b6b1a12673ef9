"""Pods that serve one model together: who waits for whom, and who ends with whom.

As vllm 0.18.0 has it (`engine/arg_utils.py`, `entrypoints/cli/serve.py`, and vllm-ascend's
`patch/platform/patch_multiproc_executor.py`): the leader binds to the address that it is given,
which must be an IP; it listens for clients only once every other process has joined. A process with
`--headless` has no HTTP, joins at the leader's address, and tries until it is there. When the
leader goes away it hangs, as a rank does that waits for its next step, until it is told to end.
What becomes of a leader whose workers go away differs by backend and phase in the real one; here it
ends with a dead engine.
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
    """One process's place among those that serve together.

    Args:
        address: The leader's.
        port: Where the leader listens for the others.
        rank: 0 is the leader.
        size: How many processes there are.
        headless: Whether this one has no HTTP.
    """

    address: str
    port: int
    rank: int
    size: int
    headless: bool


@dataclass
class Gathering:
    """The others, as the leader sees them.

    Attributes:
        complete: Set once all have joined.
        lost: Set once one that had joined has gone.
    """

    place: Place
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    joined: set[int] = field(default_factory=set)

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep one connection for as long as its process is there."""
        try:
            said = await reader.read(_RANK_DIGITS)
            rank = int(said) if said.isdigit() else -1
            if rank not in range(1, self.place.size):
                return  # a port that is looked at, say
            self.joined.add(rank)
            if len(self.joined) == self.place.size - 1:
                self.complete.set()
            await reader.read()
            self.lost.set()
        finally:
            writer.close()


def read_place(values: Mapping[str, object]) -> Place | None:
    """The place that the options give a process; None where it serves by itself.

    Args:
        values: The options by the parser's names.

    Raises:
        SettingsError: vLLM would end on these.
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
    """Listen for the others for as long as the context lasts; None where there are none.

    Raises:
        OSError: The address is none of this machine's, or a name.
    """
    if place is None:
        yield None
        return
    try:
        ipaddress.ip_address(place.address)
    except ValueError:
        # ZeroMQ resolves no name that it is to bind to.
        raise OSError(f"No such device (addr='tcp://{place.address}:{place.port}')") from None
    gathering = Gathering(place)
    server = await asyncio.start_server(gathering.welcome, place.address, place.port)
    try:
        yield gathering
    finally:
        server.close()


async def join(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Reach the leader, however long that takes; what is read ends when the leader does."""
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
