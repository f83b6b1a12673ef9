"""Processes that serve one model together, started as the operator's pods are."""

from __future__ import annotations

import signal
import socket

import httpx
import pytest

from ascendllm.engine.options import load
from ascendllm.exceptions import SettingsError
from ascendllm_simulator.group import Place, read_place
from ascendllm_simulator.option_parser import parse_arguments
from unit.simulator.test_process import BODY, Process, Spawn, spawn

__all__ = ["spawn"]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Group:
    """The options of a leader and of its workers."""

    def __init__(self, size: int = 2, address: str = "127.0.0.1") -> None:
        self.common = ["--nnodes", str(size), "--master-port", str(free_port())]
        self.common += ["--tensor-parallel-size", str(size)]
        self.address = address

    def leader(self) -> list[str]:
        common = ["m", "--host", "127.0.0.1", "--port", "0", *self.common]
        return [*common, "--node-rank", "0", "--master-addr", self.address]

    def worker(self, rank: int = 1) -> list[str]:
        # As in a pod: the leader's name, not its address.
        return [
            *("m", *self.common, "--headless"),
            *("--node-rank", str(rank), "--master-addr", "localhost"),
        ]


async def together(spawn: Spawn, group: Group) -> tuple[Process, Process, int]:
    worker = await spawn(*group.worker())
    leader = await spawn(*group.leader())
    return leader, worker, await leader.port()


async def test_the_leader_answers_once_all_have_joined(spawn: Spawn) -> None:
    group = Group(3)
    leader = await spawn(*group.leader())
    await leader.line("Waiting for 2 remote")
    first = await spawn(*group.worker(2))
    await first.line("Loading weights took")
    assert leader.process.returncode is None
    assert "startup complete" not in leader.log
    second = await spawn(*group.worker(1))
    port = await leader.port()
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{port}/v1/completions", json=BODY)
    assert answer.status_code == 200
    assert {first.process.returncode, second.process.returncode} == {None}


async def test_workers_wait_for_a_leader_that_is_not_there_yet(spawn: Spawn) -> None:
    group = Group()
    worker = await spawn(*group.worker())
    await worker.line("headless, head node address localhost:")
    leader = await spawn(*group.leader())
    await leader.port()
    assert worker.process.returncode is None


async def test_the_leader_ends_when_a_worker_goes_away(spawn: Spawn) -> None:
    leader, worker, _ = await together(spawn, Group())
    worker.process.kill()
    assert await leader.end() == 1
    assert "engine core died" in leader.log


async def test_a_worker_hangs_when_the_leader_goes_away(spawn: Spawn) -> None:
    leader, worker, _ = await together(spawn, Group())
    leader.process.kill()
    await worker.line("the leader is gone")
    worker.process.send_signal(signal.SIGTERM)
    assert await worker.end() == 0


async def test_a_worker_ends_at_once_on_sigterm(spawn: Spawn) -> None:
    alone = await spawn(*Group().worker())
    await alone.line("headless")
    _, worker, _ = await together(spawn, Group())
    for process in (alone, worker):
        process.process.send_signal(signal.SIGTERM)
        assert await process.end() == 0


async def test_the_leader_drains_while_its_worker_is_there(spawn: Spawn) -> None:
    leader, worker, _ = await together(spawn, Group())
    leader.process.send_signal(signal.SIGTERM)
    assert await leader.end() == 0
    assert worker.process.returncode is None


async def test_a_leader_binds_to_no_name(spawn: Spawn) -> None:
    leader = await spawn(*Group(address="leader.here").leader())
    assert await leader.end() == 1
    assert "ZMQError: No such device (addr='tcp://leader.here:" in leader.log


async def test_whatever_else_connects_is_no_worker(spawn: Spawn) -> None:
    group = Group()
    port = int(group.common[3])
    leader = await spawn(*group.leader())
    await leader.line("Waiting for 1 remote")
    for said in (b"", b"0", b"7", b"GET / HTTP/1.1"):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(said)
    assert leader.process.returncode is None
    await spawn(*group.worker())
    await leader.port()


def place(*args: str) -> Place | None:
    return read_place(parse_arguments(load(), ["m", *args]))


def test_several_copies_of_a_model() -> None:
    here = ["--data-parallel-size=6", "--data-parallel-size-local=2"]
    address = "--data-parallel-address=10.0.0.1"
    assert place(*here, address) == Place("10.0.0.1", 29550, 0, 3, headless=False)
    worker = place(*here, address, "--headless", "--data-parallel-start-rank=4")
    assert worker == Place("10.0.0.1", 29550, 2, 3, headless=True)
    assert place("--data-parallel-size=2") is None


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--nnodes=3", "--tensor-parallel-size=8"], "world_size=8 must be divisible by nnodes=3"),
        (["--nnodes=2", "--node-rank=2", "--tensor-parallel-size=2"], "must be less than nnodes=2"),
        (["--nnodes=2", "--node-rank=1", "--tensor-parallel-size=2"], "the others --headless"),
        (["--nnodes=2", "--headless", "--tensor-parallel-size=2"], "the first one has HTTP"),
        (["--data-parallel-size=5", "--data-parallel-size-local=2"], "no even share"),
        (["--headless"], "no even share"),
    ],
)
def test_a_place_that_cannot_be(args: list[str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        place(*args)
