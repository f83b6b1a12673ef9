"""Random prompts of an exact length on the server's own count, sent as text.

How: no tokenizer is needed here, the server's /tokenize is the judge.
1. Pool: short words and letters, of which only those count that add exactly one token in the middle
   of a text. They are tried all at once and, where the sum is not right, in ever smaller groups:
   the usual vocabularies take two requests.
2. A prompt is one fixed word and a random row of pool pieces; with a shared prefix its first pieces
   follow from the seed alone. Prompts are counted whole; where there are very many short ones,
   several in one request: behind the fixed word pieces add up.
3. Where a sum is not right, each prompt of the batch is counted by itself, and lengthened or
   shortened until it fits. One that won't fit in `ROUNDS` rounds is an Error: figures over another
   length than the one that is reported would mean nothing.
The answer's `usage.prompt_tokens` is held against the length again when the prompt is sent.

`vllm bench serve` counts with the client's tokenizer instead and is off by one BOS a request.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ascendllm.checks.bench.datasets.counting import Counter
from ascendllm.checks.bench.datasets.prompt import Prompt
from ascendllm.checks.client import Client
from ascendllm.checks.together import together
from ascendllm.exceptions import CheckError, SpecError

__all__ = ["PIECES", "long_context_prompt", "random_prompts"]

ROUNDS = 12
SMALLEST_POOL = 8
ENOUGH = 64
"""A pool of so many pieces is not made larger by more requests."""

BATCHES = 64
BATCH_TOKENS = 16_384
"""More prompts than `BATCHES` are counted several at once, of so many tokens at most."""

STEM = "one"
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
PIECES = tuple(f" {piece}" for piece in sorted(dict.fromkeys((*WORDS.split(), *_LETTERS)), key=len))
"""Candidates: words that are one token in the usual vocabularies, letters for the small ones.

The short ones come first: what is one token and what is not then lie together, which saves requests
where groups are tried.
"""

_DIGITS = 3
"""Pieces at a prompt's start that are its number, so that no two prompts are the same."""


@dataclass(frozen=True, slots=True)
class _Pool:
    """What prompts are made of.

    Args:
        base: The tokens of `STEM`, special tokens included.
        pieces: Each adds one token.
    """

    base: int
    pieces: tuple[str, ...]


async def random_prompts(
    client: Client,
    count: int,
    *,
    input_tokens: int,
    output_tokens: int,
    prefix_tokens: int = 0,
    seed: int = 0,
    first: int = 0,
    concurrency: int = 8,
) -> list[Prompt]:
    """Make `count` different prompts of `input_tokens` tokens each.

    Args:
        client: The server that counts.
        count: How many.
        input_tokens: Of each, special tokens included.
        output_tokens: Of each answer.
        prefix_tokens: How many tokens at the start are the same in all; less than `input_tokens`.
        seed: Prompt number k of a seed is the same whoever makes it, and so is the prefix.
        first: The number of the first prompt.
        concurrency: Requests in flight.

    Raises:
        CheckError: `PromptLength`, where this tokenizer gives no such prompts; or as the requests
            raise.
        SpecError: `PrefixTooLong`.
    """
    if prefix_tokens and prefix_tokens >= input_tokens:
        raise SpecError(
            "PrefixTooLong",
            f"--prefix-tokens {prefix_tokens} must be less than --input-tokens {input_tokens}: all "
            "prompts would be the same",
        )
    counter = Counter(client, concurrency)
    maker = _Maker(counter, await _pool(counter), input_tokens, prefix_tokens, seed)
    texts = await maker.make(range(first, first + count))
    if len(set(texts)) < count:
        shared = f" behind a prefix of {prefix_tokens}" if prefix_tokens else ""
        raise CheckError(
            "PromptLength",
            f"{input_tokens} input tokens{shared} leave no room for {count} different prompts; ask "
            "for longer or for fewer ones",
        )
    return [Prompt(text, input_tokens, output_tokens) for text in texts]


async def long_context_prompt(
    client: Client, *, max_model_len: int, output_tokens: int, seed: int
) -> Prompt:
    """The longest prompt that leaves room for `output_tokens`.

    Raises:
        CheckError: As `random_prompts`.
        SpecError: `ContextTooShort`.
    """
    room = max_model_len - output_tokens
    if room < 1:
        raise SpecError(
            "ContextTooShort",
            f"--output-tokens {output_tokens} leave no room for a prompt in the server's context "
            f"of {max_model_len}; ask for less, or raise maxModelLen",
        )
    [prompt] = await random_prompts(
        client, 1, input_tokens=room, output_tokens=output_tokens, seed=seed, concurrency=8
    )
    return prompt


async def _pool(counter: Counter) -> _Pool:
    """The pieces that add exactly one token each.

    Raises:
        CheckError: `PromptLength`.
    """
    base = await counter.length(STEM)
    good: list[str] = []
    groups: list[Sequence[str]] = [PIECES]
    while groups and len(good) < ENOUGH:
        sizes = await together(counter.length(STEM + "".join(group)) for group in groups)
        smaller: list[Sequence[str]] = []
        for group, size in zip(groups, sizes, strict=True):
            if size == base + len(group):
                good += group
            elif len(group) > 1:
                smaller += _split(group)
        groups = smaller
    if len(good) < SMALLEST_POOL:
        raise CheckError(
            "PromptLength",
            f"only {len(good)} of {len(PIECES)} common words are one token each for this server's "
            "tokenizer: no random prompt of an exact length can be made",
        )
    return _Pool(base, tuple(good))


def _split(group: Sequence[str]) -> list[Sequence[str]]:
    """Into quarters: most of a small vocabulary's misses are neighbours of hits."""
    step = -(-len(group) // 4)
    return [group[start : start + step] for start in range(0, len(group), step)]


class _Maker:
    """Makes the prompts of one run."""

    def __init__(
        self, counter: Counter, pool: _Pool, tokens: int, prefix_tokens: int, seed: int
    ) -> None:
        self.pool = pool
        self._counter = counter
        self._tokens = tokens
        self._seed = seed
        self._prefix = ""
        self._prefix_ids: list[int] = []
        self._own = tokens - max(pool.base, prefix_tokens)
        """Pieces of each prompt behind the opening."""
        if prefix_tokens >= pool.base:
            self._prefix = STEM + "".join(self._pieces(prefix_tokens - pool.base, "prefix"))
        self._prefix_tokens = prefix_tokens

    async def make(self, numbers: Sequence[int]) -> list[str]:
        """The prompts of these numbers, in their order."""
        if self._prefix:
            self._prefix_ids = await self._counter.ids(self._prefix)
            if len(self._prefix_ids) != self._prefix_tokens:
                raise self._misfit(f"the prefix has {len(self._prefix_ids)} tokens")
        if self._own < 1:
            return list(await together(self._fitted(number) for number in numbers))
        most = (BATCH_TOKENS - self._tokens) // self._own + 1
        size = max(1, min(most, -(-len(numbers) // BATCHES)))
        cuts = [*range(0, len(numbers), size), len(numbers)]
        batches = await together(self._batch(numbers[start:stop]) for start, stop in pairwise(cuts))
        return [text for batch in batches for text in batch]

    async def _batch(self, numbers: Sequence[int]) -> list[str]:
        """Prompts that are counted in one request; one by one where the sum is not right."""
        rows = ["".join(self._row(self._own, number)) for number in numbers]
        opening = self._prefix or STEM
        size = await self._length(opening + "".join(rows))
        if size == self._tokens + self._own * (len(rows) - 1):
            return [opening + row for row in rows]
        return list(await together(self._fitted(number) for number in numbers))

    async def _fitted(self, number: int) -> str:
        """A prompt that is lengthened or shortened until the server counts it right."""
        rng = self._rng(f"fitted {number}")
        wanted = self._own if self._prefix else self._tokens
        pieces = self._row(wanted, number)
        size = 0
        for _ in range(ROUNDS):
            text = (self._prefix + "".join(pieces)).lstrip(" ")
            size = await self._length(text)
            if size == self._tokens:
                return text
            if size < self._tokens:
                pieces += rng.choices(self.pool.pieces, k=self._tokens - size)
            else:
                del pieces[max(1, len(pieces) - (size - self._tokens)) :]
        raise self._misfit(f"the last of {ROUNDS} tries had {size}")

    async def _length(self, text: str) -> int:
        """How many tokens a text has; it must begin with those of the prefix."""
        ids = await self._counter.ids(text)
        if ids[: len(self._prefix_ids)] != self._prefix_ids:
            raise self._misfit("behind the shared prefix its last token changes")
        return len(ids)

    def _misfit(self, why: str) -> CheckError:
        shared = f" with {self._prefix_tokens} in common" if self._prefix_tokens else ""
        return CheckError(
            "PromptLength",
            f"no prompts of exactly {self._tokens} tokens{shared} can be made: {why}; choose "
            "another --input-tokens",
        )

    def _row(self, length: int, number: int) -> list[str]:
        """The pieces of a prompt: its number, then random ones."""
        digits = min(length, _DIGITS)
        base = len(self.pool.pieces)
        rest = number + self._rng("offset").randrange(base**digits)
        row: list[str] = []
        for _ in range(digits):
            rest, digit = divmod(rest, base)
            row.append(self.pool.pieces[digit])
        return row + self._pieces(length - digits, number)

    def _pieces(self, number: int, name: object) -> list[str]:
        return self._rng(name).choices(self.pool.pieces, k=number)

    def _rng(self, name: object) -> random.Random:
        return random.Random(f"{self._seed}-{name}")  # noqa: S311 - no secret
