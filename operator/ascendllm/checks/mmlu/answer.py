"""One answer of the server, read with distrust.

The request allows the four letters only (`allowed_token_ids`) and asks for the log-probabilities
of the most likely tokens, which vLLM takes before it masks: the sampled token is the arg max of
the four. What lm-eval does is arg max over A, B, C, D with the first letter winning a tie, so ties
among the visible letters are settled the same way here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from ascendllm.checks.endpoint import Endpoint, served_model
from ascendllm.checks.result import is_number
from ascendllm.exceptions import CheckError

__all__ = ["CLAMPED", "LOGPROBS", "read_answer"]

LOGPROBS = 20
"""vLLM's default limit (--max-logprobs); enough to see a letter that ties."""

CLAMPED = -9999.0
"""vLLM writes this where a log-probability is minus infinity (vllm-ascend#2934 had many)."""

WHAT = "POST /v1/completions"


def read_answer(body: dict[str, object], endpoint: Endpoint, letters: Mapping[int, str]) -> str:
    """The letter that the model prefers.

    Args:
        body: The answer's JSON.
        endpoint: The server: its model's name is looked for in the answer.
        letters: The letter of each of the four token ids.

    Raises:
        CheckError: `WrongModel`, `BadAnswer`, `MissingLogprobs`, `LetterNotObeyed`,
            `BadLogprobs`: what is wrong with the answer.
    """
    served_model(body, endpoint, WHAT)
    token, logprob, top = _sampled(body)
    chosen = letters.get(token)
    if chosen is None:
        raise CheckError(
            "LetterNotObeyed",
            f"{WHAT}: token {token} was sampled though only {sorted(letters)} were allowed: the "
            "server doesn't know allowed_token_ids",
        )
    seen = {letters[i]: value for i, value in top.items() if i in letters} | {chosen: logprob}
    bad = {letter: value for letter, value in seen.items() if not _sound(value)}
    if bad:
        raise CheckError(
            "BadLogprobs",
            f"{WHAT}: log-probability {bad} on a letter: the server computes NaN or minus infinity",
        )
    best = max(seen.values())
    if logprob < best:
        raise CheckError(
            "LetterNotObeyed",
            f"{WHAT}: {chosen} ({logprob}) was sampled though another letter is more likely "
            f"({seen}): the server doesn't sample greedily",
        )
    return min(letter for letter, value in seen.items() if value == best)


def _sampled(body: Mapping[str, object]) -> tuple[int, float, dict[int, float]]:
    """The sampled token, its log-probability, and those of the most likely tokens, by id."""
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise CheckError("BadAnswer", f"{WHAT} answered not exactly one choice")
    logprobs = choices[0].get("logprobs")
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
    top = {_token_id(key): value for key, value in tops[0].items()}
    if not all(_is_float(value) for value in top.values()):
        raise _missing("a top log-probability that is no number")
    return _token_id(tokens[0]), float(values[0]), cast("dict[int, float]", top)


def _token_id(key: object) -> int:
    """`token_id:362` as `return_tokens_as_token_ids` writes it."""
    if (
        isinstance(key, str)
        and key.startswith("token_id:")
        and key[9:].isdecimal()
        and len(key) < 30
    ):
        return int(key[9:])
    raise _missing(f"the token {key!r:.60} where token_id:N was asked for")


def _is_float(value: object) -> bool:
    """A JSON number that a float can hold, NaN and infinities included: those are told apart."""
    return is_number(value) or isinstance(value, float)


def _sound(value: object) -> bool:
    """Whether a log-probability is one: finite, not clamped, not above 0 (by rounding's width)."""
    return (
        is_number(value)
        and math.isfinite(cast(float, value))
        and CLAMPED < cast(float, value) < 1e-3
    )


def _missing(what: str) -> CheckError:
    return CheckError(
        "MissingLogprobs",
        f"{WHAT} answered {what}: the check needs logprobs and return_tokens_as_token_ids",
    )
