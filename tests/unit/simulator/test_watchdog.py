"""The operator's watchdog, looking at simulated servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from ascendllm.kube.findings import Findings
from ascendllm.reconcile import Key
from ascendllm.runtime.metrics import Metrics
from ascendllm.runtime.sampling import Target
from ascendllm.runtime.watchdog import Watchdog
from ascendllm.settings import Settings
from ascendllm.state.pods import Pod
from ascendllm_simulator.behaviour import Failure
from unit.core.pod_servers import METRICS, PodServers, answering, response, silent
from unit.simulator.running import FAST, Start

KEY = ("default", "llama")
HANGS = replace(FAST, failure=Failure("hang", {"after": 0, "times": 0}))
POD = {
    "metadata": {"name": "llama-1", "uid": "uid", "labels": {}},
    "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
}


class Dog:
    """A watchdog, its clock, and what it did."""

    def __init__(
        self,
        port: int,
        targets: Sequence[Target] = ((KEY, Pod.read(POD)),),
        period: float = 10.0,
        **settings: Any,
    ) -> None:
        self.now = 0.0
        self.woken: list[Key] = []
        self.findings = Findings()
        for key in dict.fromkeys(key for key, _ in targets):
            self.findings.note(key, [pod for owner, pod in targets if owner == key])
        self.metrics = Metrics()
        self.dog = Watchdog(
            self.findings,
            self.woken.append,
            Settings.from_mapping(settings),
            self.metrics,
            port=port,
            period=period,
            clock=lambda: self.now,
        )

    async def look(self, *moments: float) -> None:
        for moment in moments:
            self.now = moment
            await self.dog.look()

    def looks(self, result: str) -> float:
        name = "ascendllm_watchdog_looks_total"
        return self.metrics.registry.get_sample_value(name, {"result": result}) or 0.0

    @property
    def hung(self) -> bool:
        return "uid" in self.findings.hung


@pytest.fixture
async def servers(unused_tcp_port: int) -> AsyncIterator[PodServers]:
    servers = PodServers(unused_tcp_port)
    yield servers
    servers.close()


def port_of(server: Any) -> int:
    return int(server.client.base_url.port)


async def test_a_server_that_hangs_is_found(start: Start) -> None:
    server = await start(behaviour=HANGS)
    stuck = asyncio.create_task(server.complete())
    await server.reach("vllm:num_requests_running", 1)
    assert (await server.client.get("/health")).status_code == 200

    dog = Dog(port_of(server))
    await dog.look(0, 100, 200, 359)
    assert (dog.hung, dog.woken) == (False, [])
    await dog.look(360)
    assert (dog.hung, dog.woken) == (True, [KEY])
    since = dog.findings.hung["uid"]
    await dog.look(370)
    assert dog.woken == [KEY], "told once"
    assert dog.findings.hung["uid"] == since
    assert b"ascendllm_hung_pods 1.0" in dog.metrics.text()
    stuck.cancel()


async def test_a_server_that_works_or_idles_is_not(start: Start) -> None:
    server = await start()
    dog = Dog(port_of(server))
    await dog.look(0, 200, 400, 600)
    assert not dog.hung
    slow = await start(behaviour=replace(FAST, itl_ms=10))
    dog = Dog(port_of(slow))
    answer = asyncio.create_task(slow.complete(max_tokens=500))
    await slow.reach("vllm:num_requests_running", 1)
    for moment in (0, 200, 400, 600):
        steps = (await slow.metrics())["vllm:iteration_tokens_total_count"]
        await slow.reach("vllm:iteration_tokens_total_count", steps + 1)
        await dog.look(moment)
    assert not dog.hung
    answer.cancel()


async def test_who_does_not_answer_tells_nothing(unused_tcp_port: int) -> None:
    dog = Dog(unused_tcp_port)
    await dog.look(0, 200, 400, 600)
    assert (dog.hung, dog.woken) == (False, [])
    assert b'looks_total{result="unknown"} 4.0' in dog.metrics.text()


@pytest.mark.parametrize("body", ["", "<html>", "x" * (5 * 1024 * 1024)])
async def test_other_answers_tell_nothing(body: str, unused_tcp_port: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    try:
        dog = Dog(unused_tcp_port)
        await dog.look(0, 200, 400, 600)
        assert not dog.hung
    finally:
        await runner.cleanup()


async def test_who_is_gone_is_forgotten(start: Start) -> None:
    server = await start(behaviour=HANGS)
    stuck = asyncio.create_task(server.complete())
    await server.reach("vllm:num_requests_running", 1)
    dog = Dog(port_of(server))
    await dog.look(0, 200, 400)
    assert dog.hung
    dog.findings.forget(KEY)
    await dog.look(410)
    assert not dog.hung
    stuck.cancel()


async def test_an_engine_that_hangs_is_found_however_many_pods_are_slow(
    servers: PodServers,
) -> None:
    slow = [("slow", f"model-{n % 4}") for n in range(64)]
    await servers.add(silent, slow)
    moving = answering(
        response(METRICS.replace(b" 1.0\n", b" 0.0\n").replace(b" 2.0\n", b" 0.0\n"))
    )
    await servers.add(moving, [("a", "idle")] * 4)
    (hung,) = await servers.add(answering(response()), [("b", "hung")])
    dog = Dog(servers.port, servers.targets, period=1.0)
    await dog.look(0, 200, 400)
    assert list(dog.findings.hung) == [hung]
    assert dog.woken == [("b", "hung")]
    assert dog.looks("alive") == 4 * 3 + 2
    assert dog.looks("hung") == 1
    assert dog.looks("unknown") > 0
    assert dog.looks("skipped") > 0
    assert dog.looks("unknown") + dog.looks("skipped") == 64 * 3


async def test_an_engine_is_judged_by_what_was_seen_of_it(servers: PodServers) -> None:
    (uid,) = await servers.add(answering(response()), [("a", "model")])
    dog = Dog(servers.port, servers.targets)
    await dog.look(0, 100, 200)
    servers.stop(uid)
    await dog.look(400, 1000)
    assert not dog.findings.hung, "it may have made steps since"
    assert (dog.looks("alive"), dog.looks("unknown")) == (3, 2)


async def test_an_engine_that_hangs_and_then_falls_silent_still_hangs(servers: PodServers) -> None:
    (uid,) = await servers.add(answering(response()), [("a", "model")])
    dog = Dog(servers.port, servers.targets)
    await dog.look(0, 200, 400)
    since = dog.findings.hung[uid]
    servers.stop(uid)
    await dog.look(410)
    assert dog.findings.hung == {uid: since}
    assert dog.woken == [("a", "model")]


async def test_slow_pods_do_not_lengthen_the_time_between_looks(servers: PodServers) -> None:
    healthy = answering(response())
    asked: list[float] = []
    enough = asyncio.Event()

    def serve() -> asyncio.BaseProtocol:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) == 4:
            enough.set()
        return healthy()

    await servers.add(silent, [("slow", "model")] * 20)
    await servers.add(serve, [("a", "model")])
    looking = asyncio.create_task(Dog(servers.port, servers.targets, period=1.0).dog.run())
    async with asyncio.timeout(10):
        await enough.wait()
    looking.cancel()
    assert asked[-1] - asked[0] < 4, "three rounds of nearly a second, and no pause between them"


async def test_it_can_be_switched_off() -> None:
    async with asyncio.timeout(5):
        await Dog(1, hangTimeout="0s").dog.run()
