"""The parent's side: several load processes, started at one moment, their shares merged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import ascendllm
from ascendllm.checks.bench.load.frames import HEADER, Plan, pack, size_of, unpack
from ascendllm.checks.bench.measured import Measured, merged
from ascendllm.checks.together import together
from ascendllm.exceptions import CheckError

__all__ = ["LoadError", "automatic", "run_plans"]

STREAMS_PER_PROCESS = 512
"""What one process was seen to measure on half of two cores (tests/bench bench)."""

REQUESTS_PER_PROCESS = 500.0
"""Requests a second of an open loop."""

MESSAGE_BYTES = 1024**3
START_SECONDS = 60.0
LEAD_SECONDS = 0.05
"""From the order to start until the start: so that every process has read it."""

_MODULE = "ascendllm.checks.bench.load.worker"
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


class LoadError(CheckError):
    """A request of the load failed.

    Args:
        reason: As a CheckError's.
        message: The same.
        failed: How many requests are known to have failed.
    """

    def __init__(self, reason: str, message: str, failed: int) -> None:
        super().__init__(reason, message)
        self.failed = failed


def automatic(streams: int | None, rate: float | None) -> int:
    """How many processes a load gets: as many as it needs, no more than there are cores.

    Args:
        streams: Requests in flight, in a closed loop.
        rate: Requests a second, in an open one.
    """
    share = (streams or 1) / STREAMS_PER_PROCESS + (rate or 0.0) / REQUESTS_PER_PROCESS
    return max(1, min(-int(-share // 1), _cores(), streams or 4096))


async def run_plans(
    plans: list[Plan],
    start: Callable[[], Awaitable[float | None]],
    tell: Callable[[int], None],
) -> Measured:
    """Run one process for each plan, all from the same moment.

    Args:
        plans: At least one; the list is emptied once they are handed on, as prompts can be long.
        start: Called when all are ready; returns the moment to start at, in seconds of
            CLOCK_MONOTONIC; None: right away.
        tell: Called with the requests done so far.

    Raises:
        CheckError: What the first of them to fail says; the others are ended.
    """
    workers = [_Worker(number) for number in range(len(plans))]
    done = [0] * len(plans)

    def note(worker: _Worker, count: int) -> None:
        done[worker.number] = count
        tell(sum(done))

    try:
        await together(worker.begin(plan) for worker, plan in zip(workers, plans, strict=True))
        plans.clear()
        await together(worker.ready() for worker in workers)
        moment = await start()
        if moment is None:
            moment = asyncio.get_running_loop().time() + LEAD_SECONDS
        await together(worker.order(moment) for worker in workers)
        return merged(await together(worker.result(note) for worker in workers))
    finally:
        await asyncio.gather(*(worker.end() for worker in workers))


class _Worker:
    """One process."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._process: asyncio.subprocess.Process | None = None

    async def begin(self, plan: Plan) -> None:
        """Start it and hand it its plan."""
        folder = str(Path(ascendllm.__file__).parents[1])
        known = os.environ.get("PYTHONPATH")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{known}" if known else folder},
        )
        await self._send(plan.to_json())

    async def ready(self) -> None:
        """Wait until its connections are open and the server is warm."""
        while "ready" not in await self._hear():
            pass

    async def order(self, moment: float) -> None:
        """Tell it when to start."""
        await self._send({"start": moment})

    async def result(self, note: Callable[[_Worker, int], None]) -> Measured:
        """Wait for its share."""
        while True:
            message = await self._hear()
            if "measured" in message:
                return Measured.from_json(message["measured"])
            if isinstance(message.get("done"), int):
                note(self, message["done"])

    async def end(self) -> None:
        """End it, if it hasn't ended."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()

    async def _send(self, message: dict[str, Any]) -> None:
        writer, _ = self._pipes()
        try:
            writer.write(pack(message))
            await writer.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise await self._gone() from None

    async def _hear(self) -> dict[str, Any]:
        _, reader = self._pipes()
        try:
            size = size_of(await reader.readexactly(HEADER.size))
            if size > MESSAGE_BYTES:
                raise CheckError("InternalError", f"a load process said {size} bytes at once")
            message = unpack(await reader.readexactly(size))
        except asyncio.IncompleteReadError:
            raise await self._gone() from None
        error = message.get("error")
        if isinstance(error, dict):
            raise LoadError(str(error["reason"]), str(error["message"]), int(message["failed"]))
        return message

    def _pipes(self) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise CheckError("InternalError", "a load process was not begun")
        return process.stdin, process.stdout

    async def _gone(self) -> CheckError:
        code = None if self._process is None else await self._process.wait()
        return CheckError(
            "ClientDied",
            f"a load process ended by itself (exit code {code}); -9 is the kernel's, for lack of "
            "memory: ask for fewer requests, or give it more memory",
        )


def _cores() -> int:
    """Cores that this process may use: its affinity, and its control group's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = _CPU_MAX.read_text(encoding="ascii").split()
        return max(1, min(cores, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        return cores
