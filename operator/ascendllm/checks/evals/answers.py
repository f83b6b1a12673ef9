"""One answer on its way to lm-eval, read with distrust: what it may hold, and what ends the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ascendllm.checks.endpoint import Endpoint, served_model
from ascendllm.checks.result import is_number
from ascendllm.exceptions import CheckError

__all__ = ["is_scored", "read_generation", "read_scored"]

CLAMPED = -9999.0
"""vLLM writes this where a log-probability is minus infinity."""

ENDED = ("stop", "length")
WHAT = "POST /v1/completions"


def is_scored(payload: Mapping[str, object]) -> bool:
    """Whether the log-probabilities of the prompt itself are wanted."""
    return payload.get("echo") is True


def read_generation(answer: Mapping[str, object], endpoint: Endpoint, path: str) -> None:
    """Make sure that an answer holds one whole text.

    Raises:
        CheckError: `WrongModel`, or `BadAnswer` naming what is missing.
    """
    what = f"POST {path}"
    served_model(dict(answer), endpoint, what)
    choice = _choice(answer, what)
    if "chat" in path:
        message = choice.get("message")
        text = message.get("content") if isinstance(message, dict) else None
    else:
        text = choice.get("text")
    if not isinstance(text, str):
        raise CheckError(
            "BadAnswer",
            f"{what} answered no text (finish_reason {choice.get('finish_reason')!r:.40}); where a "
            "reasoning parser took it, serve the model without one",
        )
    if choice.get("finish_reason") not in ENDED:
        raise CheckError(
            "BadAnswer",
            f"{what} answered with finish_reason {choice.get('finish_reason')!r:.40}, not "
            f"{' or '.join(ENDED)}: the answer is not whole",
        )


def read_scored(
    answer: Mapping[str, object], endpoint: Endpoint, length: int, *, skip: int
) -> None:
    """Make sure that every token of a prompt has its log-probability.

    Args:
        answer: The answer; its first `skip` positions are taken out of it.
        endpoint: The server.
        length: Tokens of the prompt as it was sent.
        skip: How many of them lm-eval did not send.

    Raises:
        CheckError: `WrongModel`, `BadAnswer`, `MissingLogprobs` or `BadLogprobs`.
    """
    served_model(dict(answer), endpoint, WHAT)
    logprobs = _choice(answer, WHAT).get("logprobs")
    if not isinstance(logprobs, dict):
        raise _missing("no logprobs")
    columns = {name: logprobs.get(name) for name in ("tokens", "token_logprobs", "top_logprobs")}
    for name, column in columns.items():
        if not isinstance(column, list) or len(column) != length + 1:
            seen = len(column) if isinstance(column, list) else None
            raise _missing(f"{seen} {name} for {length} prompt tokens and one more")
    values = cast("list[object]", columns["token_logprobs"])
    tops = cast("list[object]", columns["top_logprobs"])
    for position, (value, top) in enumerate(zip(values, tops, strict=True)):
        if position:
            _sound(value, top, position)
    for name in [*columns, "text_offset"]:
        column = logprobs.get(name)
        if isinstance(column, list):
            logprobs[name] = column[skip:]


def _sound(value: object, top: object, position: int) -> None:
    """One position behind the first: a log-probability, and those of the likeliest tokens."""
    if value is None or not isinstance(top, dict) or not top:
        raise _missing(f"no log-probability at position {position}")
    for found in (value, *top.values()):
        if not is_number(found) or not CLAMPED < cast(float, found) < 1e-3:
            raise CheckError(
                "BadLogprobs",
                f"{WHAT}: log-probability {found!r:.40} at position {position}: the server "
                "computes NaN or minus infinity",
            )


def _choice(answer: Mapping[str, object], what: str) -> dict[str, object]:
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise CheckError("BadAnswer", f"{what} answered not exactly one choice")
    return cast("dict[str, object]", choices[0])


def _missing(what: str) -> CheckError:
    return CheckError(
        "MissingLogprobs",
        f"{WHAT} answered {what}: the task needs echo with logprobs (vllm-ascend#1043: a server "
        "without them gave 23 percent instead of 80)",
    )
