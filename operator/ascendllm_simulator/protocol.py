"""The request models of the server, as in vLLM 0.18; unknown fields are ignored.

Source: vllm 0.18.0, `entrypoints/openai/{completion,chat_completion}/protocol.py`,
`entrypoints/serve/tokenize/protocol.py` and `sampling_params.py` (`check_sampling`).
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ascendllm_simulator.errors import ApiError, PlainError, malformed, with_extras

__all__ = [
    "ChatRequest",
    "CompletionRequest",
    "DetokenizeRequest",
    "Message",
    "SamplingRequest",
    "StreamOptions",
    "TokenizeRequest",
    "check_sampling",
    "parse",
]


class _FieldError(ValueError):
    """An error that names its field, as vLLM's own validation errors do."""

    def __init__(self, message: str, parameter: str, value: object = None) -> None:
        super().__init__(with_extras(message, parameter, value))
        self.parameter = parameter


_TokenId = Annotated[int, Field(ge=0, le=2**63 - 1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")


class StreamOptions(_Model):
    """`stream_options`."""

    include_usage: bool | None = False
    continuous_usage_stats: bool | None = False


class StructuredOutputs(_Model):
    """`structured_outputs`; only `choice` affects the answer here."""

    json_schema: str | dict[str, Any] | None = Field(None, alias="json")
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None
    structural_tag: str | None = None

    @model_validator(mode="after")
    def _some(self) -> StructuredOutputs:
        kinds = ("json_schema", "regex", "choice", "grammar", "json_object", "structural_tag")
        if all(getattr(self, kind) is None for kind in kinds):
            shown = {**self.model_dump(by_alias=True), "_backend": None, "_backend_was_auto": False}
            raise ValueError(
                "You must use one kind of structured outputs constraint but none are specified: "
                f"{shown}"
            )
        return self


class ResponseFormat(_Model):
    """`response_format`."""

    type: Literal["text", "json_object", "json_schema", "structural_tag"]


class SamplingRequest(_Model):
    """The fields that completions and chat completions share."""

    model: str | None = None
    n: int | None = 1
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    stop: str | list[str] | None = []
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = 0.0
    presence_penalty: float | None = 0.0
    repetition_penalty: float | None = None
    length_penalty: float = 1.0
    use_beam_search: bool = False
    stop_token_ids: list[int] | None = []
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    skip_special_tokens: bool = True
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, le=2**63 - 1)] | None = None
    allowed_token_ids: list[int] | None = None
    logit_bias: dict[str, float] | None = None
    prompt_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    request_id: str | None = None
    return_tokens_as_token_ids: bool | None = None
    return_token_ids: bool | None = None
    cache_salt: str | None = None
    priority: int = Field(0, ge=-(2**63), le=2**63 - 1)

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if data.get("stream_options") and not data.get("stream"):
            raise _FieldError(
                "Stream options can only be defined when `stream=True`.", "stream_options"
            )
        salt = data.get("cache_salt")
        if salt is not None and (not isinstance(salt, str) or not salt):
            raise ValueError("Parameter 'cache_salt' must be a non-empty string if provided.")
        wanted = data.get("prompt_logprobs")
        if isinstance(wanted, int) and wanted != 0:
            if data.get("stream"):
                raise _FieldError(
                    "`prompt_logprobs` are not available when `stream=True`.", "prompt_logprobs"
                )
            if wanted < -1:
                raise _FieldError(
                    "`prompt_logprobs` must be a positive value or -1.", "prompt_logprobs", wanted
                )
        outputs = data.get("structured_outputs")
        if isinstance(outputs, dict):
            kinds = [kind for kind in ("json", "regex", "choice") if outputs.get(kind) is not None]
            if len(kinds) > 1:
                raise _FieldError(
                    "You can only use one kind of constraints for structured outputs "
                    "('json', 'regex' or 'choice').",
                    "structured_outputs",
                )
        return data


class CompletionRequest(SamplingRequest):
    """`POST /v1/completions`."""

    prompt: list[_TokenId] | list[list[_TokenId]] | str | list[str] | None = None
    echo: bool | None = False
    logprobs: int | None = None
    max_tokens: int | None = 16
    suffix: str | None = None
    add_special_tokens: bool = True

    @model_validator(mode="before")
    @classmethod
    def _check_prompt(cls, data: Any) -> Any:
        if isinstance(data, dict):
            if data.get("prompt") is None or data.get("prompt") == "":
                raise ValueError("Either prompt or prompt_embeds must be provided and non-empty.")
            logprobs = data.get("logprobs")
            if isinstance(logprobs, int) and logprobs < 0:
                raise _FieldError("`logprobs` must be a positive value.", "logprobs", logprobs)
        return data


class Message(_Model):
    """One message of a chat."""

    role: str
    content: str | list[dict[str, Any]] | None = None

    def text(self) -> str:
        """The text of the content; text parts are joined."""
        if isinstance(self.content, list):
            return "\n".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class ChatRequest(SamplingRequest):
    """`POST /v1/chat/completions`."""

    messages: list[Message]
    logprobs: bool | None = False
    top_logprobs: int | None = 0
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    chat_template: str | None = None
    echo: bool = False

    @model_validator(mode="before")
    @classmethod
    def _check_chat(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        top = data.get("top_logprobs")
        if isinstance(top, int) and top != 0:
            if top < -1:
                raise _FieldError(
                    "`top_logprobs` must be a positive value or -1.", "top_logprobs", top
                )
            if not data.get("logprobs"):
                raise _FieldError(
                    "when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs"
                )
        _one_end(data)
        return data


def _one_end(data: Any) -> None:
    """Reject a chat that both continues its last turn and opens a new one."""
    if not isinstance(data, dict):
        return
    if data.get("continue_final_message") and data.get("add_generation_prompt"):
        raise ValueError(
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
        )


class TokenizeRequest(_Model):
    """`POST /tokenize`, for a prompt or for messages."""

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template: str | None = None
    return_token_strs: bool | None = False

    @model_validator(mode="after")
    def _one(self) -> TokenizeRequest:
        if self.prompt is None and self.messages is None:
            raise PydanticCustomError("missing", "Field required: prompt or messages")
        return self

    @model_validator(mode="before")
    @classmethod
    def _check_turns(cls, data: Any) -> Any:
        _one_end(data)
        return data


class DetokenizeRequest(_Model):
    """`POST /detokenize`."""

    model: str | None = None
    tokens: list[_TokenId]


M = TypeVar("M", bound=_Model)


def parse(model: type[M], body: bytes) -> M:
    """Read a request's body.

    Raises:
        ApiError: It is not JSON or does not fit the model: status 400, or 500 where vLLM itself
            fails.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(model, body) from error


def _refusal(model: type[_Model], body: bytes) -> ApiError:
    """The error that FastAPI and vLLM return for a body that does not fit."""
    try:
        value = json.loads(body) if body else None
    except json.JSONDecodeError as error:
        problem = {
            "type": "json_invalid",
            "loc": ("body", error.pos),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        return _malformed([problem], None)
    except (UnicodeDecodeError, RecursionError):
        return PlainError("There was an error parsing the body")
    if not body:
        missing = {"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}
        return _malformed([missing], None)
    if not isinstance(value, dict):
        # The validators of the request read its keys before pydantic checks its type.
        kind = type(value).__name__
        text = f"'{kind}' object has no attribute 'get'"
        return ApiError(text, status=500, kind="InternalServerError", closes=True)
    messages = value.get("messages")
    if isinstance(messages, int | float):
        return ApiError(f"'{type(messages).__name__}' object is not iterable")
    try:
        model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False)
        causes = [problem.pop("ctx", {}).get("error") for problem in found]
        param = next((e.parameter for e in causes if isinstance(e, _FieldError)), None)
        return _malformed([dict(problem) for problem in found], param)
    # FastAPI accepts a lone surrogate in a string, the tokenizer does not: this is its message.
    return ApiError(
        "TextEncodeInput must be Union[TextInputSequence, Tuple[InputSequence, InputSequence]]"
    )


def _malformed(found: list[dict[str, Any]], param: str | None) -> ApiError:
    for problem in found:
        if problem["loc"][:1] != ("body",):
            problem["loc"] = ("body", *problem["loc"])
        problem["input"] = repr(problem["input"])[:200]
    lines = "\n".join(f"  {problem}" for problem in found[:20])
    plural = "s" if len(found) > 1 else ""
    return malformed(f"{len(found)} validation error{plural}:\n{lines}", param)


def check_sampling(request: SamplingRequest, max_tokens: int) -> None:
    """Reject what vLLM's SamplingParams rejects.

    Raises:
        ApiError: Status 400.
    """
    n = 1 if request.n is None else request.n
    if n < 1:
        raise ApiError(f"n must be at least 1, got {n}.")
    for name in ("presence_penalty", "frequency_penalty"):
        penalty = getattr(request, name) or 0.0
        if not -2.0 <= penalty <= 2.0:
            raise ApiError(f"{name} must be in [-2, 2], got {penalty}.")
    repetition = 1.0 if request.repetition_penalty is None else request.repetition_penalty
    if repetition <= 0:
        raise ApiError(f"repetition_penalty must be greater than zero, got {repetition}.")
    temperature = 1.0 if request.temperature is None else request.temperature
    if temperature < 0:
        message = f"temperature must be non-negative, got {temperature}."
        raise ApiError(message, param="temperature", value=temperature)
    top_p = 1.0 if request.top_p is None else request.top_p
    if not 0 < top_p <= 1:
        raise ApiError(f"top_p must be in (0, 1], got {top_p}.", param="top_p", value=top_p)
    if request.top_k is not None and request.top_k < -1:
        raise ApiError(f"top_k must be 0 (disable), or at least 1, got {request.top_k}.")
    if request.min_p is not None and not 0 <= request.min_p <= 1:
        raise ApiError(f"min_p must be in [0, 1], got {request.min_p}.")
    if max_tokens < 1:
        message = f"max_tokens must be at least 1, got {max_tokens}."
        raise ApiError(message, param="max_tokens", value=max_tokens)
    if request.min_tokens < 0:
        raise ApiError(f"min_tokens must be greater than or equal to 0, got {request.min_tokens}.")
    if request.min_tokens > max_tokens:
        raise ApiError(
            f"min_tokens must be less than or equal to max_tokens={max_tokens}, "
            f"got {request.min_tokens}."
        )
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    if "" in stops:
        raise ApiError("stop cannot contain an empty string.")
    if n > 1 and temperature < 1e-5 and not request.use_beam_search:
        raise ApiError(f"n must be 1 when using greedy sampling, got {n}.")
    if request.allowed_token_ids is not None and not request.allowed_token_ids:
        message = "allowed_token_ids is not None and empty!"
        raise ApiError(message, param="allowed_token_ids", value=[])
