"""`POST /v1/chat/completions`, and the rendering of messages as a prompt.

Source of the response format: vllm 0.18.0,
`entrypoints/openai/chat_completion/{protocol,serving}.py`. The chat template is that of Llama 3.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from ascendllm_simulator import logprobs, tokenizer
from ascendllm_simulator.config import ServerConfig
from ascendllm_simulator.errors import ApiError
from ascendllm_simulator.errors import answer as answered
from ascendllm_simulator.generation import Prompt
from ascendllm_simulator.protocol import ChatRequest, Message, check_sampling, parse
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
from ascendllm_simulator.streaming import chunk_usage, stream

__all__ = ["create_chat_completion", "render"]

_NO_TEMPLATE = (
    "As of transformers v4.44, default chat template is no longer allowed, so you must provide a "
    "chat template if the tokenizer does not define one."
)


_UNTRUSTED = (
    "Chat template is passed with request, but --trust-request-chat-template is not set. Refused "
    "request with untrusted chat template."
)


async def create_chat_completion(service: Service, http: web.Request) -> web.StreamResponse:
    """Answer one request.

    Raises:
        ApiError: The request is invalid, or the configured failure applies to it.
    """
    request = parse(ChatRequest, await read_body(http))
    call = begin(service, http, request, "chatcmpl")
    inject_failure(call)
    prompt = render(
        service.config,
        request.messages,
        generation=request.add_generation_prompt,
        template=request.chat_template is not None,
        continue_last=request.continue_final_message,
    )
    asked = request.max_completion_tokens or request.max_tokens
    check_length(service.config, prompt.ids, asked or 0)
    most = limit(service.config, prompt, asked)
    check_sampling(request, most)
    check_beam(service.config, request)
    top = request.top_logprobs or 0
    if request.logprobs and -1 != service.config.max_logprobs < top:
        raise ApiError(
            f"Requested sample logprobs of {top}, which is greater than max allowed: "
            f"{service.config.max_logprobs}",
            param="logprobs",
            value=top,
        )
    call.prompts = [prompt]
    plan_all(call, [most])
    answer = _Answer(call, request)
    if request.stream:
        return await stream(call, http, answer.chunk, answer.opening(), answer.closing)
    await run_all(call)
    return answered(answer.whole())


def render(
    config: ServerConfig,
    messages: Sequence[Message],
    *,
    generation: bool,
    template: bool = False,
    continue_last: bool = False,
) -> Prompt:
    """Render messages as a prompt.

    Args:
        config: States whether the model has a chat template.
        messages: At least one.
        generation: Whether the prompt ends with the header of an assistant turn.
        template: Whether the request contains a template.
        continue_last: Whether the last message is left open so that the answer continues it.

    Raises:
        ApiError: The model has no template; status 400.
    """
    if template and not config.trust_request_template:
        raise ApiError(_UNTRUSTED, closes=False)
    if not config.chat_template and not template:
        raise ApiError(_NO_TEMPLATE)
    if not messages:
        raise ApiError("list index out of range")  # the text that vLLM returns
    ids = [tokenizer.BOS]
    turns = [(message.role, message.text()) for message in messages]
    for role, text in turns:
        ids += _header(role) + tokenizer.encode(text) + [tokenizer.SPECIAL["<|eot_id|>"]]
    if continue_last:
        # transformers cuts off what the template appends to the last message.
        return Prompt(ids[:-1], "\n".join(text for _, text in turns[-2:]), chat=True)
    if generation:
        ids += _header("assistant")
    return Prompt(ids, turns[-1][1] if turns else "", chat=True)


def _header(role: str) -> list[int]:
    special = tokenizer.SPECIAL
    name = tokenizer.encode(role)
    return [special["<|start_header_id|>"], *name, special["<|end_header_id|>"], 10, 10]


class _Answer:
    """Builds the JSON of the response."""

    def __init__(self, call: Call, request: ChatRequest) -> None:
        self._call = call
        self._request = request
        self._done = [0] * len(call.sequences)
        wants = bool(request.logprobs) and call.fails("noLogprobs") is None
        top = request.top_logprobs or 0
        self._number = (20 if top == -1 else top) if wants else None

    @property
    def _role(self) -> str:
        """The role of the answer: the last message's role if no assistant turn is opened."""
        if self._request.add_generation_prompt:
            return "assistant"
        return self._request.messages[-1].role

    def _echoed(self) -> str:
        """The text that `echo` prepends: the last message if it has the same role."""
        last = self._request.messages[-1]
        return last.text() if self._request.echo and last.role == self._role else ""

    def opening(self) -> list[dict[str, object]]:
        """The events that contain the role, one per choice."""
        return [
            self._event(
                {
                    "index": index,
                    "delta": {"role": self._role, "content": ""},
                    "logprobs": None,
                    "finish_reason": None,
                },
                0,
                prompt_ids=True,
            )
            for index in range(len(self._call.sequences))
        ]

    def chunk(self, index: int, start: int, stop: int, finished: bool) -> dict[str, object]:
        """One event of a stream."""
        sequence = self._call.sequences[index]
        plan = sequence.plan
        text = plan.text[plan.ends[start - 1] if start else 0 : plan.ends[stop - 1] if stop else 0]
        choice: dict[str, object] = {
            "index": index,
            "delta": {"content": text},
            "logprobs": self._logprobs(index, start, stop),
            "finish_reason": sequence.finish_reason if finished else None,
        }
        if finished:
            choice["stop_reason"] = plan.stop_reason if sequence.finish_reason == "stop" else None
        choice["token_ids"] = plan.ids[start:stop] if self._request.return_token_ids else None
        self._done[index] = stop
        return self._event(choice, stop)

    def closing(self) -> dict[str, object]:
        """The stream event that contains the usage."""
        event = self._head([], "chat.completion.chunk")
        event["usage"] = chunk_usage(self._call, sum(self._done))
        return event

    def whole(self) -> dict[str, object]:
        """The response to a request that does not stream."""
        call, request = self._call, self._request
        done = [sequence.counted for sequence in call.sequences]
        choices = [self._choice(index, stop) for index, stop in enumerate(done)]
        body = self._head(choices, "chat.completion")
        body |= {"service_tier": None, "system_fingerprint": None}
        if call.fails("noUsage") is None:
            body["usage"] = usage(call, sum(done))
        prompt = call.prompts[0]
        wanted = request.prompt_logprobs
        if wanted is None and request.echo:
            wanted = request.top_logprobs
        body["prompt_logprobs"] = (
            logprobs.prompt_form(logprobs.prompt_steps(prompt, call.service.answerer, abs(wanted)))
            if wanted is not None
            else None
        )
        body["prompt_token_ids"] = prompt.ids if request.return_token_ids else None
        body["kv_transfer_params"] = None
        return body

    def _choice(self, index: int, stop: int) -> dict[str, object]:
        sequence = self._call.sequences[index]
        plan = sequence.plan
        return {
            "index": index,
            "message": {
                "role": self._role,
                "content": self._echoed() + plan.text[: plan.ends[stop - 1] if stop else 0],
                "refusal": None,
                "annotations": None,
                "audio": None,
                "function_call": None,
                "tool_calls": [],
                "reasoning": None,
            },
            "logprobs": self._logprobs(index, 0, stop),
            "finish_reason": sequence.finish_reason,
            "stop_reason": plan.stop_reason if sequence.finish_reason == "stop" else None,
            "token_ids": plan.ids[:stop] if self._request.return_token_ids else None,
        }

    def _logprobs(self, index: int, start: int, stop: int) -> dict[str, object] | None:
        if self._number is None:
            return None
        plan = self._call.sequences[index].plan
        steps = logprobs.steps(plan, start, stop, self._number)
        return logprobs.chat_form(
            plan.ids[start:stop], steps, self._number, self._call.names_as_ids
        )

    def _event(
        self, choice: dict[str, object], completion_tokens: int, *, prompt_ids: bool = False
    ) -> dict[str, object]:
        event = self._head([choice], "chat.completion.chunk")
        if prompt_ids:
            show = self._request.return_token_ids
            event["prompt_token_ids"] = self._call.prompts[0].ids if show else None
        if self._call.stream_usage[1]:
            event["usage"] = chunk_usage(self._call, completion_tokens)
        return event

    def _head(self, choices: list[dict[str, object]], kind: str) -> dict[str, object]:
        call = self._call
        return {
            "id": call.id,
            "object": kind,
            "created": call.created,
            "model": call.model,
            "choices": choices,
        }
