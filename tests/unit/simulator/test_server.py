from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from ascendllm_simulator import tokenizer
from ascendllm_simulator.behaviour import Behaviour
from unit.simulator.running import Start

TTFT_MS, ITL_MS = 60.0, 20.0
SLOW = Behaviour(load_seconds=0, ttft_ms=TTFT_MS, itl_ms=ITL_MS)

# The names of vllm 0.18.0, v1/metrics/loggers.py, without the ones that an option turns on.
NAMES = """vllm:num_requests_running vllm:num_requests_waiting vllm:engine_sleep_state
vllm:kv_cache_usage_perc vllm:prefix_cache_queries_total vllm:prefix_cache_hits_total
vllm:external_prefix_cache_queries_total vllm:external_prefix_cache_hits_total
vllm:mm_cache_queries_total vllm:mm_cache_hits_total vllm:num_preemptions_total
vllm:prompt_tokens_total vllm:prompt_tokens_by_source_total vllm:prompt_tokens_cached_total
vllm:prompt_tokens_recomputed_total vllm:generation_tokens_total vllm:request_success_total
vllm:request_prompt_tokens vllm:request_generation_tokens vllm:iteration_tokens_total
vllm:request_max_num_generation_tokens vllm:request_params_n vllm:request_params_max_tokens
vllm:time_to_first_token_seconds vllm:inter_token_latency_seconds
vllm:request_time_per_output_token_seconds vllm:e2e_request_latency_seconds
vllm:request_queue_time_seconds vllm:request_inference_time_seconds
vllm:request_prefill_time_seconds vllm:request_decode_time_seconds
vllm:request_prefill_kv_computed_tokens vllm:cache_config_info"""


async def test_adapters_are_served_under_their_names(start: Start) -> None:
    server = await start(names=("m",), adapters={"legal": "/loras/legal"})
    cards = (await server.client.get("/v1/models")).json()["data"]
    assert [(card["id"], card["root"], card["parent"]) for card in cards] == [
        ("m", cards[0]["root"], None),
        ("legal", "/loras/legal", "m"),
    ]
    asked = {"model": "legal", "prompt": "x", "max_tokens": 1}
    answer = await server.client.post("/v1/completions", json=asked)
    assert answer.json()["model"] == "legal"
    answer = await server.client.post("/v1/completions", json={**asked, "model": "medical"})
    assert answer.status_code == 404


async def test_health_version_models(start: Start) -> None:
    server = await start(names=("m", "other"), max_model_len=4096)
    for method, path in (("GET", "/health"), ("GET", "/ping"), ("POST", "/ping")):
        response = await server.client.request(method, path)
        assert (response.status_code, response.content) == (200, b"")
    assert (await server.client.get("/version")).json() == {"version": "0.18.0"}
    models = (await server.client.get("/v1/models")).json()
    assert models["object"] == "list"
    assert [card["id"] for card in models["data"]] == ["m", "other"]
    card = models["data"][0]
    assert (card["root"], card["max_model_len"], card["owned_by"]) == ("/m", 4096, "vllm")
    assert (await server.complete(model="other")).json()["model"] == "m"


async def test_unknown_paths_and_methods(start: Start) -> None:
    server = await start()
    missing = await server.client.get("/v1/nothing")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Not Found"})
    wrong = await server.client.get("/v1/completions")
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed"})


async def test_keys_guard_v1_only(start: Start) -> None:
    server = await start(api_keys=("one", "two"))
    for header in (None, "Bearer wrong", "Basic one", "Bearer", "Bearer é"):
        headers = {"Authorization": header.encode("latin-1")} if header else {}
        response = await server.client.get("/v1/models", headers=headers)
        assert (response.status_code, response.json()) == (401, {"error": "Unauthorized"})
    assert (await server.complete()).status_code == 401
    for key in ("one", "two"):
        headers = {"Authorization": f"Bearer {key}"}
        assert (await server.client.get("/v1/models", headers=headers)).status_code == 200
    for path in ("/health", "/version", "/metrics"):
        assert (await server.client.get(path)).status_code == 200
    assert (await server.client.post("/tokenize", json={"prompt": "x"})).status_code == 200


async def test_tokenize_and_detokenize(start: Start) -> None:
    server = await start(max_model_len=77)
    asked = {"model": "m", "prompt": "Hello there", "return_token_strs": True}
    body = (await server.client.post("/tokenize", json=asked)).json()
    assert set(body) == {"count", "max_model_len", "tokens", "token_strs"}
    assert body["tokens"] == tokenizer.encode("Hello there", bos=True)
    assert (body["count"], body["max_model_len"]) == (3, 77)
    assert body["token_strs"] == ["<|begin_of_text|>", "Hello", " there"]
    asked = {"prompt": "Hello there", "add_special_tokens": False}
    bare = (await server.client.post("/tokenize", json=asked)).json()
    assert bare["tokens"] == body["tokens"][1:]
    assert bare["token_strs"] is None
    back = await server.client.post("/detokenize", json={"model": "m", "tokens": bare["tokens"]})
    assert back.json() == {"prompt": "Hello there"}
    for path, wrong in (("/tokenize", {}), ("/detokenize", {"tokens": ["x"]})):
        assert (await server.client.post(path, json=wrong)).status_code == 400
        unknown = {"model": "x", "prompt": "a", "tokens": []}
        assert (await server.client.post(path, json=unknown)).status_code == 404


async def test_metrics_bear_the_names_of_vllm(start: Start) -> None:
    server = await start()
    response = await server.client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = response.text.splitlines()
    assert {line.split()[2] for line in lines if line.startswith("# TYPE")} == set(NAMES.split())
    for line in lines:
        if not line.startswith(("#", "vllm:cache_config_info")):
            assert 'engine="0"' in line
            assert 'model_name="m"' in line


async def test_metrics_grow_by_what_was_sent(start: Start) -> None:
    server = await start()
    size = tokenizer.count("Hello there", bos=True)
    await asyncio.gather(*[server.complete(max_tokens=5) for _ in range(4)])
    await server.complete(max_tokens=5, stream=True)
    await server.complete(n=2, temperature=1, max_tokens=5)
    await server.complete(max_tokens=2000)
    metrics = await server.metrics()
    assert metrics["vllm:request_success_totalfinished_reason=length"] == 7
    assert metrics["vllm:request_success_totalfinished_reason=stop"] == 1
    assert metrics["vllm:prompt_tokens_total"] == size * 8
    assert metrics["vllm:request_prompt_tokens_sum"] == size * 8
    generated = metrics["vllm:generation_tokens_total"]
    assert generated == metrics["vllm:request_generation_tokens_sum"] > 7 * 5
    assert metrics["vllm:iteration_tokens_total_sum"] == generated + size * 8
    assert metrics["vllm:time_to_first_token_seconds_count"] == 8
    assert metrics["vllm:inter_token_latency_seconds_count"] == generated - 8
    assert metrics["vllm:num_requests_running"] == metrics["vllm:num_requests_waiting"] == 0


async def test_histograms_are_cumulative(start: Start) -> None:
    server = await start(SLOW)
    await server.complete(max_tokens=3)
    metrics = await server.metrics()
    buckets = [v for k, v in metrics.items() if k.startswith("vllm:time_to_first_token_seconds_b")]
    assert buckets == sorted(buckets)
    assert metrics["vllm:time_to_first_token_seconds_bucketle=0.04"] == 0
    assert metrics["vllm:time_to_first_token_seconds_bucketle=+Inf"] == 1
    assert metrics["vllm:inter_token_latency_seconds_sum"] == pytest.approx(2 * ITL_MS / 1000)


async def test_the_prefix_cache(start: Start) -> None:
    server = await start(block_size=16, cached_in_usage=True)
    prompt = " word" * 99  # 100 tokens with BOS: six whole blocks

    async def hits(text: object = prompt, **fields: object) -> int:
        before = await server.metrics()
        await server.complete(text, **fields)
        after = await server.metrics()
        queries, found = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"
        asked = int(after[queries] - before[queries])
        assert asked == (0 if "prompt_logprobs" in fields else tokenizer.count(str(text), bos=True))
        assert after[found] - before[found] == (
            after["vllm:prompt_tokens_cached_total"] - before["vllm:prompt_tokens_cached_total"]
        )
        return int(after[found] - before[found])

    assert await hits() == 0
    assert await hits() == 96
    details = (await server.complete(prompt)).json()["usage"]["prompt_tokens_details"]
    assert details == {"cached_tokens": 96}
    assert await hits(cache_salt="s") == 0
    assert await hits(cache_salt="s") == 96
    assert await hits(cache_salt="t") == 0
    assert await hits(prompt_logprobs=0) == 0
    assert await hits(" word" * 50 + " other" * 49) == 48
    assert await hits(" word" * 95) == 80  # 96 tokens: the last one is always computed


async def test_no_prefix_cache(start: Start) -> None:
    server = await start(prefix_caching=False)
    for _ in range(2):
        await server.complete(" word" * 400)
    assert (await server.metrics())["vllm:prefix_cache_queries_total"] == 0


async def test_a_full_batch_makes_the_others_wait(start: Start) -> None:
    server = await start(Behaviour(ttft_ms=500, itl_ms=0), max_num_seqs=2)
    began = time.monotonic()
    tasks = [asyncio.create_task(server.complete()) for _ in range(5)]
    while (metrics := await server.metrics())["vllm:num_requests_waiting"] < 3:
        assert time.monotonic() - began < 0.45
    assert metrics["vllm:num_requests_running"] == 2
    assert 0 < metrics["vllm:kv_cache_usage_perc"] < 1
    await asyncio.gather(*tasks)
    assert 1.5 <= time.monotonic() - began < 3
    metrics = await server.metrics()
    assert metrics["vllm:request_queue_time_seconds_sum"] == pytest.approx(2 * 0.5 + 1.0, abs=0.5)


async def test_timing_of_a_stream(start: Start) -> None:
    server = await start(SLOW)
    number = 10
    body = {"model": "m", "prompt": "Hello", "max_tokens": number, "stream": True}
    began = time.monotonic()
    times = []
    async with server.client.stream("POST", "/v1/completions", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                times.append(time.monotonic() - began)
    assert len(times) == number
    for token, seen in enumerate(times):
        due = (TTFT_MS + token * ITL_MS) / 1000
        assert due - 0.002 <= seen < due + 1


async def test_tokens_that_are_there_count_before_the_answer_is(start: Start) -> None:
    server = await start(Behaviour(ttft_ms=10, itl_ms=10))
    task = asyncio.create_task(server.complete(max_tokens=100))
    await server.reach("vllm:generation_tokens_total", 5)
    assert not task.done()
    await task
    assert (await server.metrics())["vllm:generation_tokens_total"] == 100


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_frees_its_place(start: Start, stream: bool) -> None:
    server = await start(Behaviour(ttft_ms=60_000, itl_ms=0), max_num_seqs=1)
    tasks = [asyncio.create_task(server.complete(stream=stream)) for _ in range(2)]
    await server.reach("vllm:num_requests_waiting", 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await server.reach("vllm:request_success_totalfinished_reason=abort", 2)
    assert server.service.engine.unfinished == 0


async def test_a_body_over_the_limit_is_refused(start: Start) -> None:
    server = await start()
    headers = {"content-type": "application/json", "content-length": str(65 * 2**20)}

    async def body() -> object:
        for _ in range(65):
            yield b" " * 2**20

    try:
        response = await server.client.post("/v1/completions", content=body(), headers=headers)
    except httpx.WriteError:  # the server may close while the client still sends
        return
    assert response.status_code == 413
