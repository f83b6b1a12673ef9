"""Shots that are dropped because a prompt is longer than its protocol's window.

evaluate.py: `while crop(prompt) != prompt: k -= 1`. Only `original` has a window. Questions that
surely fit (their head's tokens and their bytes together) are not counted: a token has at least one
byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from ascendllm.checks.client import Client
from ascendllm.checks.mmlu.prompts import Prompts
from ascendllm.checks.together import together
from ascendllm.exceptions import CheckError

__all__ = ["shorten_to_window"]

MARGIN = 16
"""Tokens that a text may have more than its parts, where they meet."""


async def shorten_to_window(
    client: Client,
    prompts: Prompts,
    wanted: Mapping[str, Sequence[int]],
    gate: asyncio.Semaphore,
) -> None:
    """Tell `prompts` which of the wanted questions get fewer shots.

    Raises:
        CheckError: `PromptTooLong` where a question doesn't fit even without shots; or as
            `Client.token_ids` raises.
    """
    window = prompts.protocol.window
    if window is None:
        return

    async def size(text: str) -> int:
        async with gate:
            fields = {"prompt": text, "add_special_tokens": False}
            return len(await client.token_ids(fields))

    async def shorten(subject: str, index: int) -> None:
        for shots in range(prompts.shots, -1, -1):
            head = prompts.head(subject, shots)
            if await size(head.then(prompts.question(subject, index)).text) <= window:
                if shots < prompts.shots:
                    prompts.shorten(subject, index, shots)
                return
        raise CheckError(
            "PromptTooLong",
            f"{subject}, question {index + 1}: longer than {window} tokens even without shots: "
            f"{prompts.protocol.name} has no rule for it",
        )

    async def of_subject(subject: str, indices: Sequence[int]) -> None:
        head = prompts.head(subject, prompts.shots)
        longest = max(prompts.question(subject, index).size for index in indices)
        if head.size + longest <= window:
            return
        room = window - MARGIN - await size(head.text)
        doubtful = [i for i in indices if prompts.question(subject, i).size > room]
        await together(shorten(subject, index) for index in doubtful)

    await together(of_subject(subject, indices) for subject, indices in wanted.items())
