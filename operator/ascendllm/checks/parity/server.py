"""A server as a source: vLLM's /tokenize, `return_token_ids` and `prompt_logprobs`.

Source of the shapes: vllm 0.18.0, `entrypoints/openai/completion/{protocol,serving}.py`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import cast

import aiohttp

from ascendllm.checks.client import FACTS_TIMEOUT, Client, read_limited
from ascendllm.checks.endpoint import served_model
from ascendllm.checks.parity.source import Prompt, Scored
from ascendllm.checks.result import is_number
from ascendllm.exceptions import CheckError

__all__ = ["ServerSource", "engine_of"]

WHAT = "POST /v1/completions"
CLAMPED = -9999.0
"""vLLM writes this where a log-probability is minus infinity (vllm-ascend#2934 had many)."""

GREEDY = {
    "temperature": 0,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""vLLM takes what is unset from the model's generation_config.json."""


class ServerSource:
    """One server.

    Args:
        client: To it.
        seconds: The time limit of one attempt at one request.
    """

    def __init__(self, client: Client, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._salt = secrets.token_hex(8)

    async def tokenize(self, text: str) -> list[int]:
        """See `Source`."""
        return await self._client.tokenize(text)

    async def prompt_ids(self, prompt: Prompt) -> list[int]:
        """See `Source`."""
        if prompt.messages is None:
            return await self.tokenize(prompt.text)
        return await self._client.token_ids({"messages": [dict(m) for m in prompt.messages]})

    async def write(self, ids: Sequence[int], max_tokens: int) -> list[int]:
        """See `Source`.

        Raises:
            CheckError: `NoTokenIds` where the answer doesn't hold them, or as for any request.
        """
        choice = await self._ask(ids, {"max_tokens": max_tokens, "return_token_ids": True})
        given = choice.get("token_ids")
        if not isinstance(given, list) or not all(type(token) is int for token in given):
            raise CheckError(
                "NoTokenIds",
                f"{WHAT} answered without token_ids: the check needs return_token_ids (vLLM 0.10.2 "
                "or newer)",
            )
        if not 1 <= len(given) <= max_tokens:
            raise CheckError(
                "BadAnswer",
                f"{WHAT} answered {len(given)} tokens where at most {max_tokens} are due",
            )
        if choice.get("prompt_token_ids") not in (None, list(ids)):
            raise CheckError("BadAnswer", f"{WHAT} answered another prompt's token ids")
        return cast("list[int]", given)

    async def score(self, ids: Sequence[int], top: int) -> list[Scored]:
        """See `Source`.

        Raises:
            CheckError: `MissingLogprobs`, `BadLogprobs`, or as for any request.
        """
        choice = await self._ask(ids, {"max_tokens": 1, "prompt_logprobs": top})
        given = choice.get("prompt_logprobs")
        if not isinstance(given, list) or len(given) != len(ids):
            seen = f"{len(given)} prompt_logprobs" if isinstance(given, list) else "none"
            raise _missing(f"{seen} for {len(ids)} tokens")
        return [
            _scored(entry, token, position, top)
            for position, (entry, token) in enumerate(zip(given, ids, strict=True))
            if position
        ]

    async def _ask(self, ids: Sequence[int], wanted: Mapping[str, object]) -> dict[str, object]:
        endpoint = self._client.endpoint
        payload = {"model": endpoint.model, "prompt": list(ids), **GREEDY, **wanted}
        payload["cache_salt"] = self._salt
        try:
            body = await self._client.post("/v1/completions", payload, self._seconds)
        except CheckError as error:
            if error.reason == "RequestRefused" and "vocabulary" in error.message:
                raise CheckError(
                    "ReferenceMismatch",
                    f"{error.message}: the reference is of a model with another vocabulary",
                ) from None
            raise
        served_model(body, endpoint, WHAT)
        choices = body.get("choices")
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            raise CheckError("BadAnswer", f"{WHAT} answered not exactly one choice")
        return cast("dict[str, object]", choices[0])


async def engine_of(client: Client) -> str:
    """The engine's name and version, `unknown` where the server doesn't say."""
    try:
        async with client.session.get(
            client.endpoint.url("/version"),
            headers=client.endpoint.headers,
            timeout=aiohttp.ClientTimeout(total=FACTS_TIMEOUT),
            allow_redirects=False,
        ) as answer:
            body = json.loads(await read_limited(answer.content.read, 64 * 1024))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError, CheckError):
        return "unknown"
    version = body.get("version") if isinstance(body, dict) else None
    return f"vllm {version}"[:100] if isinstance(version, str) else "unknown"


def _scored(entry: object, token: int, position: int, most: int) -> Scored:
    """`{"1234": {"logprob": -0.1, "rank": 1, "decoded_token": " the"}, …}` at one position."""
    if not isinstance(entry, dict):
        raise _missing(f"{entry!r:.40} at position {position}")
    ranked: dict[int, tuple[int, float]] = {}
    for key, value in entry.items():
        if not (isinstance(key, str) and key.isdecimal() and len(key) < 12):
            raise _missing(f"the token {key!r:.40} at position {position}")
        ranked[int(key)] = _pair(value, position)
    if token not in ranked:
        raise _missing(f"no entry of the prompt's own token {token} at position {position}")
    rank, logprob = ranked[token]
    likely = sorted((place, other, value) for other, (place, value) in ranked.items())
    top = tuple((other, value) for place, other, value in likely if place <= most)
    if len({place for place, _, _ in likely if place <= most}) < most:
        raise _missing(f"{len(top)} of the {most} likeliest tokens at position {position}")
    return Scored(logprob, rank, top)


def _pair(value: object, position: int) -> tuple[int, float]:
    rank = value.get("rank") if isinstance(value, dict) else None
    logprob = value.get("logprob") if isinstance(value, dict) else None
    if type(rank) is not int or rank < 1 or logprob is None:
        raise _missing(f"{value!r:.80} at position {position}, no logprob with its rank")
    if not is_number(logprob) or not CLAMPED < cast(float, logprob) < 1e-3:
        raise CheckError(
            "BadLogprobs",
            f"{WHAT}: log-probability {logprob!r:.40} at position {position}: the server computes "
            "NaN or minus infinity",
        )
    return rank, float(cast(float, logprob))


def _missing(what: str) -> CheckError:
    return CheckError(
        "MissingLogprobs",
        f"{WHAT} answered {what}: the check needs prompt_logprobs with ranks",
    )
