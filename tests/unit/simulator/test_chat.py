from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from ascendllm_simulator import dataset, tokenizer
from ascendllm_simulator.behaviour import Behaviour
from ascendllm_simulator.mmlu import rule_answer
from unit.simulator.running import Running, Start

# The keys of vllm 0.18.0, entrypoints/openai/chat_completion/protocol.py.
ANSWER = {
    "id", "object", "created", "model", "choices", "service_tier", "system_fingerprint", "usage",
    "prompt_logprobs", "prompt_token_ids", "kv_transfer_params",
}  # fmt: skip
CHOICE = {"index", "message", "logprobs", "finish_reason", "stop_reason", "token_ids"}
MESSAGE = {
    "role", "content", "refusal", "annotations", "audio", "function_call", "tool_calls",
    "reasoning",
}  # fmt: skip


def events(response: httpx.Response) -> list[Any]:
    blocks = response.text.split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-2]]


async def test_the_shape(start: Start) -> None:
    server = await start()
    body = (await server.chat()).json()
    assert set(body) == ANSWER
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    (choice,) = body["choices"]
    assert set(choice) == CHOICE
    assert set(choice["message"]) == MESSAGE
    assert choice["message"]["role"] == "assistant"
    assert body["usage"]["completion_tokens"] == tokenizer.count(choice["message"]["content"]) == 4


async def test_without_a_limit_it_ends_by_itself(start: Start) -> None:
    server = await start()
    body = (await server.chat(max_tokens=None)).json()
    assert body["choices"][0]["finish_reason"] == "stop"
    assert 1 < body["usage"]["completion_tokens"] < 100
    longer = (await server.chat(max_tokens=None, max_completion_tokens=7, ignore_eos=True)).json()
    assert longer["usage"]["completion_tokens"] == 7


async def test_stream(start: Start) -> None:
    server = await start()
    whole = (await server.chat(max_tokens=6)).json()
    options = {"include_usage": True, "continuous_usage_stats": True}
    response = await server.chat(max_tokens=6, stream=True, stream_options=options)
    first, *chunks, last = events(response)
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["usage"]["completion_tokens"] == 0
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None] * 5 + ["length"]
    assert [c["usage"]["completion_tokens"] for c in chunks] == [1, 2, 3, 4, 5, 6]
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == whole["usage"]["total_tokens"]
    plain = events(await server.chat(stream=True))
    assert not any("usage" in chunk for chunk in plain)


async def test_logprobs(start: Start) -> None:
    server = await start()
    (choice,) = (await server.chat(logprobs=True, top_logprobs=3)).json()["choices"]
    content = choice["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content) == choice["message"]["content"]
    for entry in content:
        assert set(entry) == {"token", "logprob", "bytes", "top_logprobs"}
        assert bytes(entry["bytes"]).decode() == entry["token"]
        assert len(entry["top_logprobs"]) == 3
        assert entry["top_logprobs"][0]["logprob"] == entry["logprob"]
    (bare,) = (await server.chat(logprobs=True)).json()["choices"]
    assert [entry["top_logprobs"] for entry in bare["logprobs"]["content"]] == [[]] * 4
    refused = await server.chat(top_logprobs=3)
    assert "`logprobs` must be set to true" in refused.json()["error"]["message"]
    assert (await server.chat(logprobs=True, top_logprobs=21)).status_code == 400


async def test_no_template_is_400(start: Start) -> None:
    server = await start(chat_template=False)
    response = await server.chat()
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "BadRequestError"
    assert "you must provide a chat template" in response.json()["error"]["message"]
    assert (await server.complete()).status_code == 200
    untrusted = await server.chat(chat_template="{{ messages }}")
    assert untrusted.status_code == 400
    assert "--trust-request-chat-template is not set" in untrusted.json()["error"]["message"]
    trusting = await start(chat_template=False, trust_request_template=True)
    assert (await trusting.chat(chat_template="{{ messages }}")).status_code == 200
    tokens = await server.client.post("/tokenize", json={"messages": []})
    assert tokens.status_code == 400


async def test_content_in_parts(start: Start) -> None:
    server = await start()
    whole = (await server.chat("Hello")).json()
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    same = (await server.chat(messages=parts)).json()
    assert same["choices"][0]["message"] == whole["choices"][0]["message"]
    count = await server.client.post("/tokenize", json={"messages": parts})
    assert count.json()["count"] == whole["usage"]["prompt_tokens"]


@pytest.mark.parametrize("messages", ["x", [{}], [{"role": "user", "content": 3}], None])
async def test_messages_of_another_form_are_refused(start: Start, messages: object) -> None:
    server = await start()
    response = await server.chat(messages=messages)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "Bad Request"


def question(row: list[str]) -> str:
    choices = "".join(f"{name}. {text}\n" for name, text in zip("ABCD", row[1:5], strict=True))
    return f"{row[0]}\n{choices}Answer:"


async def mmlu_server(start: Start, accuracy: float) -> Running:
    return await start(Behaviour(load_seconds=0, ttft_ms=0, itl_ms=0, accuracy=accuracy))


async def test_mmlu_questions_are_answered_with_the_letter(start: Start) -> None:
    server = await mmlu_server(start, 100)
    for row in dataset.rows("virology", "test", 8):
        prompt = question(row)
        right = rule_answer(row[0])
        free = (await server.complete(prompt, max_tokens=3, logprobs=5)).json()["choices"][0]
        assert free["text"] == f" {right}\n\n"
        top = free["logprobs"]["top_logprobs"][0]
        assert {" A", " B", " C", " D"} <= set(top)
        assert max(top, key=lambda token: top[token]) == f" {right}"
        ids = (await server.client.post("/tokenize", json={"prompt": prompt})).json()["tokens"]
        assert (await server.complete(ids, max_tokens=1)).json()["choices"][0][
            "text"
        ] == f" {right}"
        spaced = await server.complete(f"{prompt} ", max_tokens=1)
        assert spaced.json()["choices"][0]["text"] == right
        chat = (await server.chat(prompt, max_tokens=10)).json()["choices"][0]
        assert (chat["message"]["content"], chat["finish_reason"]) == (right, "stop")
        outputs = {"choice": ["A", "B", "C", "D"]}
        chosen = await server.complete(prompt, structured_outputs=outputs)
        assert chosen.json()["choices"][0]["text"] == right


async def test_scoring_each_letter_finds_the_same_answer(start: Start) -> None:
    # lm-eval's way: the letter is part of the prompt, its logprob is read from the echo.
    server = await mmlu_server(start, 100)
    for row in dataset.rows("anatomy", "test", 4):
        scores = {}
        for letter in "ABCD":
            body = await server.complete(
                f"{question(row)} {letter}", echo=True, logprobs=1, max_tokens=1
            )
            scores[letter] = body.json()["choices"][0]["logprobs"]["token_logprobs"][-2]
        assert max(scores, key=lambda name: scores[name]) == rule_answer(row[0])


async def test_accuracy_zero_is_never_right(start: Start) -> None:
    server = await mmlu_server(start, 0)
    for row in dataset.rows("sociology", "test", 8):
        answer = (await server.complete(question(row), max_tokens=1)).json()["choices"][0]["text"]
        assert answer.strip() in set("ABCD") - {rule_answer(row[0])}
