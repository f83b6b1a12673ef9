"""The startup probe's script, run as the kubelet runs it, against simulated servers."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace

import pytest

from ascendllm.desired.probes import probes
from ascendllm_simulator.behaviour import Failure
from unit.simulator.running import FAST, Start

FAILING = Failure("http500", {"after": 0, "times": 0})


async def probe(port: int, *, seconds: int = 50, key: str = "") -> tuple[int, str]:
    """Exit code and message of the script, which asks for so many seconds at most."""
    command = list(probes("m")["startupProbe"]["exec"]["command"])
    script = command[-1].replace("8000", str(port)).replace("+ 50", f"+ {seconds}")
    assert script.count(str(port)) == 2
    environment = {**os.environ, "VLLM_API_KEY": key, "http_proxy": "http://127.0.0.1:1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_completion_is_enough(start: Start) -> None:
    server = await start(names=("m",))
    assert await probe(int(server.client.base_url.port or 0)) == (0, "")
    assert (await server.metrics())["vllm:prompt_tokens_total"] > 0


async def test_the_key_is_the_environments(start: Start) -> None:
    server = await start(api_keys=("secret",))
    port = int(server.client.base_url.port or 0)
    assert await probe(port, key="secret") == (0, "")
    code, said = await probe(port, key="wrong", seconds=1)
    assert code == 1
    assert "HTTP 401" in said
    assert "wrong" not in said


async def test_a_server_that_errs_has_not_started(start: Start) -> None:
    server = await start(behaviour=replace(FAST, failure=FAILING))
    code, said = await probe(int(server.client.base_url.port or 0), seconds=1)
    assert code == 1
    assert "no completion yet: HTTP 500" in said


async def test_where_nothing_listens_it_ends_in_time(unused_tcp_port: int) -> None:
    code, said = await probe(unused_tcp_port, seconds=1)
    assert code == 1
    assert "nothing listens" in said


@pytest.mark.parametrize("name", ["m", "it's", 'a"b\\c', "模型"])
def test_any_served_name_is_a_script(name: str) -> None:
    script = probes(name)["startupProbe"]["exec"]["command"][-1]
    compile(script, "probe", "exec")


def test_one_probe_ends_before_the_kubelet_ends_it() -> None:
    startup = probes("m")["startupProbe"]
    assert startup["timeoutSeconds"] > 50
    assert startup["failureThreshold"] * 50 >= 4 * 3600
