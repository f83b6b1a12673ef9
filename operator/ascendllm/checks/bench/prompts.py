"""Random prompts of an exact length on the server's own count, sent as text.

How: no tokenizer is needed here, the server's /tokenize is the judge.
1. Each piece of a list of short words and letters is held against it: only a piece that adds
   exactly one token in the middle of a text goes into the pool.
2. A prompt is a random row of pool pieces; it is tokenized whole, special tokens that the server
   adds (BOS) included, and lengthened or shortened until the count is the wanted one.
3. A prompt that won't fit in `ROUNDS` rounds is an Error: figures over another length than the one
   that is reported would mean nothing. The answer's `usage.prompt_tokens` is checked again.

`vllm bench serve` counts with the client's tokenizer instead and is off by one BOS a request.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from ascendllm.checks.client import Client
from ascendllm.checks.together import together
from ascendllm.exceptions import CheckError

__all__ = ["PIECES", "make_prompts"]

ROUNDS = 12
SMALLEST_POOL = 8
WORDS = """time year people way day man thing woman life child world school state family student
group country problem hand part place case week company system program question work number night
point home water room mother area money story fact month lot right study book eye job word business
issue side kind head house service friend father power hour game line end member law car city name
team minute idea kid body back face others level office door health person art war history party
result change morning reason research girl guy moment air teacher force education the of and to in
for is on that by this with you it not or be are from at as your all have new more an was we will
can us about if my has but our one other do no they he up may what which their out use any there see
only so his when here who also now help get first been would how were some these like than find"""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = tuple(dict.fromkeys(f" {piece}" for piece in (*WORDS.split(), *_LETTERS)))
"""Candidates: words that are one token in the usual vocabularies, letters for the small ones."""

_Length = Callable[[str], Coroutine[Any, Any, int]]


async def make_prompts(
    client: Client, count: int, tokens: int, seed: int, concurrency: int
) -> list[str]:
    """Make `count` different prompts of `tokens` tokens each.

    Raises:
        CheckError: `PromptLength`, where this tokenizer gives no such prompt; or as the requests
            raise.
    """
    gate = asyncio.Semaphore(concurrency)

    async def length(text: str) -> int:
        async with gate:
            return len(await client.tokenize(text))

    pool = await _pool(length)
    made = await together(
        _fitted(length, pool, tokens, random.Random(f"{seed}-{number}"))  # noqa: S311 - no secret
        for number in range(count)
    )
    if len(set(made)) < min(count, len(pool)):
        raise CheckError(
            "PromptLength", f"{tokens} input tokens leave no room for {count} different prompts"
        )
    return made


async def _pool(length: _Length) -> list[str]:
    """The pieces that add exactly one token each."""
    stem = "one"
    base, *longer = await together(length(text) for text in (stem, *(stem + p for p in PIECES)))
    pool = [piece for piece, size in zip(PIECES, longer, strict=True) if size == base + 1]
    if len(pool) < SMALLEST_POOL:
        raise CheckError(
            "PromptLength",
            f"only {len(pool)} of {len(PIECES)} common words are one token each for this server's "
            "tokenizer: no random prompt of an exact length can be made",
        )
    return pool


async def _fitted(length: _Length, pool: list[str], tokens: int, rng: random.Random) -> str:
    pieces = rng.choices(pool, k=tokens)
    for _ in range(ROUNDS):
        text = "".join(pieces).lstrip(" ")
        size = await length(text)
        if size == tokens:
            return text
        if size < tokens:
            pieces += rng.choices(pool, k=tokens - size)
        else:
            del pieces[max(1, len(pieces) - (size - tokens)) :]
        if len(pieces) == 1:
            pieces = rng.choices(pool, k=1)
    raise CheckError(
        "PromptLength",
        f"no prompt of exactly {tokens} tokens could be made in {ROUNDS} rounds (the last had "
        f"{size}); choose another --input-tokens",
    )
