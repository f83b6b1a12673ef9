"""The token ids of the four answers, as the server's own tokenizer has them.

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
    client: Client, prompts: Mapping[str, str], concurrency: int, max_model_len: int | None
) -> Mapping[int, str]:
    """The letter of each of the four token ids.

    Args:
        client: The server.
        prompts: One whole prompt of each subject that is asked.
        concurrency: Requests in flight.
        max_model_len: The server's longest context, where it is known.

    Raises:
        CheckError: `PromptTooLong` or `LetterTokens`, naming the subject; or as the requests raise.
    """
    gate = asyncio.Semaphore(concurrency)

    async def ids(text: str) -> list[int]:
        async with gate:
            return await client.tokenize(text)

    async def of_subject(subject: str, prompt: str) -> tuple[int, ...]:
        texts = [prompt, *(f"{prompt} {letter}" for letter in LETTERS)]
        base, *longer = await together(ids(text) for text in texts)
        if max_model_len is not None and len(base) >= max_model_len:
            raise CheckError(
                "PromptTooLong",
                f"{subject}: a prompt of {len(base)} tokens and one for the answer don't fit the "
                f"server's {max_model_len} (maxModelLen); raise it: no shot is dropped in silence",
            )
        return tuple(
            letter_id(subject, letter, base, extended)
            for letter, extended in zip(LETTERS, longer, strict=True)
        )

    fours = await together(of_subject(subject, prompt) for subject, prompt in prompts.items())
    found = dict(zip(prompts, fours, strict=True))
    first_subject, first = next(iter(found.items()))
    for subject, four in found.items():
        if four != first:
            raise _no_letters(subject, f"the ids {four} differ from {first} in {first_subject}")
    if len(set(first)) != len(LETTERS):
        raise _no_letters(first_subject, f"the ids {first} are not four different ones")
    return dict(zip(first, LETTERS, strict=True))


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
