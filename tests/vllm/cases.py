"""The requests that both servers get: every form of answer, and every refusal.

A request is `(name, method, path, body)`; text in a body of the form `ids:TEXT` stands for the ids
that the server's own /tokenize gives to TEXT, without BOS: the two tokenizers differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["NO_TEMPLATE", "REQUESTS", "Request"]

LONG = "word " * 5000

_STREAMED = 24
"""Tokens of a stream: enough that no server puts all of them into one event."""


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        name: What it tries.
        method: Of HTTP.
        path: Where.
        body: JSON, or bytes that are sent as they are.
        headers: Beside the content type.
    """

    name: str
    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def _completion(name: str, **fields: object) -> Request:
    body = {
        "model": "tiny",
        "prompt": "Hello there",
        "max_tokens": 3,
        "temperature": 0,
        "ignore_eos": True,
        **({"max_tokens": _STREAMED} if fields.get("stream") else {}),
        **fields,
    }
    return Request(f"completion: {name}", "POST", "/v1/completions", _given(body))


def _chat(name: str, **fields: object) -> Request:
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hello there"}],
        "max_tokens": 3,
        "temperature": 0,
        "ignore_eos": True,
        **({"max_tokens": _STREAMED} if fields.get("stream") else {}),
        **fields,
    }
    return Request(f"chat: {name}", "POST", "/v1/chat/completions", _given(body))


def _tokenize(name: str, **body: object) -> Request:
    return Request(f"tokenize: {name}", "POST", "/tokenize", _given({"model": "tiny", **body}))


def _given(body: dict[str, object]) -> dict[str, object]:
    """Without the fields that a case takes away by `...`."""
    return {key: value for key, value in body.items() if value is not ...}


def _completions() -> Iterator[Request]:
    usage = {"include_usage": True}
    every = {"include_usage": True, "continuous_usage_stats": True}
    letters = ["ids: A", "ids: B", "ids: C", "ids: D"]
    yield _completion("plain")
    yield _completion("without a model", model=...)
    yield _completion("stream", stream=True)
    yield _completion("stream with usage", stream=True, stream_options=usage)
    yield _completion("stream with usage in every event", stream=True, stream_options=every)
    yield _completion("logprobs 0", logprobs=0)
    yield _completion("logprobs 5", logprobs=5)
    yield _completion("logprobs 5, stream", logprobs=5, stream=True)
    yield _completion(
        "letters",
        allowed_token_ids=letters,
        logprobs=20,
        max_tokens=1,
        return_tokens_as_token_ids=True,
    )
    yield _completion("tokens as ids", logprobs=2, return_tokens_as_token_ids=True)
    yield _completion(
        "tokens as ids, stream", logprobs=2, return_tokens_as_token_ids=True, stream=True
    )
    yield _completion("prompt_logprobs 0", prompt_logprobs=0)
    yield _completion("prompt_logprobs 2", prompt_logprobs=2)
    yield _completion("prompt_logprobs of ids", prompt="ids:Hello there", prompt_logprobs=1)
    yield _completion("echo", echo=True)
    yield _completion("echo, stream", echo=True, stream=True)
    yield _completion("echo with logprobs", echo=True, logprobs=1)
    yield _completion("echo with logprobs, stream", echo=True, logprobs=1, stream=True)
    yield _completion("echo alone", echo=True, max_tokens=0)
    yield _completion("echo alone with logprobs", echo=True, max_tokens=0, logprobs=1)
    yield _completion("echo of ids", prompt="ids:Hello there", echo=True, logprobs=1, max_tokens=1)
    yield _completion("n 2", n=2, temperature=1)
    yield _completion("n 2, stream", n=2, temperature=1, stream=True)
    yield _completion("n 2 with logprobs", n=2, temperature=1, logprobs=1)
    yield _completion("stop", stop=["zzzz"])
    yield _completion("stop as text", stop="zzzz")
    yield _completion("choice", structured_outputs={"choice": [" A", " B"]}, ignore_eos=False)
    yield _completion(
        "choice with logprobs",
        structured_outputs={"choice": [" A", " B"]},
        logprobs=20,
        max_tokens=1,
        ignore_eos=False,
    )
    yield _completion("token ids", return_token_ids=True)
    yield _completion("token ids, stream", return_token_ids=True, stream=True)
    yield _completion("two prompts", prompt=["Hello", "there"])
    yield _completion("two prompts, stream", prompt=["Hello", "there"], stream=True)
    yield _completion(
        "two prompts with token ids", prompt=["Hello", "there"], return_token_ids=True, logprobs=1
    )
    yield _completion("ids", prompt="ids:Hello there")
    yield _completion("two prompts of ids", prompt=["ids:Hello", "ids:there"])
    yield _completion("no special tokens", add_special_tokens=False)
    yield _completion("truncated", truncate_prompt_tokens=2)
    yield _completion("its own id", request_id="mine")
    yield _completion("cache_salt", cache_salt="a")
    yield _completion("an unknown field", unheard_of=True)
    yield _completion("logit_bias", logit_bias={"300": 1.0})
    yield _completion("sampling", temperature=0.8, top_p=0.9, top_k=10, min_p=0.1, seed=1)
    yield _completion(
        "penalties", presence_penalty=0.5, frequency_penalty=0.5, repetition_penalty=1.1
    )
    yield _completion("min_tokens", min_tokens=2, ignore_eos=False)
    yield _completion("nothing but a prompt", model=..., temperature=..., ignore_eos=True)
    yield _completion("beam search", use_beam_search=True, n=2)
    yield _completion("top_k 0", top_k=0)
    yield _completion("top_k -1", top_k=-1)


def _refused_completions() -> Iterator[Request]:
    yield _completion("unknown model", model="another")
    yield _completion("unknown model, stream", model="another", stream=True)
    yield _completion("no prompt", prompt=...)
    yield _completion("empty prompt", prompt="")
    yield _completion("no prompts", prompt=[])
    yield _completion("an empty prompt of two", prompt=["", "Hello"])
    yield _completion("no ids", prompt=[[]])
    yield _completion("a number for a prompt", prompt=7)
    yield _completion("too long", prompt=LONG)
    yield _completion("too long, stream", prompt=LONG, stream=True)
    yield _completion("more tokens than fit", max_tokens=4096)
    yield _completion("more tokens than the model has", max_tokens=5000)
    yield _completion("max_tokens 0", max_tokens=0)
    yield _completion("max_tokens -1", max_tokens=-1)
    yield _completion("max_tokens as text", max_tokens="many")
    yield _completion("logprobs 21", logprobs=21)
    yield _completion("logprobs 21, stream", logprobs=21, stream=True)
    yield _completion("logprobs -1", logprobs=-1)
    yield _completion("prompt_logprobs 21", prompt_logprobs=21)
    yield _completion("prompt_logprobs -2", prompt_logprobs=-2)
    yield _completion("prompt_logprobs in a stream", prompt_logprobs=1, stream=True)
    yield _completion("n 0", n=0)
    yield _completion("n 2 without a temperature", n=2)
    yield _completion("temperature -1", temperature=-1)
    yield _completion("temperature as text", temperature="hot")
    yield _completion("top_p 0", temperature=1, top_p=0)
    yield _completion("top_p 2", temperature=1, top_p=2)
    yield _completion("top_k -2", temperature=1, top_k=-2)
    yield _completion("min_p 2", temperature=1, min_p=2)
    yield _completion("presence_penalty 3", presence_penalty=3)
    yield _completion("frequency_penalty -3", frequency_penalty=-3)
    yield _completion("repetition_penalty 0", repetition_penalty=0)
    yield _completion("an empty stop", stop=[""])
    yield _completion("min_tokens above max_tokens", min_tokens=9)
    yield _completion("min_tokens -1", min_tokens=-1)
    yield _completion("stream_options without a stream", stream_options={"include_usage": True})
    yield _completion("no allowed ids", allowed_token_ids=[])
    yield _completion("allowed ids out of the vocabulary", allowed_token_ids=[2**31 - 1])
    yield _completion("ids out of the vocabulary", prompt=[2**31 - 1])
    yield _completion("negative ids", prompt=[-1])
    yield _completion("an empty cache_salt", cache_salt="")
    yield _completion("a number for cache_salt", cache_salt=7)
    yield _completion("suffix", suffix="behind")
    yield _completion("seed out of range", seed=2**70)
    yield _completion(
        "two constraints", structured_outputs={"choice": ["a"], "regex": "a"}, ignore_eos=False
    )
    yield _completion("no constraint", structured_outputs={}, ignore_eos=False)
    yield _completion("truncated to more than fits", truncate_prompt_tokens=5000)
    yield _completion("an unknown response format", response_format={"type": "verse"})
    path = "/v1/completions"
    yield Request("completion: no JSON", "POST", path, b'{"model":')
    yield Request("completion: an empty body", "POST", path, b"")
    yield Request("completion: a list", "POST", path, [])
    yield Request("completion: a text", "POST", path, "text")
    yield Request("completion: deep", "POST", path, b"[" * 100_000)
    yield _completion("a lone surrogate", prompt="\ud800")
    yield Request("completion: not UTF-8", "POST", path, b'{"model": "\xff"}')
    yield Request(
        "completion: another content type", "POST", path, b"{}", {"content-type": "text/plain"}
    )
    yield Request("completion: GET", "GET", path)
    yield Request("completion: DELETE", "DELETE", path)


def _chats() -> Iterator[Request]:
    usage = {"include_usage": True}
    parts = [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]
    yield _chat("plain")
    yield _chat("stream", stream=True)
    yield _chat("stream with usage", stream=True, stream_options=usage)
    yield _chat(
        "stream with usage in every event",
        stream=True,
        stream_options={**usage, "continuous_usage_stats": True},
    )
    yield _chat("logprobs", logprobs=True)
    yield _chat("top_logprobs 2", logprobs=True, top_logprobs=2)
    yield _chat("top_logprobs 2, stream", logprobs=True, top_logprobs=2, stream=True)
    yield _chat("tokens as ids", logprobs=True, top_logprobs=2, return_tokens_as_token_ids=True)
    yield _chat("token ids", return_token_ids=True)
    yield _chat("token ids, stream", return_token_ids=True, stream=True)
    yield _chat("prompt_logprobs", prompt_logprobs=1)
    yield _chat("n 2", n=2, temperature=1)
    yield _chat("n 2, stream", n=2, temperature=1, stream=True)
    yield _chat("stop", stop=["zzzz"])
    yield _chat("max_completion_tokens", max_tokens=..., max_completion_tokens=3)
    yield _chat("content in parts", messages=[{"role": "user", "content": parts}])
    yield _chat(
        "a system's message",
        messages=[{"role": "system", "content": "Be short"}, {"role": "user", "content": "Hi"}],
    )
    yield _chat(
        "an assistant's last message",
        messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The"}],
        continue_final_message=True,
        add_generation_prompt=False,
    )
    yield _chat("echo", echo=True)
    yield _chat("no generation prompt", add_generation_prompt=False)
    yield _chat("choice", structured_outputs={"choice": ["A", "B"]}, ignore_eos=False)
    yield _chat("allowed ids", allowed_token_ids=["ids:A", "ids:B"])
    yield _chat("an unknown field", unheard_of=True)
    yield _chat("its own id", request_id="mine")
    yield _chat("another role", messages=[{"role": "critic", "content": "Hi"}])


def _refused_chats() -> Iterator[Request]:
    yield _chat("unknown model", model="another")
    yield _chat("no messages", messages=...)
    yield _chat("an empty list of messages", messages=[])
    yield _chat("a number for messages", messages=7)
    yield _chat("a message without a role", messages=[{"content": "Hi"}])
    yield _chat("a number for content", messages=[{"role": "user", "content": 7}])
    yield _chat("too long", messages=[{"role": "user", "content": LONG}])
    yield _chat("more tokens than fit", max_tokens=4096)
    yield _chat("max_tokens 0", max_tokens=0)
    yield _chat("top_logprobs 21", logprobs=True, top_logprobs=21)
    yield _chat("top_logprobs without logprobs", top_logprobs=2)
    yield _chat("top_logprobs -2", logprobs=True, top_logprobs=-2)
    yield _chat("n 2 without a temperature", n=2)
    yield _chat("temperature -1", temperature=-1)
    yield _chat("stream_options without a stream", stream_options={"include_usage": True})
    yield _chat("prompt_logprobs in a stream", prompt_logprobs=1, stream=True)
    yield _chat("continued and opened", continue_final_message=True, add_generation_prompt=True)
    yield _chat("a template of its own", chat_template="{{ messages }}")
    path = "/v1/chat/completions"
    yield Request("chat: no JSON", "POST", path, b"{")
    yield Request("chat: GET", "GET", path)


def _tokens() -> Iterator[Request]:
    messages = [{"role": "user", "content": "Hello there"}]
    yield _tokenize("a prompt", prompt="Hello there")
    yield _tokenize("without a model", prompt="Hello there", model=...)
    yield _tokenize("no special tokens", prompt="Hello there", add_special_tokens=False)
    yield _tokenize("token texts", prompt="Hello there", return_token_strs=True)
    yield _tokenize("messages", messages=messages)
    yield _tokenize("no generation prompt", messages=messages, add_generation_prompt=False)
    yield _tokenize("an empty prompt", prompt="")
    yield _tokenize("unknown model", prompt="Hello", model="another")
    yield _tokenize("nothing", prompt=...)
    yield _tokenize("a prompt too long", prompt=LONG)
    yield Request("tokenize: GET", "GET", "/tokenize")
    path = "/detokenize"
    yield Request("detokenize", "POST", path, {"model": "tiny", "tokens": "ids:Hello"})
    yield Request("detokenize: unknown model", "POST", path, {"model": "another", "tokens": [65]})
    yield Request("detokenize: no tokens", "POST", path, {"model": "tiny"})
    yield Request("detokenize: text", "POST", path, {"model": "tiny", "tokens": "Hello"})


def _others() -> Iterator[Request]:
    for path in ("/v1/models", "/version", "/health", "/ping", "/load"):
        yield Request(f"GET {path}", "GET", path)
    yield Request("POST /ping", "POST", "/ping")
    for path in ("/", "/v1", "/v1/nothing", "/v1/models/tiny", "/v1/completions/"):
        yield Request(f"no route: {path}", "GET", path)
    yield Request("no route: POST", "POST", "/v1/nothing", {})
    yield Request("wrong method: POST /health", "POST", "/health", {})
    yield Request("wrong method: POST /v1/models", "POST", "/v1/models", {})
    yield Request("wrong method: PUT /version", "PUT", "/version", {})


REQUESTS = [
    *_completions(),
    *_refused_completions(),
    *_chats(),
    *_refused_chats(),
    *_tokens(),
    *_others(),
]
"""For servers of a model with a chat template."""

NO_TEMPLATE = [
    _chat("no template"),
    _chat("no template, stream", stream=True),
    _tokenize("messages without a template", messages=[{"role": "user", "content": "Hi"}]),
    _completion("plain"),
]
"""For servers of a model without one."""
