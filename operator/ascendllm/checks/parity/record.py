"""Record a reference: greedy answers, scored in a second pass, and plain text, scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ascendllm import __version__
from ascendllm.checks.judging.parity import noise_of
from ascendllm.checks.parity.compare import figures_of, measure
from ascendllm.checks.parity.plain_text import windows
from ascendllm.checks.parity.reference import LONGEST, TOP, PromptRecord, Reference, TextRecord
from ascendllm.checks.parity.source import Prompt, Source
from ascendllm.checks.result import now
from ascendllm.exceptions import CheckError, SpecError

__all__ = ["LEAST_AGREEMENT", "Recording", "record"]

LEAST_AGREEMENT = 0.9
"""Share of a source's own greedy tokens that it must rank first when it scores them; below it the
source samples, masks or penalizes, and is no reference."""

LEAST_ROOM = 16


@dataclass(frozen=True, slots=True)
class Recording:
    """What is recorded.

    Args:
        prompts: At least one.
        text: Plain text for the perplexity; empty for none.
        max_tokens: Of each answer.
        control: Whether a second run is compared with the first.
        meta: model, engine, dtype, device.
        longest: The most tokens of a sequence.
    """

    prompts: Sequence[Prompt]
    text: str
    max_tokens: int
    control: bool
    meta: Mapping[str, str]
    longest: int = LONGEST


async def record(
    source: Source, wanted: Recording, tell: Callable[[str, int, int], None]
) -> Reference:
    """Record a reference.

    Args:
        source: The server, or the model.
        wanted: What is recorded.
        tell: Called with a stage, what is done of it, and all of it.

    Raises:
        CheckError: An answer could not be had, is not sound, or `UnsoundSource`.
        SpecError: `PromptTooLong`.
    """
    prompts = []
    for number, prompt in enumerate(wanted.prompts):
        prompts.append(await _answer(source, prompt, wanted))
        tell("prompts", number + 1, len(wanted.prompts))
    _require_sound(prompts)
    parts = windows(wanted.text) if wanted.text else []
    texts = []
    for number, part in enumerate(parts):
        texts.append(await _window(source, f"text-{number + 1}", part, wanted.longest))
        tell("text", number + 1, len(parts))
    meta = dict(wanted.meta) | {
        "maxTokens": wanted.max_tokens,
        "recordedAt": now(),
        "harness": __version__,
    }
    found = Reference(meta, tuple(prompts), tuple(texts), None)
    return await _with_control(source, found, tell) if wanted.control else found


async def _answer(source: Source, prompt: Prompt, wanted: Recording) -> PromptRecord:
    ids = await source.prompt_ids(prompt)
    room = wanted.longest - len(ids)
    if not ids or room < max(LEAST_ROOM, wanted.max_tokens):
        raise SpecError(
            "PromptTooLong",
            f"prompt {prompt.id!r}: {len(ids)} tokens and {wanted.max_tokens} to be written, of "
            f"{wanted.longest} at most; shorten it, or lower --max-tokens",
        )
    alone = ids if prompt.messages is None else await source.tokenize(prompt.text)
    written = await source.write(ids, wanted.max_tokens)
    scored = (await source.score([*ids, *written], TOP))[len(ids) - 1 :]
    return PromptRecord(
        prompt.id,
        prompt.text,
        tuple(alone),
        tuple(ids),
        tuple(written),
        tuple(token.logprob for token in scored),
        tuple(token.top for token in scored),
    )


async def _window(source: Source, name: str, part: str, longest: int) -> TextRecord:
    ids = (await source.tokenize(part))[:longest]
    if len(ids) < 2:
        raise SpecError("BadText", f"--text: {part[:80]!r} has {len(ids)} tokens; 2 are needed")
    scored = await source.score(ids, 0)
    return TextRecord(name, part, tuple(ids), tuple(token.logprob for token in scored))


def _require_sound(prompts: Sequence[PromptRecord]) -> None:
    tokens = sum(len(prompt.output_token_ids) for prompt in prompts)
    first = sum(
        prompt.gap(position) >= 0
        for prompt in prompts
        for position in range(len(prompt.output_token_ids))
    )
    if not tokens or first < LEAST_AGREEMENT * tokens:
        raise CheckError(
            "UnsoundSource",
            f"of {tokens} tokens that were written greedily only {first} are the likeliest when "
            "they are scored: the source samples, masks or penalizes, and is no reference",
        )


async def _with_control(
    source: Source, found: Reference, tell: Callable[[str, int, int], None]
) -> Reference:
    """A second run on the same source: its own noise, measured as the check measures."""
    done, total = 0, len(found.prompts) + len(found.texts)

    def next_one() -> None:
        nonlocal done
        done += 1
        tell("control", done, total)

    measured = await measure(source, found, 1, next_one)
    dtype = {"dtype": str(found.meta.get("dtype"))}
    # Twice: the noise that decides what a mismatch is comes from the differences themselves.
    noise = noise_of(figures_of(found, measured, 0.0) | dtype)
    return replace(found, control=figures_of(found, measured, noise) | dtype)
