"""The pods that share one load: an Indexed Job, held together by the run's ConfigMap.

Each shard writes a key of its own (`shard-0.json` …), shard 0 leads. They meet before each load:
all say that they are ready, shard 0 names the moment at which all start. At the end the others
hand their shares to shard 0, which merges them and writes the run's result.

Fail closed: a shard that fails, that was started a second time, or that is not heard of for
`LOST_SECONDS` ends the run for all. Clocks are compared by what each shard wrote and when the other
read it: a difference of more than `MOST_SKEW` that can be seen through the delays ends the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ascendllm.checks.bench.crew_records import packed, read_record, unpacked
from ascendllm.checks.bench.measured import MOST_KEPT, Measured
from ascendllm.checks.result import compact_json
from ascendllm.checks.sinks import warn
from ascendllm.exceptions import AscendError, CheckError, ClusterError, SpecError

__all__ = ["Alone", "Crew", "Shards", "Store", "Timing", "shard_key"]

LOADS_BYTES = 700 * 1024
"""What all shards' loads may take in the ConfigMap, which holds a MiB."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How the shards wait for each other, in seconds.

    Args:
        look: Between two looks at the ConfigMap.
        lead: From the order to start until the start.
        beat: Between two signs of life.
        lost: Without a sign of life, before a shard counts as gone.
        meet: For all shards to come: a pod may wait for a node, or for its image.
        most_skew: By which the pods' clocks may differ.
    """

    look: float = 0.25
    lead: float = 2.0
    beat: float = 10.0
    lost: float = 60.0
    meet: float = 900.0
    most_skew: float = 0.1


class Store(Protocol):
    """The run's ConfigMap."""

    async def read(self) -> Mapping[str, str]:
        """Its data; raises ClusterError."""
        ...

    async def write(self, data: Mapping[str, str | None]) -> None:
        """Set keys; raises ClusterError."""
        ...


class Crew(Protocol):
    """Who shares the load."""

    leader: bool
    """Whether this process makes the figures."""

    def joined(self, seed: int) -> contextlib.AbstractAsyncContextManager[int]:
        """Take part; gives the seed that all use."""
        ...

    async def start(self, load: int) -> float | None:
        """Wait until all are ready for a load; the moment (CLOCK_MONOTONIC), None: right away."""
        ...

    async def collect(self, loads: Sequence[Measured]) -> list[list[Measured]] | None:
        """Hand in one's own loads; all shards' for the leader, None for the others."""
        ...


class Alone:
    """A single pod, or a person."""

    leader = True

    @contextlib.asynccontextmanager
    async def joined(self, seed: int) -> AsyncIterator[int]:
        """Nobody to wait for."""
        yield seed

    async def start(self, load: int) -> float | None:
        """Right away."""
        return None

    async def collect(self, loads: Sequence[Measured]) -> list[list[Measured]] | None:
        """The loads themselves."""
        return [list(loads)]


def shard_key(index: int) -> str:
    """The key of a shard in the ConfigMap."""
    return f"shard-{index}.json"


@dataclass(slots=True)
class _Seen:
    """Another shard, as far as is known."""

    text: str = ""
    at: float = 0.0
    record: dict[str, Any] = field(default_factory=dict)


class Shards:
    """One shard among several.

    Args:
        store: The run's ConfigMap.
        index: This one, from 0.
        count: All of them.
        timing: How they wait.
    """

    def __init__(self, store: Store, index: int, count: int, timing: Timing | None = None) -> None:
        self._store = store
        self._index = index
        self._count = count
        self._timing = timing or Timing()
        self._own: dict[str, Any] = {"ready": -1, "beat": 0}
        self._seen = {number: _Seen() for number in range(count) if number != index}
        self._late = 0.0
        self.leader = index == 0

    @contextlib.asynccontextmanager
    async def joined(self, seed: int) -> AsyncIterator[int]:
        """Take part until the end; a failure is told to the others.

        Raises:
            CheckError: `ShardRestarted`, or as the others fail.
        """
        self._late = time.monotonic() + self._timing.meet
        beating: asyncio.Task[None] | None = None
        try:
            found = await self._read()
            if "result.json" in found:
                raise CheckError("RunFinished", "this run has its result already")
            if shard_key(self._index) in found:
                raise CheckError(
                    "ShardRestarted",
                    f"shard {self._index} was started a second time: half a load is none; the run "
                    "must be made anew",
                )
            if self.leader:
                self._own["seed"] = seed
            await self._tell()
            beating = asyncio.create_task(self._beat())
            if not self.leader:
                await self._until([0], lambda record: type(record.get("seed")) is int)
                seed = int(self._seen[0].record["seed"])
            yield seed
        except (CheckError, SpecError, ClusterError) as error:
            await self._fail(error)
            if isinstance(error, ClusterError):
                raise _unreachable(error) from None
            raise
        except BaseException:
            await asyncio.shield(self._fail(CheckError("ShardStopped", "it was stopped")))
            raise
        finally:
            if beating is not None:
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)

    async def start(self, load: int) -> float | None:
        """Meet the others, and agree on a moment.

        Raises:
            CheckError: A shard failed or got lost; `ClockSkew`; `ShardLate`.
        """
        self._own |= {"ready": load, "readyAt": time.time()}
        await self._tell()
        if self.leader:
            await self._until(list(self._seen), lambda record: record.get("ready", -1) >= load)
            for number, seen in self._seen.items():
                self._compare(number, float(seen.record["readyAt"]), time.time())
            now = time.time()
            self._own |= {"go": load, "goAt": now, "startAt": now + self._timing.lead}
            await self._tell()
            start = float(self._own["startAt"])
        else:
            await self._until([0], lambda record: record.get("go", -1) >= load)
            order = self._seen[0].record
            self._compare(0, float(order["goAt"]), time.time())
            start = float(order["startAt"])
        self._late = float("inf")
        left = start - time.time()
        if left < self._timing.lead / 20:
            raise CheckError(
                "ShardLate",
                f"shard {self._index} read the order to start {-left:.2f} s after the start: the "
                "API server is slow, or the clocks differ",
            )
        return time.monotonic() + left

    async def collect(self, loads: Sequence[Measured]) -> list[list[Measured]] | None:
        """Hand in, or wait for what the others hand in.

        Raises:
            CheckError: A shard failed, got lost or handed in what can't be read.
        """
        if not self.leader:
            whole = self._count * sum(load.completed for load in loads)
            self._own["loads"] = packed(loads, LOADS_BYTES // self._count, whole <= MOST_KEPT)
            await self._tell()
            return None
        await self._until(list(self._seen), lambda record: "loads" in record)
        others = [unpacked(number, seen.record["loads"]) for number, seen in self._seen.items()]
        if any(len(other) != len(loads) for other in others):
            raise CheckError("ShardUnreadable", "a shard has measured another number of loads")
        return [list(loads), *others]

    async def _until(self, numbers: Sequence[int], wanted: Any) -> None:
        """Look until the records of some shards say what is wanted."""
        began = time.monotonic()
        for seen in self._seen.values():
            seen.at = max(seen.at, began)
        while True:
            data = await self._read()
            for number, seen in self._seen.items():
                self._note(number, seen, data.get(shard_key(number), ""))
            if all(wanted(self._seen[number].record) for number in numbers):
                return
            self._missed()
            await asyncio.sleep(self._timing.look)

    def _note(self, number: int, seen: _Seen, text: str) -> None:
        if text == seen.text:
            return
        if not text and "loads" not in seen.record:
            raise CheckError("ShardLost", f"the record of shard {number} is gone")
        seen.text, seen.at, seen.record = text, time.monotonic(), read_record(number, text)
        failed = seen.record.get("failed")
        if isinstance(failed, Mapping):
            told = str(failed.get("message", ""))[:1000]
            raise CheckError(str(failed.get("reason", "ShardFailed")), f"shard {number}: {told}")

    def _missed(self) -> None:
        now = time.monotonic()
        for number, seen in self._seen.items():
            if not seen.text:
                if now > self._late:
                    raise CheckError(
                        "ShardMissing",
                        f"shard {number} of {self._count} has not come within "
                        f"{self._timing.meet:g} s: is there a node for its pod?",
                    )
            elif "loads" not in seen.record and now - seen.at > self._timing.lost:
                raise CheckError(
                    "ShardLost",
                    f"shard {number} has not been heard of for {self._timing.lost:g} s: its pod is "
                    "gone or hangs, and half a load is none",
                )

    def _compare(self, number: int, written: float, read: float) -> None:
        """What was written on another clock can't have been written after it was read."""
        ahead = written - read
        if ahead > self._timing.most_skew:
            raise CheckError(
                "ClockSkew",
                f"the clock of shard {number} is at least {ahead:.2f} s ahead of shard "
                f"{self._index}'s: let NTP or PTP set the nodes' clocks",
            )

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._timing.beat)
            self._own["beat"] += 1
            try:
                await self._tell()
            except ClusterError as error:
                warn(f"sign of life not written: {error}")

    async def _fail(self, error: AscendError) -> None:
        reason = getattr(error, "reason", "ShardFailed")
        self._own["failed"] = {"reason": reason, "message": str(error)[:1000]}
        try:
            await self._tell()
        except ClusterError as other:
            warn(f"the other shards could not be told: {other}")

    async def _tell(self) -> None:
        await self._store.write({shard_key(self._index): compact_json(self._own)})

    async def _read(self) -> Mapping[str, str]:
        return await self._store.read()


def _unreachable(error: ClusterError) -> CheckError:
    return CheckError(
        "ClusterUnreachable", f"the shards can't meet in the run's ConfigMap: {error}"
    )
