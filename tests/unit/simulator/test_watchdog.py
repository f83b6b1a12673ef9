"""The operator's watchdog, looking at simulated servers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from ascendllm.kube.findings import Findings
from ascendllm.reconcile import Key
from ascendllm.runtime.metrics import Metrics
from ascendllm.runtime.watchdog import Watchdog
from ascendllm.settings import Settings
from ascendllm.simulator.behaviour import Failure
from ascendllm.state.pods import Pod
from unit.simulator.running import FAST, Start

KEY = ("default", "llama")
HANGS = replace(FAST, failure=Failure("hang", {"after": 0, "times": 0}))
POD = {
    "metadata": {"name": "llama-1", "uid": "uid", "labels": {}},
    "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
}


class Dog:
    """A watchdog, its clock, and what it did."""

    def __init__(self, port: int, **settings: Any) -> None:
        self.now = 0.0
        self.woken: list[Key] = []
        self.findings = Findings()
        self.findings.note(KEY, [Pod.read(POD)])
        self.metrics = Metrics()
        self.dog = Watchdog(
            self.findings,
            self.woken.append,
            Settings.from_mapping(settings),
            self.metrics,
            port=port,
            clock=lambda: self.now,
        )

    async def look(self, *moments: float) -> None:
        async with aiohttp.ClientSession() as session:
            for moment in moments:
                self.now = moment
                await self.dog.look(session)

    @property
    def hung(self) -> bool:
        return "uid" in self.findings.hung


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


async def test_it_can_be_switched_off() -> None:
    async with asyncio.timeout(5):
        await Dog(1, hangTimeout="0s").dog.run()
