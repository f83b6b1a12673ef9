"""What an answer must look like (vLLM 0.18.0), for /v1/completions and /v1/chat/completions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from ascendllm.checks.endpoint import Endpoint, error_detail, json_object, refusal, served_model
from ascendllm.checks.smoke.findings import WrongError
from ascendllm.checks.smoke.findings import shown as _shown
from ascendllm.checks.smoke.http import Answer
from ascendllm.exceptions import CheckError

__all__ = ["Generation", "Kind", "generation", "request", "streamed", "text_of", "usage_of"]

Kind = Literal["base", "instruct"]
MAX_TOKENS = 32
PROMPT = "The capital of France is"


@dataclass(frozen=True, slots=True)
class Generation:
    """What was generated, whole or streamed."""

    text: str
    finish_reason: str
    usage: Mapping[str, object] | None
    chunks: int = 1


def request(kind: Kind, model: str) -> tuple[str, dict[str, object]]:
    """The path and the request of one short greedy answer of a known length."""
    common: dict[str, object] = {
        "model": model,
        "max_tokens": MAX_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
    }
    if kind == "base":
        return "/v1/completions", common | {"prompt": PROMPT}
    messages = [{"role": "user", "content": f"Complete the sentence: {PROMPT}"}]
    return "/v1/chat/completions", common | {"messages": messages}


def generation(answer: Answer, kind: Kind, endpoint: Endpoint) -> Generation:
    """Read an answer that is not streamed.

    Raises:
        WrongError: Another status or shape.
        CheckError: `BadAnswer`, `WrongModel` or `WrongServer`: nothing to judge the model by.
    """
    _expect_ok(answer, endpoint)
    body = json_object(answer.body, answer.what)
    served_model(body, endpoint, answer.what)
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise WrongError("one choice", _shown(choices))
    usage = body.get("usage")
    return _sound(
        Generation(
            text_of(choices[0], "message", kind),
            str(choices[0].get("finish_reason")),
            usage if isinstance(usage, dict) else None,
        )
    )


def streamed(
    events: Answer | Sequence[bytes], what: str, kind: Kind, endpoint: Endpoint
) -> Generation:
    """Read a streamed answer: two or more chunks with text, one with usage, `[DONE]`.

    Raises:
        WrongError: Another status or shape.
        CheckError: `ErrorInStream`, `StreamCut`, `BadAnswer`, `WrongModel`, `WrongServer`.
    """
    if isinstance(events, Answer):
        _expect_ok(events, endpoint)
        raise WrongError("HTTP 200", f"HTTP {events.status}")
    chunks = [_chunk(data, what) for data in events if data != b"[DONE]"]
    pieces: list[str] = []
    finish_reason, usage, with_choices = "None", None, 0
    for chunk in chunks:
        choices = chunk.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            served_model(chunk, endpoint, what)
            with_choices += 1
            pieces.append(text_of(choices[0], "delta", kind))
            finish_reason = str(choices[0].get("finish_reason") or finish_reason)
        if isinstance(chunk.get("usage"), dict):
            usage = cast("dict[str, object]", chunk["usage"])
    if not chunks or (finish_reason == "None" and (not events or events[-1] != b"[DONE]")):
        raise CheckError("StreamCut", f"{what}: broke off after {with_choices} chunks with choices")
    if events[-1] != b"[DONE]":
        raise WrongError("data: [DONE] at the end", _shown(events[-1].decode("utf-8", "replace")))
    if with_choices < 2:
        raise WrongError("two or more chunks with choices", f"{with_choices}")
    if usage is None:
        raise WrongError("a chunk with usage (stream_options.include_usage)", "none")
    return _sound(Generation("".join(pieces), finish_reason, usage, with_choices))


def usage_of(generation: Generation, prompt_tokens: int | None) -> str:
    """Hold the token counts against each other, and say what they are.

    Args:
        generation: Whose usage is looked at.
        prompt_tokens: The prompt's length by /tokenize; None where the server has none.

    Raises:
        WrongError: They don't add up.
    """
    usage = generation.usage or {}
    counts = [usage.get(f"{name}_tokens") for name in ("prompt", "completion", "total")]
    if not all(type(count) is int for count in counts):
        raise WrongError("usage with prompt_tokens, completion_tokens, total_tokens", _shown(usage))
    prompt, completion, total = cast("list[int]", counts)
    seen = f"{prompt} + {completion} = {total}"
    if completion != MAX_TOKENS or prompt < 1 or total != prompt + completion:
        raise WrongError(f"the prompt's tokens + {MAX_TOKENS} = their sum", seen)
    if prompt_tokens is not None and prompt != prompt_tokens:
        raise WrongError(f"{prompt_tokens} prompt tokens, as /tokenize counts", seen)
    return seen


def _expect_ok(answer: Answer, endpoint: Endpoint) -> None:
    if answer.status == 404:
        raise refusal(answer.what, answer.status, answer.body, endpoint)
    if answer.status != 200:
        raise WrongError("HTTP 200", f"HTTP {answer.status}: {error_detail(answer.body)}")


def _chunk(data: bytes, what: str) -> dict[str, object]:
    chunk = json_object(data, what)
    if "error" in chunk:
        raise CheckError(
            "ErrorInStream", f"{what}: the stream ended in {json.dumps(chunk['error'])[:300]}"
        )
    return chunk


def text_of(choice: Mapping[str, object], holder: str, kind: Kind) -> str:
    """The text of a choice; a reasoning model's thoughts count as text."""
    if kind == "base":
        text = choice.get("text")
        return text if isinstance(text, str) else ""
    message = choice.get(holder)
    parts = message if isinstance(message, dict) else {}
    found = (parts.get(key) for key in ("reasoning_content", "reasoning", "content"))
    return "".join(part for part in found if isinstance(part, str))


def _sound(generation: Generation) -> Generation:
    if not generation.text:
        raise WrongError("some text", "none")
    if generation.finish_reason != "length":
        raise WrongError("finish_reason length", f"finish_reason {generation.finish_reason}")
    return generation
