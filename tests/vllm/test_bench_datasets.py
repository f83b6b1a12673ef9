"""Prompts of exact lengths with a real tokenizer, and one of a small vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ascendllm.checks.bench.datasets import (
    DatasetOptions,
    Prompt,
    long_context_prompt,
    make_dataset,
)
from ascendllm.checks.client import Client, open_session
from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.retry import RetryPolicy
from vllm.engine import Engine


async def usage_of(client: Client, prompt: Prompt) -> tuple[int, int]:
    """What the server counts when the prompt is sent as bench sends it."""
    asked = {
        "model": client.endpoint.model,
        "prompt": prompt.text,
        "max_tokens": prompt.output_tokens,
        "ignore_eos": True,
    }
    body = await client.post("/v1/completions", asked, 60)
    usage = body["usage"]
    assert isinstance(usage, dict)
    return usage["prompt_tokens"], usage["completion_tokens"]


@pytest.mark.parametrize(("tokens", "prefix"), [(16, 0), (128, 0), (128, 64), (2000, 1500)])
async def test_random_prompts_have_the_length_that_is_counted(
    engine: Engine, tokens: int, prefix: int
) -> None:
    async with open_session(8) as session:
        client = Client(session, parse_endpoint(engine.url, engine.name), RetryPolicy())
        options = DatasetOptions("random", tokens, 4, prefix, seed=tokens)
        made = await make_dataset(client, options, 6, concurrency=8, max_model_len=4096)
        requests = client.requests
        for prompt in made.prompts:
            assert await usage_of(client, prompt) == (tokens, 4)
        ids = [await client.tokenize(prompt.text) for prompt in made.prompts]
    assert len({tuple(row[:prefix]) for row in ids}) == 1
    assert len({tuple(row) for row in ids}) == 6
    assert requests < 300  # the made-up vocabulary has few English words


async def test_the_longest_prompt_fits(engine: Engine) -> None:
    async with open_session(8) as session:
        client = Client(session, parse_endpoint(engine.url, engine.name), RetryPolicy())
        prompt = await long_context_prompt(client, max_model_len=4096, output_tokens=8, seed=1)
        assert await usage_of(client, prompt) == (4088, 8)


async def test_conversations_have_the_length_that_is_counted(
    engine: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "share.json"
    turns = [("Tell me of the sea, é 안녕 \U0001f600?", "It is wide. " * n) for n in range(1, 9)]
    rows = [{"conversations": [{"value": one}, {"value": two}]} for one, two in turns]
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    async with open_session(8) as session:
        client = Client(session, parse_endpoint(engine.url, engine.name), RetryPolicy())
        options = DatasetOptions("sharegpt", output_tokens=None, data=path)
        made = await make_dataset(client, options, 8, concurrency=8, max_model_len=4096)
        for prompt in made.prompts:
            counted = await usage_of(client, prompt)
            assert counted == (prompt.input_tokens, prompt.output_tokens)
