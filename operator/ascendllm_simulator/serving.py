"""Turns a validated request into sequences on the engine, for completions and chat completions."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from aiohttp import web

from ascendllm_simulator import engine as engines
from ascendllm_simulator import tokenizer
from ascendllm_simulator.behaviour import Failure
from ascendllm_simulator.config import ServerConfig
from ascendllm_simulator.engine import Engine, EngineDeadError
from ascendllm_simulator.errors import ApiError, encode_json, malformed, not_found, server_error
from ascendllm_simulator.fault_injector import FaultInjector
from ascendllm_simulator.generation import Prompt, write
from ascendllm_simulator.mmlu import MmluAnswerer
from ascendllm_simulator.protocol import SamplingRequest

__all__ = [
    "Call",
    "Progress",
    "Service",
    "begin",
    "check_beam",
    "check_length",
    "inject_failure",
    "limit",
    "open_stream",
    "plan_all",
    "progress",
    "random_id",
    "read_body",
    "run_all",
    "send",
    "usage",
]

_MOST_SEQUENCES = 4096
_MOST_TOKENS = 1_048_576


@dataclass
class Service:
    """The objects that every handler uses."""

    config: ServerConfig
    engine: Engine
    answerer: MmluAnswerer
    fault_injector: FaultInjector
    on_death: asyncio.Event = field(default_factory=asyncio.Event)
    created: int = field(default_factory=lambda: int(time.time()))


@dataclass
class Call:
    """The processing of one request.

    Args:
        service: The server.
        request: The parsed body.
        failure: The failure that applies to this request, None if none does.
        id: The id of the response.
        prompts: One or more prompts.
        sequences: `n` for each prompt, in order.
        created: UNIX seconds.
    """

    service: Service
    request: SamplingRequest
    failure: Failure | None
    id: str
    prompts: list[Prompt] = field(default_factory=list)
    sequences: list[engines.Sequence] = field(default_factory=list)
    created: int = field(default_factory=lambda: int(time.time()))

    def fails(self, mode: str) -> Failure | None:
        """The failure if it has this mode and applies to this request, otherwise None."""
        return self.failure if self.failure is not None and self.failure.mode == mode else None

    @property
    def model(self) -> str:
        """The model name in the response."""
        wrong = self.fails("wrongModel")
        if wrong is not None and wrong.get("where") in ("answers", "both"):
            return str(wrong.get("name"))
        asked = self.request.model or ""
        return asked if asked in self.service.config.adapters else self.service.config.names[0]

    @property
    def names_as_ids(self) -> bool:
        """Whether logprobs identify tokens by id."""
        asked = self.request.return_tokens_as_token_ids
        return self.service.config.token_ids_as_names if asked is None else asked

    @property
    def stream_usage(self) -> tuple[bool, bool]:
        """Whether a stream ends with the usage, and whether every chunk contains it."""
        options = self.request.stream_options
        asked = bool(options and options.include_usage)
        include = asked or self.service.config.force_usage
        every = bool(include and options and options.continuous_usage_stats)
        return (include, every) if self.fails("noUsage") is None else (False, False)


@dataclass(frozen=True, slots=True)
class Progress:
    """New tokens of one sequence, `start` to `stop`; the last ones if it is finished."""

    index: int
    start: int
    stop: int
    finished: bool


def random_id() -> str:
    """16 hex digits (vllm 0.18.0, `utils/__init__.py`, random_uuid)."""
    return uuid.uuid4().hex[:16]


async def read_body(request: web.Request) -> bytes:
    """The body of a JSON request.

    Raises:
        ApiError: The content type is not JSON; status 400.
    """
    kind = request.content_type
    if kind != "application/json" and not kind.endswith("+json"):
        text = "Unsupported Media Type: Only 'application/json' is allowed"
        raise malformed(f'1 validation error:\n  {text} ["{text}"]')
    return await request.read()


def begin(service: Service, http: web.Request, request: SamplingRequest, prefix: str) -> Call:
    """Check the model and the engine, and determine which failure applies to the request.

    Raises:
        ApiError: The model is unknown, or the engine is dead.
    """
    check_model(service, request.model)
    if service.engine.dead:
        raise server_error(str(EngineDeadError()))
    number = http.headers.get("X-Request-Id") or request.request_id or random_id()
    return Call(service, request, service.fault_injector.next(), f"{prefix}-{number}")


def check_model(service: Service, model: str | None) -> None:
    """Reject a model that is not served; a request without a model means the served one.

    Raises:
        ApiError: Status 404.
    """
    if model and model not in service.config.names and model not in service.config.adapters:
        raise not_found(model)


def inject_failure(call: Call) -> None:
    """Raise the error of a failure mode that applies before anything is sent.

    Raises:
        ApiError: Status 429 or 500.
    """
    mode = call.failure.mode if call.failure is not None else None
    if mode in ("http500", "failEvery"):
        raise server_error("Internal server error")
    if mode == "rateLimit":
        raise ApiError("Too many requests.", status=429, kind="RateLimitError")
    if mode in ("falseReady", "dieAfter"):
        call.service.engine.die()
        call.service.on_death.set()
        raise server_error(str(EngineDeadError()))


def limit(config: ServerConfig, prompt: Prompt, asked: int | None) -> int:
    """The maximum number of tokens of an answer."""
    room = config.max_model_len - len(prompt.ids)
    return room if asked is None else min(room, asked)


def check_length(
    config: ServerConfig, ids: Sequence[int], asked: int, *, from_text: bool = True
) -> None:
    """Reject a prompt that is too long for the requested output.

    Source of the texts: vllm 0.18.0, `renderers/params.py`, `v1/engine/input_processor.py`.

    Args:
        config: Contains the context length.
        ids: The prompt.
        asked: The number of requested output tokens.
        from_text: Whether the prompt was sent as text. vLLM rejects a text that has too many
            characters before it tokenizes it, and tokenizes no more than it needs to reject it.

    Raises:
        ApiError: Status 400.
    """
    size, most = len(ids), config.max_model_len
    if size == 0:
        raise ApiError("The decoder prompt cannot be empty")
    if asked > most:
        raise ApiError(
            f"max_tokens={asked}cannot be greater than max_model_len=max_total_tokens={most}. "
            "Please request fewer output tokens.",
            param="max_tokens",
            value=asked,
        )
    if from_text and size + asked > most:
        characters = len(tokenizer.decode(ids))
        bound = (most - asked) * tokenizer.LONGEST
        if characters > bound:
            raise ApiError(
                f"This model's maximum context length is {most} tokens. However, you requested "
                f"{asked} output tokens and your prompt contains {characters} characters (more "
                f"than {bound} characters, which is the upper bound for {most - asked} input "
                "tokens). Please reduce the length of the input prompt or the number of requested "
                "output tokens.",
                param="input_text",
                value=characters,
            )
        size = most - asked + 1
    if size + asked > most:
        least = "at least " if size == most - asked + 1 else ""
        raise ApiError(
            f"This model's maximum context length is {most} tokens. However, you requested "
            f"{asked} output tokens and your prompt contains {least}{size} input tokens, for a "
            f"total of {least}{size + asked} tokens. Please reduce the length of the input prompt "
            "or the number of requested output tokens.",
            param="input_tokens",
            value=size,
        )
    highest = max(ids)
    if highest >= tokenizer.VOCABULARY:
        raise ApiError(f"Token id {highest} is out of vocabulary")


def check_beam(config: ServerConfig, request: SamplingRequest) -> None:
    """Reject more beams than `max_logprobs` allows, at two each (`engine/serving.py`).

    Raises:
        ApiError: Status 400.
    """
    wanted = 2 * (request.n or 1)
    if request.use_beam_search and -1 != config.max_logprobs < wanted:
        raise ApiError(
            f"Requested sample logprobs of {wanted}, which is greater than max allowed: "
            f"{config.max_logprobs}",
            param="logprobs",
            value=wanted,
        )


def plan_all(call: Call, max_tokens: Sequence[int]) -> None:
    """Plan every answer: `n` for each prompt.

    Raises:
        ApiError: The request exceeds the simulator's limits; status 400.
    """
    n = call.request.n or 1
    if n * len(call.prompts) > _MOST_SEQUENCES or n * sum(max_tokens) > _MOST_TOKENS:
        raise ApiError(
            f"one request may ask for {_MOST_SEQUENCES} answers and {_MOST_TOKENS} tokens at most"
        )
    allowed = call.request.allowed_token_ids
    if allowed and not all(0 <= token < tokenizer.VOCABULARY for token in allowed):
        raise ApiError(
            "allowed_token_ids contains out-of-vocab token id!",
            param="allowed_token_ids",
            value=[token for token in allowed if not 0 <= token < tokenizer.VOCABULARY],
        )
    behaviour = call.service.config.behaviour
    slow = call.fails("slow")
    factor = slow.get("factor") if slow is not None else 1.0
    ttft, itl = behaviour.ttft_ms / 1000 * factor, behaviour.itl_ms / 1000 * factor
    hangs = call.fails("hang") is not None
    answerer = None if call.fails("noLetter") else call.service.answerer
    for prompt, most in zip(call.prompts, max_tokens, strict=True):
        for index in range(n):
            plan = write(prompt, call.request, answerer, most, index)
            call.sequences.append(engines.Sequence(prompt, plan, ttft, itl, hangs=hangs))


async def _run(call: Call, index: int, *, stream: bool) -> AsyncGenerator[Progress, None]:
    """Run one sequence and yield its progress."""
    sequence = call.sequences[index]
    request = call.request
    cache = request.prompt_logprobs is None
    start = 0
    running = call.service.engine.run(sequence, salt=request.cache_salt, cache=cache, stream=stream)
    async with aclosing(running) as ticks:
        async for stop in ticks:
            yield Progress(index, start, stop, sequence.finish_reason is not None)
            start = stop


async def _to_end(call: Call, index: int) -> None:
    async with aclosing(_run(call, index, stream=False)) as ticks:
        async for _ in ticks:
            pass


async def run_all(call: Call) -> None:
    """Run every sequence to its end.

    Raises:
        ApiError: The engine died; status 500.
    """
    try:
        if len(call.sequences) == 1:
            await _to_end(call, 0)
            return
        async with asyncio.TaskGroup() as group:
            for index in range(len(call.sequences)):
                group.create_task(_to_end(call, index))
    except* EngineDeadError as errors:
        raise server_error(str(errors.exceptions[0])) from errors


async def progress(call: Call) -> AsyncGenerator[Progress, None]:
    """Run all sequences and yield their progress as it happens.

    Raises:
        EngineDeadError: The engine died.
    """
    if len(call.sequences) == 1:
        async with aclosing(_run(call, 0, stream=True)) as ticks:
            async for tick in ticks:
                yield tick
        return
    queue: asyncio.Queue[Progress | Exception] = asyncio.Queue()

    async def feed(index: int) -> None:
        try:
            async with aclosing(_run(call, index, stream=True)) as ticks:
                async for item in ticks:
                    queue.put_nowait(item)
        except EngineDeadError as error:
            queue.put_nowait(error)

    tasks = [asyncio.create_task(feed(index)) for index in range(len(call.sequences))]
    try:
        left = len(tasks)
        while left:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            left -= item.finished
            yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def usage(call: Call, completion_tokens: int) -> dict[str, object]:
    """The `usage` of a response."""
    prompt_tokens = sum(len(prompt.ids) for prompt in call.prompts)
    wrong = call.fails("wrongUsage")
    if wrong is not None:
        completion_tokens += wrong.get("offset")
    cached = call.sequences[-1].cached if call.service.config.cached_in_usage else 0
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached} if cached else None,
    }


async def open_stream(http: web.Request) -> web.StreamResponse:
    """Start a stream of server-sent events."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(http)
    return response


async def send(response: web.StreamResponse, *chunks: dict[str, object] | str) -> None:
    """Write events; a string such as `[DONE]` is written unchanged."""
    parts = (chunk if isinstance(chunk, str) else encode_json(chunk) for chunk in chunks)
    await response.write("".join(f"data: {part}\n\n" for part in parts).encode())
