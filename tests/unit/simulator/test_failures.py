from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest

from ascendllm_simulator.behaviour import MODES, Behaviour, Failure
from unit.simulator.running import Running, Start

USAGE = {"stream_options": {"include_usage": True}}


async def failing(start: Start, mode: str, /, **parameters: Any) -> Running:
    known = {**MODES[mode].parameters, **({"after": 0, "times": 0} if MODES[mode].gated else {})}
    assert parameters.keys() <= known.keys()
    failure = Failure(mode, {**known, **parameters})
    return await start(Behaviour(load_seconds=0, ttft_ms=0, itl_ms=0, failure=failure))


async def statuses(server: Running, number: int) -> list[int]:
    return [(await server.complete()).status_code for _ in range(number)]


async def test_http500(start: Start) -> None:
    server = await failing(start, "http500")
    response = await server.complete()
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "InternalServerError"
    assert (await server.chat()).status_code == 500
    assert (await server.client.get("/health")).status_code == 200
    assert (await server.complete(model="x")).status_code == 404


async def test_after_and_times(start: Start) -> None:
    server = await failing(start, "http500", after=2, times=3)
    assert await statuses(server, 8) == [200, 200, 500, 500, 500, 200, 200, 200]


async def test_rate_limit(start: Start) -> None:
    server = await failing(start, "rateLimit", retryAfterSeconds=2)
    response = await server.complete()
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "2"
    assert response.json()["error"]["code"] == 429


async def test_fail_every(start: Start) -> None:
    server = await failing(start, "failEvery", every=3)
    assert await statuses(server, 7) == [200, 200, 500, 200, 200, 500, 200]


async def test_slow(start: Start) -> None:
    slow = Failure("slow", {"factor": 10.0, "after": 1, "times": 0})
    server = await start(Behaviour(ttft_ms=50, itl_ms=0, failure=slow))
    times = []
    for _ in range(2):
        began = time.monotonic()
        await server.complete()
        times.append(time.monotonic() - began)
    assert times[0] < 0.45 < 0.5 <= times[1]


@pytest.mark.parametrize("stream", [False, True])
async def test_hang(start: Start, stream: bool) -> None:
    server = await failing(start, "hang")
    with pytest.raises(httpx.ReadTimeout):
        await server.client.post(
            "/v1/completions",
            json={"model": "m", "prompt": "x", "stream": stream},
            timeout=httpx.Timeout(5, read=0.3),
        )
    task = asyncio.create_task(server.complete())
    await server.reach("vllm:num_requests_running", 1)
    assert (await server.client.get("/health")).status_code == 200
    assert (await server.metrics())["vllm:iteration_tokens_total_count"] == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("mode", "served"), [("falseReady", 0), ("dieAfter", 2)])
async def test_the_engine_dies(start: Start, mode: str, served: int) -> None:
    parameters = {"requests": served} if mode == "dieAfter" else {}
    server = await failing(start, mode, **parameters)
    assert (await server.client.get("/health")).status_code == 200
    assert await statuses(server, served + 2) == [200] * served + [500, 500]
    response = await server.complete()
    assert "EngineCore encountered an issue" in response.json()["error"]["message"]
    assert (await server.client.get("/health")).status_code == 503
    assert server.service.on_death.is_set()


async def test_death_ends_what_runs(start: Start) -> None:
    dies = Failure("dieAfter", {"requests": 2, "exitCode": 0, "keepAlive": False})
    server = await start(Behaviour(ttft_ms=20_000, itl_ms=0, failure=dies))
    whole = asyncio.create_task(server.complete())
    stream = asyncio.create_task(server.complete(stream=True))
    await server.reach("vllm:num_requests_running", 2)
    assert (await server.complete()).status_code == 500
    assert (await whole).status_code == 500
    streamed = await stream
    assert streamed.status_code == 200
    error, done = streamed.text.strip().split("\n\n")
    assert json.loads(error[6:])["error"]["code"] == 500
    assert done == "data: [DONE]"


async def test_a_cut_stream(start: Start) -> None:
    server = await failing(start, "cutStream", afterTokens=2)
    got: list[str] = []

    async def read() -> None:
        body = {"model": "m", "prompt": "x", "max_tokens": 5, "stream": True}
        async with server.client.stream("POST", "/v1/completions", json=body) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                got.extend([line] if line.startswith("data: {") else [])

    with pytest.raises(httpx.RemoteProtocolError):
        await read()
    assert len(got) == 2
    assert (await server.complete()).status_code == 200
    assert server.service.engine.unfinished == 0


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("after", [0, 2, 50])
async def test_an_error_in_the_stream(start: Start, chat: bool, after: int) -> None:
    server = await failing(start, "errorInStream", afterTokens=after)
    send = server.chat if chat else server.complete
    response = await send(stream=True, max_tokens=5, **USAGE)
    assert response.status_code == 200
    *chunks, error, done = response.text.strip().split("\n\n")
    assert done == "data: [DONE]"
    assert json.loads(error[6:])["error"]["type"] == "InternalServerError"
    assert len(chunks) == min(after, 5) + chat
    assert (await send()).status_code == 200


@pytest.mark.parametrize(
    ("where", "answered", "listed"),
    [("answers", "fake", "m"), ("models", "m", "fake"), ("both", "fake", "fake")],
)
async def test_wrong_model(start: Start, where: str, answered: str, listed: str) -> None:
    server = await failing(start, "wrongModel", where=where, name="fake")
    assert (await server.complete()).json()["model"] == answered
    assert (await server.chat()).json()["model"] == answered
    stream = (await server.complete(stream=True)).text.split("\n\n")
    assert json.loads(stream[0][6:])["model"] == answered
    models = (await server.client.get("/v1/models")).json()
    assert [card["id"] for card in models["data"]] == [listed]


async def test_no_usage(start: Start) -> None:
    server = await failing(start, "noUsage")
    assert "usage" not in (await server.complete()).json()
    assert "usage" not in (await server.chat()).json()
    for response in (
        await server.complete(stream=True, **USAGE),
        await server.chat(stream=True, **USAGE),
    ):
        chunks = [json.loads(b[6:]) for b in response.text.strip().split("\n\n")[:-1]]
        assert all(chunk["choices"] and chunk.get("usage") is None for chunk in chunks)


async def test_wrong_usage(start: Start) -> None:
    server = await failing(start, "wrongUsage", offset=3)
    usage = (await server.complete(max_tokens=4)).json()["usage"]
    assert usage["completion_tokens"] == 7
    last = (await server.complete(max_tokens=4, stream=True, **USAGE)).text.split("\n\n")[-3]
    assert json.loads(last[6:])["usage"]["completion_tokens"] == 7


async def test_no_logprobs(start: Start) -> None:
    server = await failing(start, "noLogprobs")
    assert (await server.complete(logprobs=5)).json()["choices"][0]["logprobs"] is None
    assert (await server.chat(logprobs=True)).json()["choices"][0]["logprobs"] is None


async def test_no_tokenize(start: Start) -> None:
    server = await failing(start, "noTokenize")
    for path in ("/tokenize", "/detokenize"):
        assert (await server.client.post(path, json={"prompt": "x"})).status_code == 404
    assert (await server.complete()).status_code == 200
