"""`POST /v1/completions`.

Source of the response format: vllm 0.18.0, `entrypoints/openai/completion/{protocol,serving}.py`.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ascendllm_simulator import logprobs, tokenizer
from ascendllm_simulator.errors import ApiError
from ascendllm_simulator.errors import answer as answered
from ascendllm_simulator.generation import Prompt
from ascendllm_simulator.logprobs import Step
from ascendllm_simulator.protocol import CompletionRequest, check_sampling, parse
from ascendllm_simulator.serving import (
    Call,
    Service,
    begin,
    check_beam,
    check_length,
    inject_failure,
    limit,
    plan_all,
    read_body,
    run_all,
    usage,
)
from ascendllm_simulator.streaming import chunk_usage, refuse_in_stream, stream

__all__ = ["create_completion"]


async def create_completion(service: Service, http: web.Request) -> web.StreamResponse:
    """Answer one request.

    Raises:
        ApiError: The request is invalid, or the configured failure applies to it.
    """
    request = parse(CompletionRequest, await read_body(http))
    call = begin(service, http, request, "cmpl")
    if request.suffix:
        raise ApiError("suffix is not currently supported", closes=False)
    if request.stream and request.use_beam_search:
        text = "Streaming is not currently supported with beam search"
        raise ApiError(text, closes=False)
    inject_failure(call)
    call.prompts = _prompts(service, request)
    limits = []
    for prompt in call.prompts:
        check_length(
            service.config, prompt.ids, request.max_tokens or 0, from_text=_is_text(request)
        )
        most = limit(service.config, prompt, request.max_tokens)
        most = 1 if request.echo and most == 0 else most
        check_sampling(request, most)
        limits.append(most)
    try:
        _check_logprobs(service, request)
        plan_all(call, limits)
    except ApiError as error:
        # vLLM's engine rejects these after a stream has started.
        if request.stream:
            return await refuse_in_stream(http, error)
        raise
    answer = _Answer(call, request)
    if request.stream:
        return await stream(call, http, answer.chunk, [], answer.closing)
    await run_all(call)
    return answered(answer.whole())


def _prompts(service: Service, request: CompletionRequest) -> list[Prompt]:
    given = request.prompt
    if not given:
        raise ApiError("You must pass at least one prompt")
    several: list[Any] = (
        [given] if isinstance(given, str) or isinstance(given[0], int) else list(given)
    )
    prompts = []
    for item in several:
        if isinstance(item, str):
            ids = tokenizer.encode(item, bos=request.add_special_tokens)
            text = item
        else:
            ids = item
            text = tokenizer.decode(item, skip_special=True)
        most = service.config.max_model_len - (request.max_tokens or 0)
        kept = _truncated(ids, request.truncate_prompt_tokens, most)
        prompts.append(Prompt(kept, text))
    return prompts


def _is_text(request: CompletionRequest) -> bool:
    given = request.prompt
    return isinstance(given, str) or (isinstance(given, list) and isinstance(given[0], str))


def _truncated(ids: list[int], asked: int | None, most: int) -> list[int]:
    if asked is None:
        return ids
    if asked > most:
        raise ApiError(
            f"truncate_prompt_tokens={asked} cannot be greater than max_model_len - max_tokens = "
            f"{most}. Please request a smaller truncation size.",
            param="truncate_prompt_tokens",
            value=asked,
        )
    keep = most if asked == -1 else asked
    return ids[-keep:] if keep else []


def _check_logprobs(service: Service, request: CompletionRequest) -> None:
    most = service.config.max_logprobs
    if most == -1:
        return
    check_beam(service.config, request)
    if request.logprobs is not None and request.logprobs > most:
        raise ApiError(
            f"Requested sample logprobs of {request.logprobs}, which is greater than max allowed: "
            f"{most}",
            param="logprobs",
            value=request.logprobs,
        )
    if request.prompt_logprobs is not None and request.prompt_logprobs > most:
        raise ApiError(
            f"Requested prompt logprobs of {request.prompt_logprobs}, which is greater than max "
            f"allowed: {most}",
            param="prompt_logprobs",
            value=request.prompt_logprobs,
        )


class _Answer:
    """Builds the JSON of the response."""

    def __init__(self, call: Call, request: CompletionRequest) -> None:
        self._call = call
        self._request = request
        self._done = [0] * len(call.sequences)
        wants = request.logprobs is not None and call.fails("noLogprobs") is None
        self._number = request.logprobs if wants else None
        self._prompt_steps: dict[int, list[Step | None]] = {}

    def chunk(self, index: int, start: int, stop: int, finished: bool) -> dict[str, object]:
        """One event of a stream."""
        choice = self._choice(index, start, stop, finished, whole=False)
        event = self._head([choice], "text_completion")
        event["usage"] = None
        self._done[index] = stop
        if self._call.stream_usage[1]:
            event["usage"] = usage(self._call, stop)
        return event

    def closing(self) -> dict[str, object]:
        """The stream event that contains the usage."""
        event = self._head([], "text_completion")
        event["usage"] = chunk_usage(self._call, sum(self._done))
        return event

    def whole(self) -> dict[str, object]:
        """The response to a request that does not stream."""
        call = self._call
        done = [sequence.counted for sequence in call.sequences]
        choices = [self._choice(i, 0, stop, True, whole=True) for i, stop in enumerate(done)]
        body = self._head(choices, "text_completion")
        body |= {"service_tier": None, "system_fingerprint": None}
        if call.fails("noUsage") is None:
            body["usage"] = usage(call, sum(done))
        body["kv_transfer_params"] = None
        return body

    def _head(self, choices: list[dict[str, object]], kind: str) -> dict[str, object]:
        call = self._call
        return {
            "id": call.id,
            "object": kind,
            "created": call.created,
            "model": call.model,
            "choices": choices,
        }

    def _choice(
        self, index: int, start: int, stop: int, finished: bool, *, whole: bool
    ) -> dict[str, object]:
        sequence = self._call.sequences[index]
        plan, prompt, request = sequence.plan, sequence.prompt, self._request
        text = plan.text[plan.ends[start - 1] if start else 0 : plan.ends[stop - 1] if stop else 0]
        tokens = plan.ids[start:stop]
        echoed = bool(request.echo) and start == 0
        offset = plan.ends[start - 1] if start else 0
        if echoed:
            alone = request.max_tokens == 0
            text = prompt.text if alone else prompt.text + text
            tokens = [] if alone else tokens
        found = None
        if self._number is not None:
            steps = list(logprobs.steps(plan, start, start + len(tokens), self._number))
            before = self._of_prompt(index, self._number) if echoed else []
            names = [*prompt.ids, *tokens] if echoed else tokens
            if self._call.fails("badLogprobs"):
                steps = [dict.fromkeys(step, logprobs.CLAMPED) for step in steps]
            found = logprobs.completion_form(
                names, [*before, *steps], self._number, offset, self._call.names_as_ids
            )
        choice: dict[str, object] = {
            "index": index,
            "text": text,
            "logprobs": found,
            "finish_reason": sequence.finish_reason if finished else None,
            "stop_reason": plan.stop_reason
            if finished and sequence.finish_reason == "stop"
            else None,
            "token_ids": plan.ids[start:stop] if request.return_token_ids else None,
        }
        # A stream with `echo` starts with them, whether or not they are requested.
        show_ids = (request.return_token_ids and (whole or start == 0)) or (echoed and not whole)
        choice["prompt_token_ids"] = prompt.ids if show_ids else None
        if whole:
            wanted = request.prompt_logprobs
            if wanted is None and request.echo:
                wanted = request.logprobs
            if self._call.fails("noPromptLogprobs") is not None:
                wanted = None
            choice["prompt_logprobs"] = (
                logprobs.prompt_form(self._of_prompt(index, wanted)) if wanted is not None else None
            )
        return choice

    def _of_prompt(self, index: int, number: int) -> list[Step | None]:
        if index not in self._prompt_steps:
            prompt = self._call.sequences[index].prompt
            answerer = self._call.service.answerer
            self._prompt_steps[index] = logprobs.prompt_steps(prompt, answerer, abs(number))
        return self._prompt_steps[index]
