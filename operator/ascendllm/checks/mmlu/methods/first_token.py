"""The log-probabilities of an answer's one token, read with distrust."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from ascendllm.checks.mmlu.methods.method import GREEDY, Keys
from ascendllm.checks.mmlu.protocols.prompt import Prompt
from ascendllm.checks.result import is_number
from ascendllm.exceptions import CheckError

__all__ = [
    "CLAMPED",
    "LOGPROBS",
    "PATH",
    "FirstToken",
    "best_letter",
    "first_token",
    "one_token",
]

LOGPROBS = 20
"""vLLM's default limit (--max-logprobs)."""

CLAMPED = -9999.0
"""vLLM writes this where a log-probability is minus infinity (vllm-ascend#2934 had many)."""

PATH = "/v1/completions"
WHAT = f"POST {PATH}"


@dataclass(frozen=True, slots=True)
class FirstToken:
    """What was sampled, and what was likely.

    Args:
        sampled: Its key.
        logprob: Its log-probability.
        top: The likeliest tokens and the sampled one, by key.
    """

    sampled: str
    logprob: float
    top: Mapping[str, float]


def one_token(model: str, prompt: Prompt, keys: Keys) -> dict[str, object]:
    """The request for one token, greedy, with as many log-probabilities as vLLM gives."""
    return {
        "model": model,
        **prompt.fields(),
        "max_tokens": 1,
        **GREEDY,
        "logprobs": LOGPROBS,
        "return_tokens_as_token_ids": keys.by_id,
    }


def first_token(choice: Mapping[str, object], keys: Keys) -> FirstToken:
    """The sampled token and the likeliest ones of a choice.

    Raises:
        CheckError: `MissingLogprobs`, naming what is not there; `BadLogprobs` where a value is NaN.
    """
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        raise _missing("no logprobs")
    tokens, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    tops = logprobs.get("top_logprobs")
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != 1:
        raise _missing("not exactly one token with its log-probability")
    if len(values) != 1 or not _is_float(values[0]):
        raise _missing(f"the log-probability {values!r:.80}")
    if not isinstance(tops, list) or len(tops) != 1 or not isinstance(tops[0], dict):
        raise _missing("no top_logprobs")
    for key in (tokens[0], *tops[0]):
        if not isinstance(key, str) or (keys.by_id and not _names_id(key)):
            raise _missing(f"the token {key!r:.60} where token_id:N was asked for")
    if not all(_is_float(value) for value in tops[0].values()):
        raise _missing("a top log-probability that is no number")
    found = FirstToken(tokens[0], float(values[0]), cast("dict[str, float]", tops[0]))
    if any(math.isnan(value) for value in (found.logprob, *found.top.values())):
        raise CheckError("BadLogprobs", f"{WHAT} answered NaN log-probabilities: {_BROKEN}")
    return found


def best_letter(seen: Mapping[str, float]) -> str:
    """The likeliest of the letters seen, the first one of those that are equally likely.

    lm-eval and evaluate.py take numpy's arg max over A, B, C, D: the first letter wins a tie.

    Raises:
        CheckError: `BadLogprobs`.
    """
    bad = {letter: value for letter, value in seen.items() if not _sound(value)}
    if bad:
        raise CheckError(
            "BadLogprobs", f"{WHAT} answered the log-probability {bad} on a letter: {_BROKEN}"
        )
    best = max(seen.values())
    return min(letter for letter, value in seen.items() if value == best)


_BROKEN = (
    "the server computes NaN or infinities, or runs with a --logprobs-mode of logits; nothing can "
    "be measured with that"
)


def _names_id(key: str) -> bool:
    """Whether it is `token_id:362`, as `return_tokens_as_token_ids` writes it."""
    return key.startswith("token_id:") and key[9:].isdecimal() and len(key) < 30


def _is_float(value: object) -> bool:
    """A JSON number that a float can hold, NaN and infinities included: those are told apart."""
    return is_number(value) or isinstance(value, float)


def _sound(value: float) -> bool:
    """Whether a log-probability is one: finite, not clamped, not above 0 (by rounding's width)."""
    return is_number(value) and CLAMPED < value < 1e-3


def _missing(what: str) -> CheckError:
    return CheckError(
        "MissingLogprobs",
        f"{WHAT} answered {what}: the check needs logprobs and return_tokens_as_token_ids",
    )
