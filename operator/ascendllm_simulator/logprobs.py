"""Synthetic log-probabilities, consistent with the answers, in vLLM's two formats.

Source of the formats: vllm 0.18.0, `completion/serving.py` (_create_completion_logprobs) and
`chat_completion/serving.py` (_create_chat_logprobs): the chosen token comes first, then the
most likely ones in descending order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ascendllm_simulator import tokenizer
from ascendllm_simulator.continuation import own_answer
from ascendllm_simulator.generation import WORDS, Plan, Prompt, letter_choice, letter_tokens
from ascendllm_simulator.mmlu import LETTERS, MmluAnswerer

__all__ = [
    "CLAMPED",
    "Step",
    "chat_form",
    "completion_form",
    "prompt_form",
    "prompt_steps",
    "steps",
]

Step = dict[int, float]
"""The logprobs of one position by token: the chosen token first, the others in descending order."""

CLAMPED = -9999.0
"""The value that vLLM returns instead of minus infinity."""

_MOST = 1000


def steps(plan: Plan, start: int, stop: int, number: int) -> list[Step]:
    """The logprobs of an answer's tokens.

    Args:
        plan: The answer.
        start: The first token.
        stop: The index after the last token.
        number: How many of the most likely tokens to include.
    """
    out = []
    for position in range(start, stop):
        likely = (
            _letters(plan.letter, plan.seed)
            if position == 0 and plan.letter
            else _likely(plan.wanted[position], plan.seed + position * 2654435761)
        )
        if position == 0 and plan.first is not None:
            likely = _masked(likely, plan.first)
        out.append(_step(plan.ids[position], likely, number))
    return out


def prompt_steps(prompt: Prompt, answerer: MmluAnswerer, number: int) -> list[Step | None]:
    """The logprobs of a prompt's own tokens; the first has none.

    If the prompt is an MMLU question followed by a letter, as lm-eval scores them, the letter has
    the logprob that it would have in an answer. If the prompt ends with an answer of this
    simulator, the answer's tokens have the logprobs that they had during generation.
    """
    out: list[Step | None] = [None]
    for position in range(1, len(prompt.ids)):
        token = prompt.ids[position]
        mixed = token * 2654435761 + prompt.ids[position - 1] * 40503
        likely = _likely(WORDS[mixed % len(WORDS)] if mixed & 1 else token, mixed)
        out.append(_step(token, likely, number))
    if len(prompt.ids) > 1 and prompt.text[-2:].strip() in LETTERS and prompt.text.strip():
        before = Prompt(prompt.ids[:-1], tokenizer.decode(prompt.ids[:-1], skip_special=True))
        letter = letter_choice(before, answerer)
        if letter is not None:
            out[-1] = _step(prompt.ids[-1], _letters(letter, len(before.text)), number)
    if (own := own_answer(prompt, answerer)) is not None:
        start, plan = own
        out[start:] = steps(plan, 0, len(plan.ids), number)
    return out


def _step(chosen: int, likely: Sequence[tuple[int, float]], number: int) -> Step:
    step = {chosen: next((value for token, value in likely if token == chosen), -12.0)}
    for token, value in likely[: min(number, _MOST)]:
        step.setdefault(token, value)
    return step


def _masked(
    likely: Sequence[tuple[int, float]], allowed: frozenset[int]
) -> list[tuple[int, float]]:
    """Apply a grammar: vLLM masks the logits before it computes log-probabilities.

    The allowed tokens are renormalised. The others have minus infinity, returned as -9999.
    """
    known = dict(likely)
    left = {token: known.get(token, -11.0) for token in allowed}
    total = math.log(sum(math.exp(value) for value in left.values()))
    kept = sorted(((t, round(v - total, 6)) for t, v in left.items()), key=lambda item: -item[1])
    return kept + [(token, CLAMPED) for token in WORDS if token not in allowed]


def _likely(first: int, mix: int) -> list[tuple[int, float]]:
    """The most likely token and up to 24 others, descending; at most 1 in total."""
    head = -0.05 - (mix >> 7) % 900 / 1000
    out = [(first, round(head, 6))]
    value = head - 2.2
    start = (mix >> 17) % len(WORDS)
    for offset in range(24):
        token = WORDS[(start + offset) % len(WORDS)]
        if token != first:
            value -= 0.35
            out.append((token, round(value, 6)))
    return out


def _letters(letter: tuple[str, str], mix: int) -> list[tuple[int, float]]:
    """The four letters, first the answer, then less likely tokens."""
    answer, space = letter
    ids = dict(zip(LETTERS, letter_tokens(space), strict=True))
    others = [other for other in LETTERS if other != answer]
    turn = mix % 3
    order = [answer, *others[turn:], *others[:turn]]
    head = -0.25 - mix % 400 / 1000
    values = (head, head - 2.0, head - 2.75, head - 3.5)
    out = [(ids[name], round(value, 6)) for name, value in zip(order, values, strict=True)]
    value = -8.0
    for token in WORDS[:20]:
        value -= 0.1
        out.append((token, round(value, 6)))
    return out


def completion_form(
    ids: Sequence[int],
    found: Sequence[Step | None],
    number: int,
    offset: int,
    as_ids: bool,
) -> dict[str, object]:
    """The `logprobs` of a completion's choice; `offset` is the position of its text."""
    tokens: list[str] = []
    values: list[float | None] = []
    tops: list[dict[str, float] | None] = []
    offsets: list[int] = []
    for token, step in zip(ids, found, strict=True):
        name = _name(token, as_ids)
        tokens.append(name)
        offsets.append(offset)
        offset += len(name)
        if step is None:
            values.append(None)
            tops.append(None)
            continue
        values.append(step[token])
        tops.append({_name(t, as_ids): v for t, v in list(step.items())[: number + 1]})
    return {
        "text_offset": offsets,
        "token_logprobs": values,
        "tokens": tokens,
        "top_logprobs": tops,
    }


def chat_form(
    ids: Sequence[int], found: Sequence[Step], number: int, as_ids: bool
) -> dict[str, object]:
    """The `logprobs` of a chat completion's choice."""
    content = []
    for token, step in zip(ids, found, strict=True):
        tops = [_entry(t, v, as_ids) for t, v in list(step.items())[:number]]
        content.append({**_entry(token, step[token], as_ids), "top_logprobs": tops})
    return {"content": content}


def prompt_form(found: Sequence[Step | None]) -> list[dict[str, object] | None]:
    """The `prompt_logprobs` of a response: by token, with rank and text."""
    out: list[dict[str, object] | None] = []
    for step in found:
        if step is None:
            out.append(None)
            continue
        ranks = {t: n for n, (t, _) in enumerate(sorted(step.items(), key=lambda i: -i[1]), 1)}
        out.append(
            {
                str(token): {
                    "logprob": value,
                    "rank": ranks[token],
                    "decoded_token": tokenizer.decode((token,)),
                }
                for token, value in step.items()
            }
        )
    return out


def _name(token: int, as_ids: bool) -> str:
    return f"token_id:{token}" if as_ids else tokenizer.decode((token,))


def _entry(token: int, value: float, as_ids: bool) -> dict[str, object]:
    name = _name(token, as_ids)
    return {"token": name, "logprob": value, "bytes": list(tokenizer.decode((token,)).encode())}
