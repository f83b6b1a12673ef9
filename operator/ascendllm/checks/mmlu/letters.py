"""The token ids of the four letters, as the server's own tokenizer has them.

After `Answer:` the right token is " A" with its space in GPT-like vocabularies, and something else
elsewhere. No tokenizer is needed here: for a prompt P of each subject, /tokenize of P must be a
prefix of /tokenize of P + " A", and exactly one id must follow. Anything else would measure
another thing than the protocol, so it is an Error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from ascendllm.checks.client import Client
from ascendllm.checks.mmlu.data import LETTERS
from ascendllm.checks.together import together
from ascendllm.exceptions import CheckError

__all__ = ["find_letters", "letter_id"]


async def find_letters(
    client: Client, prompts: Mapping[str, str], gate: asyncio.Semaphore
) -> tuple[tuple[int, ...], Mapping[str, int]]:
    """The four token ids, A to D, and how many tokens each prompt has.

    Args:
        client: The server.
        prompts: One whole prompt of each subject that is asked.
        gate: Bounds the requests in flight.

    Raises:
        CheckError: `LetterTokens`, naming the subject; or as the requests raise.
    """

    async def ids(text: str) -> list[int]:
        async with gate:
            return await client.token_ids({"prompt": text})

    async def of_subject(subject: str, prompt: str) -> tuple[tuple[int, ...], int]:
        texts = [prompt, *(f"{prompt} {letter}" for letter in LETTERS)]
        base, *longer = await together(ids(text) for text in texts)
        four = tuple(
            letter_id(subject, letter, base, extended)
            for letter, extended in zip(LETTERS, longer, strict=True)
        )
        return four, len(base)

    answers = await together(of_subject(subject, prompt) for subject, prompt in prompts.items())
    found = {subject: four for subject, (four, _) in zip(prompts, answers, strict=True)}
    first_subject, first = next(iter(found.items()))
    for subject, four in found.items():
        if four != first:
            raise _no_letters(subject, f"the ids {four} differ from {first} in {first_subject}")
    if len(set(first)) != len(LETTERS):
        raise _no_letters(first_subject, f"the ids {first} are not four different ones")
    return first, {subject: size for subject, (_, size) in zip(prompts, answers, strict=True)}


def letter_id(subject: str, letter: str, base: Sequence[int], extended: Sequence[int]) -> int:
    """The one id by which `extended` is longer than `base`.

    Raises:
        CheckError: `LetterTokens`.
    """
    if len(extended) != len(base) + 1 or list(extended[: len(base)]) != list(base):
        raise _no_letters(
            subject,
            f'" {letter}" after the prompt is not one token more ({len(extended)} '
            f"tokens against {len(base)})",
        )
    return extended[-1]


def _no_letters(subject: str, why: str) -> CheckError:
    return CheckError(
        "LetterTokens",
        f"{subject}: {why}: with this tokenizer one request a question can't measure the letters",
    )
