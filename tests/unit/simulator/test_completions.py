from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from ascendllm_simulator import tokenizer
from unit.simulator.running import Start

# The keys of vllm 0.18.0, entrypoints/openai/completion/protocol.py.
ANSWER = {
    "id", "object", "created", "model", "choices", "service_tier", "system_fingerprint", "usage",
    "kv_transfer_params",
}  # fmt: skip
CHOICE = {
    "index", "text", "logprobs", "finish_reason", "stop_reason", "token_ids", "prompt_logprobs",
    "prompt_token_ids",
}  # fmt: skip
USAGE = {"prompt_tokens", "total_tokens", "completion_tokens", "prompt_tokens_details"}
CHUNK = {"id", "object", "created", "model", "choices", "usage"}


def events(response: httpx.Response) -> list[Any]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    blocks = response.text.split("\n\n")
    assert blocks.pop() == ""
    assert blocks.pop() == "data: [DONE]"
    assert all(block.startswith("data: ") for block in blocks)
    return [json.loads(block[6:]) for block in blocks]


def error(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    (name,) = response.json()
    assert name == "error"
    found: dict[str, Any] = response.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    assert found["code"] == status
    return found


async def test_the_shape(start: Start) -> None:
    server = await start()
    body = (await server.complete()).json()
    assert set(body) == ANSWER
    assert body["object"] == "text_completion"
    assert body["model"] == "m"
    assert body["id"].startswith("cmpl-")
    (choice,) = body["choices"]
    assert set(choice) == CHOICE
    assert choice["finish_reason"] == "length"
    assert set(body["usage"]) == USAGE
    assert body["usage"]["prompt_tokens"] == tokenizer.count("Hello there", bos=True)
    assert body["usage"]["completion_tokens"] == tokenizer.count(choice["text"]) == 4
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + 4


async def test_a_prompt_in_its_four_forms(start: Start) -> None:
    server = await start()
    ids = tokenizer.encode("Hello there", bos=True)
    text = (await server.complete()).json()["choices"][0]["text"]
    for prompt, number in ((ids, 1), (["Hello there"] * 2, 2), ([ids, ids, ids], 3)):
        body = (await server.complete(prompt)).json()
        assert [choice["text"] for choice in body["choices"]] == [text] * number
        assert [choice["index"] for choice in body["choices"]] == list(range(number))
        assert body["usage"]["prompt_tokens"] == len(ids) * number
        assert body["usage"]["completion_tokens"] == 4 * number


async def test_special_tokens_only_where_wanted(start: Start) -> None:
    server = await start()
    with_bos = (await server.complete()).json()["usage"]["prompt_tokens"]
    without = (await server.complete(add_special_tokens=False)).json()["usage"]["prompt_tokens"]
    assert with_bos == without + 1


async def test_greedy_is_always_the_same_and_sampling_is_not(start: Start) -> None:
    server, other = await start(), await start()

    async def text(**fields: object) -> str:
        found: str = (await server.complete(max_tokens=12, **fields)).json()["choices"][0]["text"]
        return found

    greedy = await text()
    assert greedy == await text() == await text(seed=5)
    assert (await other.complete(max_tokens=12)).json()["choices"][0]["text"] == greedy
    assert await text(temperature=1) != await text(temperature=1)
    assert await text(temperature=1, seed=1) == await text(temperature=1, seed=1)
    assert await text(temperature=1, seed=1) != await text(temperature=1, seed=2)


async def test_stream(start: Start) -> None:
    server = await start()
    whole = (await server.complete(max_tokens=9)).json()
    options = {"include_usage": True}
    *chunks, last = events(await server.complete(max_tokens=9, stream=True, stream_options=options))
    assert len(chunks) == 9
    assert all(set(chunk) == CHUNK and chunk["usage"] is None for chunk in chunks)
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["text"] for choice in choices) == whole["choices"][0]["text"]
    assert [choice["finish_reason"] for choice in choices] == [None] * 8 + ["length"]
    assert last["choices"] == []
    assert last["usage"] == {k: v for k, v in whole["usage"].items() if v is not None}


async def test_stream_without_usage_and_with_usage_everywhere(start: Start) -> None:
    server = await start()
    chunks = events(await server.complete(stream=True))
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunks)
    options = {"include_usage": True, "continuous_usage_stats": True}
    *chunks, last = events(await server.complete(stream=True, stream_options=options))
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [1, 2, 3, 4]
    assert last["usage"]["completion_tokens"] == 4
    forced = await start(force_usage=True)
    assert events(await forced.complete(stream=True))[-1]["choices"] == []


async def test_several_choices_in_one_stream(start: Start) -> None:
    server = await start()
    options = {"include_usage": True}
    response = await server.complete(
        ["a", "b"], n=2, temperature=1, seed=3, stream=True, stream_options=options
    )
    *chunks, last = events(response)
    texts = ["", "", "", ""]
    finished = []
    for chunk in chunks:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["text"]
        finished += [choice["index"]] if choice["finish_reason"] else []
    assert sorted(finished) == [0, 1, 2, 3]
    assert last["usage"]["completion_tokens"] == 16
    whole = (await server.complete(["a", "b"], n=2, temperature=1, seed=3)).json()
    assert [choice["text"] for choice in whole["choices"]] == texts
    assert len(set(texts)) == 4


@pytest.mark.parametrize("stream", [False, True])
async def test_stop_strings(start: Start, stream: bool) -> None:
    server = await start()
    text = (await server.complete(max_tokens=20)).json()["choices"][0]["text"]
    words = text.split(" ")
    stop = f"{words[5][-1]} {words[6][0]}"  # reaches over two tokens
    cut = text[: text.index(stop)]
    response = await server.complete(max_tokens=20, stop=["never there", stop], stream=stream)
    parts = (
        [event["choices"][0] for event in events(response)]
        if stream
        else response.json()["choices"]
    )
    assert "".join(part["text"] for part in parts) == cut
    assert (parts[-1]["finish_reason"], parts[-1]["stop_reason"]) == ("stop", stop)
    kept = await server.complete(max_tokens=20, stop=stop, include_stop_str_in_output=True)
    assert kept.json()["choices"][0]["text"] == cut + stop


async def test_stop_tokens_min_tokens_and_the_end_of_text(start: Start) -> None:
    server = await start()
    ids = (await server.complete(max_tokens=20, return_token_ids=True)).json()["choices"][0]
    fifth = ids["token_ids"][4]
    early = ids["token_ids"].index(fifth)
    choice = (await server.complete(max_tokens=20, stop_token_ids=[fifth])).json()["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", fifth)
    assert choice["text"] == tokenizer.decode(ids["token_ids"][:early])
    body = (await server.complete(max_tokens=2000, return_token_ids=True)).json()
    choice = body["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", None)
    assert choice["token_ids"][-1] == tokenizer.EOS
    assert body["usage"]["completion_tokens"] == len(choice["token_ids"]) < 2000
    ignoring = (await server.complete(max_tokens=2000, ignore_eos=True)).json()
    assert ignoring["usage"]["completion_tokens"] == 2000
    least = (await server.complete(max_tokens=2000, min_tokens=1500)).json()
    assert least["usage"]["completion_tokens"] >= 1500


async def test_logprobs(start: Start) -> None:
    server = await start()
    choice = (await server.complete(logprobs=5)).json()["choices"][0]
    found = choice["logprobs"]
    assert set(found) == {"text_offset", "token_logprobs", "tokens", "top_logprobs"}
    assert "".join(found["tokens"]) == choice["text"]
    for offset, token, value, top in zip(
        found["text_offset"], found["tokens"], found["token_logprobs"], found["top_logprobs"],
        strict=True,
    ):  # fmt: skip
        assert choice["text"][offset:].startswith(token)
        assert len(top) == 5
        assert top[token] == value == max(top.values())
        assert list(top.values()) == sorted(top.values(), reverse=True)
    assert all(v < 0 for v in found["token_logprobs"])
    none = (await server.complete(logprobs=0)).json()["choices"][0]["logprobs"]
    assert [len(top) for top in none["top_logprobs"]] == [1, 1, 1, 1]


async def test_logprobs_of_a_stream_are_those_of_the_whole(start: Start) -> None:
    server = await start()
    whole = (await server.complete(logprobs=3)).json()["choices"][0]["logprobs"]
    streamed: dict[str, list[Any]] = {key: [] for key in whole}
    for event in events(await server.complete(logprobs=3, stream=True)):
        for key, values in event["choices"][0]["logprobs"].items():
            streamed[key] += values
    assert streamed == whole


async def test_allowed_tokens_and_tokens_as_ids(start: Start) -> None:
    server = await start()
    allowed = [tokenizer.encode(f" {letter}")[0] for letter in "ABCD"]
    body = await server.complete(
        allowed_token_ids=allowed, logprobs=20, return_tokens_as_token_ids=True, max_tokens=1
    )
    choice = body.json()["choices"][0]
    (token,) = choice["logprobs"]["tokens"]
    assert int(token.removeprefix("token_id:")) in allowed
    assert choice["text"] in (" A", " B", " C", " D")
    assert len(choice["logprobs"]["top_logprobs"][0]) == 21
    named = await start(token_ids_as_names=True)
    found = (await named.complete(logprobs=1)).json()["choices"][0]["logprobs"]["tokens"]
    assert all(name.startswith("token_id:") for name in found)


async def test_structured_choice(start: Start) -> None:
    server = await start()
    outputs = {"choice": ["yes", "no"]}
    choice = (await server.complete(structured_outputs=outputs)).json()["choices"][0]
    assert choice["text"] in ("yes", "no")
    assert choice["finish_reason"] == "stop"


async def test_echo(start: Start) -> None:
    server = await start()
    prompt = "Hello there"
    text = (await server.complete(prompt)).json()["choices"][0]["text"]
    echoed = (await server.complete(prompt, echo=True)).json()["choices"][0]["text"]
    assert echoed == prompt + text
    alone = (await server.complete(prompt, echo=True, max_tokens=0)).json()["choices"][0]
    assert alone["text"] == prompt
    scored = (await server.complete(prompt, echo=True, logprobs=1, max_tokens=1)).json()
    found = scored["choices"][0]["logprobs"]
    size = tokenizer.count(prompt, bos=True)
    assert found["token_logprobs"][0] is None
    assert len(found["tokens"]) == size + 1
    assert len(scored["choices"][0]["prompt_logprobs"]) == size


@pytest.mark.parametrize(
    ("fields", "kind", "part"),
    [
        ({"prompt": ""}, "Bad Request", "Either prompt or prompt_embeds"),
        ({"prompt": None}, "Bad Request", "Either prompt or prompt_embeds"),
        ({"prompt": []}, "BadRequestError", "You must pass at least one prompt"),
        ({"prompt": [[]]}, "BadRequestError", "prompt cannot be empty"),
        ({"prompt": {"a": 1}}, "Bad Request", "prompt"),
        ({"prompt": [-1]}, "Bad Request", "greater than or equal to 0"),
        ({"prompt": [tokenizer.VOCABULARY]}, "BadRequestError", "out of vocabulary"),
        ({"max_tokens": "many"}, "Bad Request", "valid integer"),
        ({"max_tokens": 0}, "BadRequestError", "max_tokens must be at least 1"),
        ({"max_tokens": 200}, "BadRequestError", "Please request fewer output tokens"),
        ({"prompt": " a" * 98}, "BadRequestError", "maximum context length is 100 tokens"),
        ({"prompt": " a" * 5000}, "BadRequestError", "maximum context length is 100 tokens"),
        ({"prompt": [300] * 100, "max_tokens": None}, "BadRequestError", "at least 1"),
        ({"n": 2}, "BadRequestError", "n must be 1 when using greedy sampling"),
        ({"n": 0}, "BadRequestError", "n must be at least 1"),
        ({"n": 10**6, "temperature": 1}, "BadRequestError", "at most"),
        ({"temperature": -1}, "BadRequestError", "temperature must be non-negative"),
        ({"top_p": 0}, "BadRequestError", "top_p must be in"),
        ({"presence_penalty": 3}, "BadRequestError", "presence_penalty must be in"),
        ({"logprobs": 21}, "BadRequestError", "greater than max allowed: 20"),
        ({"logprobs": -1}, "Bad Request", "`logprobs` must be a positive value"),
        ({"min_tokens": 9}, "BadRequestError", "min_tokens must be less"),
        ({"stop": [""]}, "BadRequestError", "stop cannot contain an empty string"),
        ({"stream_options": {"include_usage": True}}, "Bad Request", "when `stream=True`"),
        ({"allowed_token_ids": []}, "BadRequestError", "not None and empty"),
        ({"allowed_token_ids": [-5]}, "BadRequestError", "out-of-vocab"),
        ({"cache_salt": ""}, "Bad Request", "non-empty string"),
        ({"prompt_logprobs": 1, "stream": True}, "Bad Request", "not available"),
        ({"structured_outputs": {"choice": ["a"], "regex": "a"}}, "Bad Request", "only use one"),
        ({"seed": 2**64}, "Bad Request", "seed"),
    ],
)
async def test_refusals(start: Start, fields: dict[str, Any], kind: str, part: str) -> None:
    server = await start(max_model_len=100)
    found = error(await server.complete(**{"prompt": "Hello", **fields}), 400)
    assert found["type"] == kind
    assert part in found["message"]
    assert (await server.metrics())["vllm:prompt_tokens_total"] == 0


async def test_unknown_model_body_and_fields(start: Start) -> None:
    server = await start()
    found = error(await server.complete(model="other"), 404)
    assert found == {
        "message": "The model `other` does not exist.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    }
    assert (await server.complete(no_such_field=[1], user="x")).status_code == 200
    headers = {"content-type": "application/json"}
    broken = await server.client.post("/v1/completions", content=b"{", headers=headers)
    assert error(broken, 400)["type"] == "Bad Request"
    lists = await server.client.post("/v1/completions", content=b"[1]", headers=headers)
    assert error(lists, 500)["message"] == "'list' object has no attribute 'get'"
    text = await server.client.post("/v1/completions", content=b"{}")
    assert "Unsupported Media Type" in error(text, 400)["message"]


async def test_a_refusal_that_vllm_raises_closes_the_connection(start: Start) -> None:
    server = await start()
    host, port = server.client.base_url.host, server.client.base_url.port
    for fields, closes in (({"n": 2}, True), ({"model": "other"}, False)):
        body = {"model": "m", "prompt": "Hello", "max_tokens": 4, "temperature": 0, **fields}
        content = json.dumps(body).encode()
        reader, writer = await asyncio.open_connection(host, port)
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + content)
        answered = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close" not in answered.lower()
        await reader.readuntil(b"}}")
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            behind = await reader.read(100)
        except ConnectionError:
            behind = b""
        assert (behind == b"") is closes
        writer.close()


async def test_refusals_name_the_field_where_vllm_does(start: Start) -> None:
    server = await start()
    assert error(await server.complete(logprobs=-1), 400)["param"] == "logprobs"
    assert error(await server.complete(logprobs=21), 400)["param"] == "logprobs"
    assert error(await server.complete(temperature=-1), 400)["param"] == "temperature"
    options = {"include_usage": True}
    assert error(await server.complete(stream_options=options), 400)["param"] == "stream_options"
    found = error(await server.complete(max_tokens="x" * 10_000), 400)
    assert found["param"] is None
    assert "('body', 'max_tokens')" in found["message"]
    assert len(found["message"]) < 1000


async def test_deep_and_odd_bodies_do_no_harm(start: Start) -> None:
    server = await start()
    headers = {"content-type": "application/json"}
    for body, kind in (
        (b'{"prompt": "\\ud800"}', "BadRequestError"),
        (b"\xff\xfe", "Bad Request"),
        (b"", "Bad Request"),
    ):
        response = await server.client.post("/v1/completions", content=body, headers=headers)
        assert error(response, 400)["type"] == kind
    for body in (b"[" * 100_000, b'{"prompt":' * 50_000, b'{"a": "\xff"}'):
        response = await server.client.post("/v1/completions", content=body, headers=headers)
        assert response.status_code == 400
        assert response.json() == {"detail": "There was an error parsing the body"}
    odd = "\u0000\u2028 \U0001f600 <|eot_id|> <|begin_of_text|>"
    assert (await server.complete(odd, echo=True)).json()["choices"][0]["text"].startswith(odd)


async def test_stopping_late_in_a_long_answer_is_quick(start: Start) -> None:
    server = await start(max_model_len=200_000)
    fields = {"max_tokens": 100_000, "ignore_eos": True}
    async with asyncio.timeout(10):
        body = (await server.complete(stop=["never there"] * 3, **fields)).json()
    assert body["usage"]["completion_tokens"] == 100_000


async def test_a_prompt_may_be_truncated(start: Start) -> None:
    server = await start(max_model_len=100)
    body = (await server.complete(" a" * 5000, truncate_prompt_tokens=10)).json()
    assert body["usage"]["prompt_tokens"] == 10
