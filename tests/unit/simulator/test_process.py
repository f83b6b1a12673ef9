from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import pytest

from ascendllm.state.diagnosis import diagnose
from ascendllm.state.loading import loading_stage
from ascendllm_simulator.behaviour import CRASHES
from unit.simulator.running import until

SOURCE = str(Path(__file__).parents[3] / "operator")
BODY = {"model": "m", "prompt": "Hello", "max_tokens": 20, "ignore_eos": True}


class Process:
    """`ascendllm-simulator` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log = ""

    async def port(self) -> int:
        """Waits until it listens."""
        found = await self.line(r"http://127\.0\.0\.1:(\d+)")
        await self.line("startup complete")
        return int(found)

    async def line(self, pattern: str) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while line := (await self.process.stdout.readline()).decode():
                self.log += line
                if match := re.search(pattern, line):
                    return match.group(match.lastindex or 0)
        raise AssertionError(f"{pattern} is not in the log:\n{self.log}")

    async def end(self) -> int:
        """The exit code."""
        async with asyncio.timeout(20):
            out, err = await self.process.communicate()
        self.log += out.decode() + err.decode()
        assert self.process.returncode is not None
        return self.process.returncode


Spawn = Callable[..., Awaitable[Process]]


@pytest.fixture
async def spawn() -> AsyncIterator[Spawn]:
    async with AsyncExitStack() as stack:

        async def run(*args: str, **behaviour: object) -> Process:
            chosen = {"loadSeconds": 0, "ttftMs": 0, "itlMs": 0, **behaviour}
            environment = {
                **os.environ,
                "PYTHONPATH": SOURCE,
                "ASCENDLLM_SIMULATE": json.dumps(chosen),
            }
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "ascendllm_simulator", *args,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment,
            )  # fmt: skip

            async def kill() -> None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.communicate()

            stack.push_async_callback(kill)
            return Process(process)

        yield run


SERVE = ("m", "--host=127.0.0.1", "--port=0")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            ["m", "--device", "ascend"],
            "usage: vllm [-h] [-v] {chat,complete,serve,launch,bench,collect-env,run-batch} ...\n"
            "vllm: error: unrecognized arguments: --device ascend\n",
        ),
        (
            ["m", "--port", "x"],
            "usage: vllm serve [model_tag] [options]\n"
            "vllm serve: error: argument --port: invalid int value: 'x'\n",
        ),
    ],
)
async def test_refused_arguments_end_it_with_2(spawn: Spawn, args: list[str], text: str) -> None:
    process = await spawn(*args)
    assert await process.end() == 2
    assert process.log == text


async def test_bad_behaviour_ends_it_with_2(spawn: Spawn) -> None:
    process = await spawn(*SERVE, accuracy=300)
    assert await process.end() == 2
    assert "accuracy: 300" in process.log


async def test_a_missing_model_ends_it_with_1(spawn: Spawn, tmp_path: Path) -> None:
    process = await spawn(str(tmp_path / "none"))
    assert await process.end() == 1
    assert "Invalid repository ID or local directory" in process.log


async def test_help_names_the_failures(spawn: Spawn) -> None:
    process = await spawn("--help")
    assert await process.end() == 0
    assert "crashOnLoad" in process.log


async def test_the_port_is_closed_while_it_loads(spawn: Spawn) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await spawn("m", "--host=127.0.0.1", f"--port={port}", loadSeconds=0.7)
    await process.line("max_seq_len")
    began = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert await process.port() == port
    assert time.monotonic() - began > 0.5
    taken = await spawn("m", "--host=127.0.0.1", f"--port={port}")
    assert await taken.end() == 1
    assert "[Errno 98] Address already in use" in taken.log
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize("cause", [*CRASHES, "some other text"])
async def test_crash_on_load(spawn: Spawn, cause: str) -> None:
    failure = {"mode": "crashOnLoad", "cause": cause, "exitCode": 3}
    process = await spawn(*SERVE, failure=failure)
    assert await process.end() == 3
    assert CRASHES.get(cause, cause) in process.log
    assert "Starting vLLM API server" not in process.log


async def test_a_crash_may_leave_more_than_a_kubelet_keeps(spawn: Spawn) -> None:
    failure = {"mode": "crashOnLoad", "cause": "noDriver", "trace": True}
    process = await spawn(*SERVE, failure=failure)
    assert await process.end() == 1
    kept = process.log[-2048:]
    assert CRASHES["noDriver"] not in kept
    assert "Engine core initialization failed" in kept
    found = diagnose(process.log)
    assert found is not None
    assert found.reason == "NoDriver"


async def test_a_load_is_told_as_vllm_tells_it(spawn: Spawn) -> None:
    process = await spawn(*SERVE, loadSeconds=0.2, captureSeconds=0.2)
    await process.port()
    stages = [loading_stage(line) for line in process.log.splitlines()]
    told = [(stage.reason, stage.message) for stage in stages if stage is not None]
    assert ("Loading", "loading weights, 1 of 4 files (25 %)") in told
    assert ("GraphCapture", "capturing graphs, 2 of 5") in told
    reasons = list(dict.fromkeys(reason for reason, _ in told))
    assert reasons == ["Loading", "WarmingUp", "GraphCapture"]
    assert told[-1] == ("WarmingUp", "the server listens: waiting for its first completion")


async def test_loading_forever_ends_on_sigterm(spawn: Spawn) -> None:
    process = await spawn(*SERVE, failure={"mode": "loadForever"})
    await process.line("max_seq_len")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.process.wait(), 0.5)
    process.process.send_signal(signal.SIGTERM)
    assert await process.end() == 130
    assert "KeyboardInterrupt: terminated" in process.log


@pytest.mark.parametrize("keep", [False, True])
async def test_false_ready(spawn: Spawn, keep: bool) -> None:
    failure = {"mode": "falseReady", "keepAlive": keep, "exitCode": 5}
    process = await spawn(*SERVE, failure=failure, ttftMs=0)
    port = await process.port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/health")).status_code == 200
        assert (await client.post("/v1/completions", json=BODY)).status_code == 500
        if keep:
            assert (await client.get("/health")).status_code == 503
            process.process.send_signal(signal.SIGTERM)
    assert await process.end() == (0 if keep else 5)


async def post(client: httpx.AsyncClient, **fields: object) -> httpx.Response:
    return await client.post("/v1/completions", json={**BODY, **fields})


async def seen(client: httpx.AsyncClient, text: str) -> None:
    async def there() -> bool:
        return text in (await client.get("/metrics")).text

    await until(there)


async def running(client: httpx.AsyncClient, number: int) -> None:
    labels = 'engine="0",model_name="m"'
    await seen(client, f"vllm:num_requests_running{{{labels}}} {float(number)}")


async def test_sigterm_drains(spawn: Spawn) -> None:
    process = await spawn(*SERVE, "--shutdown-timeout", "20", ttftMs=200, itlMs=20)
    port = await process.port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        whole = asyncio.create_task(post(client))
        stream = asyncio.create_task(post(client, stream=True))
        await running(client, 2)
        process.process.send_signal(signal.SIGTERM)
        await process.line("Draining 2 in-flight requests")
        late = (await post(client)).json()
        assert late["choices"][0]["finish_reason"] == "abort"
        assert late["usage"]["completion_tokens"] == 0
        answer = (await whole).json()
        assert answer["usage"]["completion_tokens"] == 20
        assert answer["choices"][0]["finish_reason"] == "length"
        text = (await stream).text
        assert text.count('"text"') == 20
        assert text.endswith("data: [DONE]\n\n")
    assert await process.end() == 0


async def test_the_drain_has_an_end(spawn: Spawn) -> None:
    process = await spawn(*SERVE, "--shutdown-timeout", "1", ttftMs=60_000)
    port = await process.port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        task = asyncio.create_task(post(client))
        await running(client, 1)
        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        answer = (await task).json()
        assert 0.9 < time.monotonic() - began < 5
        assert answer["choices"][0]["finish_reason"] == "abort"
    assert await process.end() == 0


async def test_without_a_shutdown_timeout_sigterm_aborts(spawn: Spawn) -> None:
    process = await spawn(*SERVE, ttftMs=10, itlMs=2000)
    port = await process.port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        whole = asyncio.create_task(post(client))
        stream = asyncio.create_task(post(client, stream=True))
        await running(client, 2)
        await seen(client, 'first_token_seconds_count{engine="0",model_name="m"} 2.0')
        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        answer = (await whole).json()
        assert answer["choices"][0]["finish_reason"] == "abort"
        assert 1 <= answer["usage"]["completion_tokens"] < 20
        assert '"finish_reason":"abort"' in (await stream).text
    assert await process.end() == 0
    assert time.monotonic() - began < 5
