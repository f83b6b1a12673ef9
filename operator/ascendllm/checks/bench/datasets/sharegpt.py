"""Prompts out of a file of conversations, drawn by seed.

Filters as vLLM 0.18.0's (benchmarks/datasets.py, is_valid_sequence): at least 4 tokens in and,
where the answer's own length is taken, out; at most 1,024 in; at most 2,048 together. The server
counts; the answer without special tokens, since it is generated without (vLLM's client counts a BOS
into it). Unlike there, a file with too few conversations is an Error, not sent twice.
"""

from __future__ import annotations

import asyncio
import random

from ascendllm.checks.bench.datasets.conversation_file import Conversation, ConversationFile
from ascendllm.checks.bench.datasets.counting import Counter
from ascendllm.checks.bench.datasets.prompt import Prompt
from ascendllm.checks.client import Client
from ascendllm.checks.together import together
from ascendllm.exceptions import SpecError

__all__ = ["MOST_INPUT", "MOST_TOTAL", "sharegpt_prompts"]

LEAST_TOKENS = 4
MOST_INPUT = 1024
MOST_TOTAL = 2048

CHARACTERS_A_TOKEN = 64
"""A text of more characters than this a token is too long without asking."""


async def sharegpt_prompts(
    client: Client,
    file: ConversationFile,
    count: int,
    *,
    output_tokens: int | None,
    seed: int = 0,
    first: int = 0,
    concurrency: int = 8,
    max_model_len: int | None = None,
) -> list[Prompt]:
    """Draw `count` prompts, from number `first` on, in the order that the seed gives.

    Args:
        client: The server that counts.
        file: From `open_conversations`.
        count: How many.
        output_tokens: Of each answer; None: as many as the answer in the file has.
        seed: Prompt number k of a seed is the same whoever draws it.
        first: The number of the first prompt.
        concurrency: Requests in flight.
        max_model_len: The server's context, where it is known.

    Raises:
        CheckError: `NoTokenize`, or as the requests raise.
        SpecError: `TooFewConversations`, `BadData`, `DataUnreadable`.
    """
    order = list(range(len(file)))
    random.Random(seed).shuffle(order)  # noqa: S311 - no secret
    counter = Counter(client, concurrency)
    most = min(MOST_TOTAL, max_model_len or MOST_TOTAL)
    found: list[Prompt] = []
    wanted = first + count
    step = max(16, 2 * concurrency)
    for start in range(0, len(order), step):
        if len(found) >= wanted:
            break
        drawn = [file.read(index) for index in order[start : start + step]]
        sized = await together(_sized(counter, each, output_tokens) for each in drawn)
        found += [prompt for prompt in sized if prompt is not None and _fits(prompt, most)]
        await asyncio.sleep(0)
    if len(found) < wanted:
        raise SpecError(
            "TooFewConversations",
            f"--data {file.path}: {len(found)} of its {len(file)} conversations fit "
            f"({LEAST_TOKENS} to {MOST_INPUT} tokens in, {most} in and out), {wanted} are wanted: "
            "lower --requests, or take a larger file",
        )
    return found[first:wanted]


async def _sized(
    counter: Counter, conversation: Conversation, output_tokens: int | None
) -> Prompt | None:
    """A conversation with its lengths; None where they are out of bounds without counting."""
    prompt, answer = conversation.prompt, conversation.answer
    if not prompt or len(prompt) > MOST_INPUT * CHARACTERS_A_TOKEN:
        return None
    if output_tokens is not None:
        return Prompt(prompt, await counter.length(prompt), output_tokens)
    if len(answer) < LEAST_TOKENS or len(answer) > MOST_TOTAL * CHARACTERS_A_TOKEN:
        return None
    size = await counter.length(prompt)
    if not LEAST_TOKENS <= size <= MOST_INPUT:
        return None
    generated = await counter.generated(answer)
    return Prompt(prompt, size, generated) if generated >= LEAST_TOKENS else None


def _fits(prompt: Prompt, most: int) -> bool:
    size = prompt.input_tokens
    return LEAST_TOKENS <= size <= MOST_INPUT and size + prompt.output_tokens <= most
