"""What the server's tokenizer says of the prompts, before thousands of questions are asked.

Three things are learnt by /tokenize: the ids of the four letters, whether the longest prompts fit
the server's context, and, for a protocol that drops shots, which questions lose some.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ascendllm.checks.client import Client
from ascendllm.checks.mmlu.letters import find_letters
from ascendllm.checks.mmlu.prompts import Prompts
from ascendllm.checks.mmlu.stages import Place
from ascendllm.checks.mmlu.window import shorten_to_window
from ascendllm.checks.sinks import warn
from ascendllm.checks.together import together
from ascendllm.exceptions import CheckError

__all__ = ["Survey", "survey", "too_long"]

NEARLY_FULL = 0.75
"""Of the context: where a subject's longest question takes more, the next ones are counted too."""

ALSO = 2


@dataclass(frozen=True, slots=True)
class Survey:
    """What was learnt.

    Args:
        ids: Of " A" to " D" behind a prompt; None where the server can't tell, or none are needed.
        tokens: The prompt's tokens of the questions that were counted, special ones included.
    """

    ids: tuple[int, ...] | None = None
    tokens: Mapping[Place, int] = field(default_factory=dict)


async def survey(
    client: Client,
    prompts: Prompts,
    wanted: Mapping[str, Sequence[int]],
    concurrency: int,
    max_model_len: int | None,
    answer_tokens: int,
) -> Survey:
    """Ask /tokenize.

    Args:
        client: The server.
        prompts: Makes them; told here which questions get fewer shots.
        wanted: The open questions, by subject.
        concurrency: Requests in flight.
        max_model_len: The server's longest context, where it is known.
        answer_tokens: What an answer may take of it.

    Raises:
        CheckError: `PromptTooLong`, naming the subject and the question; `LetterTokens`;
            `NoTokenize` where the protocol can't do without; or as the requests raise.
    """
    gate = asyncio.Semaphore(concurrency)
    longest = {subject: _longest(prompts, subject, rows) for subject, rows in wanted.items()}
    firsts = {subject: (subject, rows[0]) for subject, rows in longest.items()}
    try:
        await shorten_to_window(client, prompts, wanted, gate)
        ids, tokens = await _count_longest(client, prompts, firsts, gate)
    except CheckError as error:
        if error.reason != "NoTokenize" or prompts.protocol.window is not None:
            raise
        warn(f"{error.message}: no prompt's length is known beforehand")
        return Survey()
    if max_model_len is not None:
        room = max_model_len - answer_tokens
        more = [
            (subject, index)
            for subject, rows in longest.items()
            if tokens[firsts[subject]] > NEARLY_FULL * room
            for index in rows[1:]
        ]
        counted = await together(_count(client, prompts, place, gate) for place in more)
        tokens |= dict(zip(more, counted, strict=True))
        for place, number in tokens.items():
            if number > room:
                raise too_long(place, f"{number} tokens", answer_tokens, max_model_len)
    return Survey(ids, tokens)


async def _count_longest(
    client: Client, prompts: Prompts, firsts: Mapping[str, Place], gate: asyncio.Semaphore
) -> tuple[tuple[int, ...] | None, dict[Place, int]]:
    """The ids of the letters, where they are needed, and the tokens of one prompt a subject."""
    if prompts.protocol.measures == "letterLogprobs":
        texts = {subject: prompts.of(*place).text for subject, place in firsts.items()}
        ids, sizes = await find_letters(client, texts, gate)
        return ids, {place: sizes[subject] for subject, place in firsts.items()}
    counted = await together(_count(client, prompts, place, gate) for place in firsts.values())
    return None, dict(zip(firsts.values(), counted, strict=True))


async def _count(client: Client, prompts: Prompts, place: Place, gate: asyncio.Semaphore) -> int:
    async with gate:
        return len(await client.token_ids(prompts.of(*place).fields()))


def too_long(place: Place, size: str, answer_tokens: int, max_model_len: int | None) -> CheckError:
    """A prompt that the server can't take."""
    limit = "the server's context" if max_model_len is None else f"{max_model_len} (maxModelLen)"
    return CheckError(
        "PromptTooLong",
        f"{place[0]}, question {place[1] + 1}: a prompt of {size} and {answer_tokens} for the "
        f"answer don't fit {limit}; raise it: no shot is dropped in silence",
    )


def _longest(prompts: Prompts, subject: str, indices: Sequence[int]) -> list[int]:
    """The questions of the longest texts; tokens follow text closely enough to look there first."""
    by_size = sorted(indices, key=lambda index: -prompts.question(subject, index).size)
    return by_size[: 1 + ALSO]
