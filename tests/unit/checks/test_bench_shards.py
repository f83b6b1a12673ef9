"""Several pods share a load through the run's ConfigMap: each pod here is a task."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ascendllm.checks.bench import crew as crew_module
from ascendllm.checks.bench.crew import Shards, Timing, shard_key
from ascendllm.checks.bench.measured import Measured
from ascendllm.checks.bench.options import BenchOptions
from ascendllm.checks.bench.run import BENCH, check_bench
from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.run_configmap import Patience, RunConfigMap
from ascendllm.checks.runner import Outcome, Tracker, run_check
from ascendllm.exceptions import CheckError
from unit.checks.bench_case import at_the_third, busy_machine
from unit.checks.bench_raw_server import Call, RawServer
from unit.checks.config_map_server import ConfigMapServer
from unit.checks.test_bench_traffic import Counting

__all__ = ["busy_machine"]

TIMING = Timing(look=0.02, lead=0.6, beat=0.1, lost=30.0, meet=30.0)
PATIENT = Patience(5.0, 5.0, 5.0)


def store(config_map: ConfigMapServer, folder: Path) -> RunConfigMap:
    return RunConfigMap("run", config_map.api(folder), PATIENT, folder / "termination-log")


@contextlib.asynccontextmanager
async def config_map() -> AsyncIterator[ConfigMapServer]:
    async with ConfigMapServer().serve() as server:
        yield server


async def shard(
    url: str, place: RunConfigMap, index: int, count: int, timing: Timing = TIMING, **changes: Any
) -> Outcome:
    options = BenchOptions(
        parse_endpoint(url, "m"),
        input_tokens=12,
        output_tokens=5,
        **({"concurrency": 5, "requests": 23, "seed": index} | changes),
        shards=count,
        shard=index,
    )
    return await check_bench(options, Tracker(), None, Shards(place, index, count, timing))


async def test_two_pods_and_their_figures(tmp_path: Path) -> None:
    server = Counting()
    async with server.serve(), config_map() as kept:
        leader, other = await asyncio.gather(
            *(shard(server.url, store(kept, tmp_path), i, 2, warmup=3) for i in range(2))
        )
        records = [json.loads(kept.data[shard_key(i)]) for i in range(2)]
    assert (other.result, other.reason) == ("Passed", "ShardMeasured")
    assert leader.result == "Passed"
    figures: Any = leader.figures
    assert (figures["completed"], figures["shards"]) == (23, 2)
    assert figures["totalOutputTokens"] == 23 * 5
    assert len(server.calls) == 26, "warm-ups are shared as well"
    assert len({call.payload["prompt"] for call in server.calls}) == 26
    assert len(json.loads(leader.documents.texts["requests.json"])) == 23
    assert records[0]["startAt"] > records[1]["readyAt"]
    assert "ruled out" not in leader.message


async def test_a_sweep_meets_before_each_point(tmp_path: Path) -> None:
    server = RawServer()
    async with server.serve(), config_map() as kept:
        leader, *_ = await asyncio.gather(
            *(
                shard(server.url, store(kept, tmp_path), i, 3, sweep=(3, 4), requests=8)
                for i in range(3)
            )
        )
    figures: Any = leader.figures
    assert [point["concurrency"] for point in figures["sweep"]] == [3, 4]
    assert [point["completed"] for point in figures["sweep"]] == [8, 8]


async def test_a_rate_is_shared(tmp_path: Path) -> None:
    server = RawServer()
    async with server.serve(), config_map() as kept:
        leader, _ = await asyncio.gather(
            *(
                shard(server.url, store(kept, tmp_path), i, 2, request_rate=100.0, requests=51)
                for i in range(2)
            )
        )
    assert leader.figures["completed"] == 51
    assert leader.figures["seed"] == 0, "the leader's, so that all have one schedule"


async def cut(call: Call) -> None:
    await call.write(*call.pieces()[:3])
    raise ConnectionAbortedError


async def ended(*pods: Any) -> list[str]:
    """How each pod ended: its reason."""
    found = await asyncio.gather(*pods, return_exceptions=True)
    for each in found:
        if not isinstance(each, CheckError):
            raise AssertionError(f"it ended in {each!r}")
    return [each.reason for each in found if isinstance(each, CheckError)]


async def test_one_that_fails_ends_all(tmp_path: Path) -> None:
    server = RawServer(at_the_third(cut))
    async with server.serve(), config_map() as kept:
        pods = [shard(server.url, store(kept, tmp_path), i, 2, sweep=(2, 3)) for i in range(2)]
        assert await ended(*pods) == ["StreamCut", "StreamCut"]
        failed = [json.loads(kept.data[shard_key(i)]).get("failed") for i in range(2)]
    assert all(failed)


@pytest.mark.parametrize("restarted", [0, 1])
async def test_one_that_is_started_again_ends_all(tmp_path: Path, restarted: int) -> None:
    server = RawServer()
    async with server.serve(), config_map() as kept:
        kept.data[shard_key(restarted)] = json.dumps({"ready": 0, "beat": 3, "seed": 1})
        pods = [shard(server.url, store(kept, tmp_path), i, 2) for i in range(2)]
        assert await ended(*pods) == ["ShardRestarted", "ShardRestarted"]


async def test_one_that_never_comes(tmp_path: Path) -> None:
    server = RawServer()
    hurried = Timing(look=0.02, lead=0.6, beat=0.1, lost=30.0, meet=0.3)
    async with server.serve(), config_map() as kept:
        assert await ended(shard(server.url, store(kept, tmp_path), 0, 2, hurried)) == [
            "ShardMissing"
        ]
        assert await ended(shard(server.url, store(kept, tmp_path), 1, 2, hurried)) == [
            "ShardMissing"
        ]


async def test_one_that_dies_is_missed(tmp_path: Path) -> None:
    """It came, and is not heard of again."""
    quick = Timing(look=0.02, lead=0.6, beat=0.05, lost=1.5, meet=30.0)
    server = RawServer()
    async with server.serve(), config_map() as kept:
        kept.data[shard_key(1)] = json.dumps({"ready": 0, "readyAt": time.time(), "beat": 3})
        leader = shard(server.url, store(kept, tmp_path), 0, 2, quick)
        assert await ended(leader) == ["ShardLost"]


@pytest.mark.parametrize(("ahead", "ends"), [(30.0, "leader"), (-30.0, "other")])
async def test_clocks_that_differ(tmp_path: Path, ahead: float, ends: str) -> None:
    async with config_map() as kept:
        place = store(kept, tmp_path)
        if ends == "leader":
            kept.data[shard_key(1)] = json.dumps({"ready": 0, "readyAt": time.time() + ahead})
            crew = Shards(place, 0, 2, TIMING)
        else:
            order = {"seed": 1, "go": 0, "goAt": time.time() - ahead, "startAt": 0}
            kept.data[shard_key(0)] = json.dumps(order)
            crew = Shards(place, 1, 2, TIMING)
        with pytest.raises(CheckError) as caught:
            async with crew.joined(1):
                await crew.start(0)
    assert caught.value.reason == "ClockSkew"


async def test_an_order_that_comes_too_late(tmp_path: Path) -> None:
    async with config_map() as kept:
        long_ago = time.time() - 60
        order = {"seed": 1, "go": 0, "goAt": long_ago, "startAt": long_ago + 2}
        kept.data[shard_key(0)] = json.dumps(order)
        crew = Shards(store(kept, tmp_path), 1, 2, TIMING)
        with pytest.raises(CheckError) as caught:
            async with crew.joined(1):
                await crew.start(0)
    assert caught.value.reason == "ShardLate"


@pytest.mark.parametrize("loads", ["x", "eJw=", 5, None, ""])
async def test_what_a_shard_hands_in_is_read_with_care(tmp_path: Path, loads: Any) -> None:
    async with config_map() as kept:
        kept.data[shard_key(1)] = json.dumps({"ready": 0, "loads": loads})
        crew = Shards(store(kept, tmp_path), 0, 2, TIMING)
        with pytest.raises(CheckError) as caught:
            async with crew.joined(1):
                await crew.collect([Measured()])
    assert caught.value.reason == "ShardUnreadable"


async def test_what_is_too_long_is_not_handed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "LOADS_BYTES", 100)
    async with config_map() as kept:
        kept.data[shard_key(0)] = json.dumps({"seed": 1})
        crew = Shards(store(kept, tmp_path), 1, 2, TIMING)
        with pytest.raises(CheckError) as caught:
            async with crew.joined(1):
                await crew.collect([Measured()])
    assert caught.value.reason == "ShareTooLong"


async def test_an_api_server_that_refuses(tmp_path: Path) -> None:
    async with config_map() as kept:
        kept.immutable = True
        crew = Shards(store(kept, tmp_path), 0, 2, TIMING)
        with pytest.raises(CheckError) as caught:
            async with crew.joined(1):
                pass
    assert caught.value.reason == "ClusterUnreachable"


async def test_the_result_takes_the_place_of_the_shards(tmp_path: Path) -> None:
    server = RawServer()
    async with server.serve(), config_map() as kept:
        sink = store(kept, tmp_path)
        sink.obsolete = tuple(shard_key(i) for i in range(2))

        async def leads(tracker: Tracker, _checkpoint: str | None) -> Outcome:
            return await shard(server.url, sink, 0, 2)

        ending, _ = await asyncio.gather(
            run_check(BENCH, leads, [sink], 60.0),
            shard(server.url, store(kept, tmp_path), 1, 2),
        )
        assert ending.exit_code == 0
        assert {"result.json", "requests.json"} <= {k for k, v in kept.data.items() if v}
        assert all(kept.data[shard_key(i)] is None for i in range(2))
