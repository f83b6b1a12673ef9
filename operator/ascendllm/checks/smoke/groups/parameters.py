"""The request parameters: each is taken where it is sound and refused where it is not.

Each value that is refused is one that vLLM 0.18.0's SamplingParams refuses (`_verify_args`).
"""

from __future__ import annotations

from typing import Any

from ascendllm.checks.endpoint import error_detail
from ascendllm.checks.smoke.context import Choice, Context
from ascendllm.checks.smoke.findings import NotApplicableError, WrongError, shown

__all__ = [
    "beam_search",
    "frequency_penalty",
    "ignore_eos",
    "min_tokens",
    "n",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "seed_repeats",
    "stop",
    "temperature",
    "top_k",
    "top_k_of_one",
    "top_p",
]

TOKENS = 8


async def temperature(context: Context) -> None:
    """0 and above; not below."""
    await _taken(context, temperature=0)
    await _taken(context, temperature=1.5)
    await context.refused(temperature=-1, saying="temperature")


async def top_k(context: Context) -> None:
    """-1 and 0 (off) and above; not below."""
    for value in (-1, 0, 5):
        await _taken(context, top_k=value, temperature=0.8)
    await context.refused(top_k=-2, saying="top_k")


async def top_p(context: Context) -> None:
    """Above 0, to 1."""
    await _taken(context, top_p=0.9, temperature=0.8)
    await _taken(context, top_p=1, temperature=0.8)
    await context.refused(top_p=0, saying="top_p")


async def presence_penalty(context: Context) -> None:
    """-2 to 2."""
    await _taken(context, presence_penalty=2)
    await _taken(context, presence_penalty=-2)
    await context.refused(presence_penalty=2.1, saying="presence_penalty")


async def frequency_penalty(context: Context) -> None:
    """-2 to 2."""
    await _taken(context, frequency_penalty=2)
    await _taken(context, frequency_penalty=-2)
    await context.refused(frequency_penalty=-2.1, saying="frequency_penalty")


async def repetition_penalty(context: Context) -> None:
    """Above 0."""
    await _taken(context, repetition_penalty=1.2)
    await context.refused(repetition_penalty=0, saying="repetition_penalty")


async def n(context: Context) -> None:
    """So many choices."""
    await context.choices(3, n=3, temperature=0.8, top_k=50)
    await context.refused(n=0, saying="n must be")


async def stop(context: Context) -> None:
    """A text or a list of texts; kept where that is asked for; none may be empty."""
    text = (await _taken(context)).text
    letters = [c for c in text if c.isprintable() and c != "\ufffd" and not c.isspace()]
    if letters:
        wanted = {"stop": letters[0], "include_stop_str_in_output": True, "ignore_eos": True}
        choice = await context.choice(max_tokens=TOKENS, **wanted)
        if choice.finish_reason == "stop" and letters[0] not in choice.text:
            raise WrongError(f"a text with {letters[0]!r}", shown(choice.text))
    await context.choice(stop=["\n\n\n", "</never>"])
    await context.refused(stop=["a", ""], saying="stop")


async def ignore_eos(context: Context) -> None:
    """With it the answer has its full length; without it, at most that."""
    await _taken(context, ignore_eos=True)
    choice = await context.choice(ignore_eos=False)
    if choice.finish_reason not in ("stop", "length"):
        raise WrongError("finish_reason stop or length", shown(choice.finish_reason))


async def min_tokens(context: Context) -> None:
    """The answer is at least so long; not longer than max_tokens."""
    body = await context.complete(min_tokens=TOKENS, max_tokens=TOKENS, temperature=0.8)
    usage = body.get("usage")
    found = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if found != TOKENS:
        raise WrongError(f"{TOKENS} tokens", f"{found}")
    await context.refused(min_tokens=TOKENS + 1, max_tokens=TOKENS, saying="min_tokens")


async def seed(context: Context) -> None:
    """Any 64-bit number."""
    await _taken(context, seed=2**63 - 1, temperature=0.8)
    await context.refused(seed=2**63, temperature=0.8)


async def seed_repeats(context: Context) -> None:
    """The same seed gives the same text."""
    texts = [
        (await _taken(context, seed=1234, temperature=1, cache_salt="smoke")).text for _ in range(2)
    ]
    if texts[0] != texts[1]:
        raise WrongError(f"{texts[0]!r:.100} twice", shown(texts[1]))


async def top_k_of_one(context: Context) -> None:
    """The likeliest token alone is the greedy answer."""
    greedy = (await _taken(context)).text
    text = (await _taken(context, top_k=1, temperature=1)).text
    if text != greedy:
        raise WrongError(f"the greedy text {greedy!r:.100}", shown(text))


async def beam_search(context: Context) -> str:
    """`use_beam_search` with `length_penalty`: as many beams as `n` says.

    vLLM 0.3's `best_of` is gone and ignored; the width is `n`. Not with a stream. A version that
    has no beam search at all refuses it by its name.
    """
    wanted: dict[str, Any] = {
        "use_beam_search": True,
        "n": 2,
        "best_of": 2,
        "length_penalty": 2,
        "top_p": 1,
        "top_k": -1,
        "ignore_eos": True,
    }
    answer = await context.ask(**wanted)
    if answer.status == 400 and "beam" in (detail := error_detail(answer.body)):
        raise NotApplicableError(f"refused: {detail[:120]}")
    choices = await context.choices(2, **wanted)
    if not all(choice.text for choice in choices):
        raise WrongError("two beams with text", shown([choice.text for choice in choices]))
    await context.refused(**wanted, stream=True, saying="beam")
    return "2 beams"


async def _taken(context: Context, **fields: object) -> Choice:
    """A sound request: `TOKENS` tokens of text.

    Raises:
        WrongError: It is refused, or answered otherwise.
    """
    choice = await context.choice(**({"ignore_eos": True, "max_tokens": TOKENS} | fields))
    if choice.finish_reason != "length":
        told = ", ".join(f"{key}: {value}" for key, value in fields.items())
        raise WrongError(f"finish_reason length ({told})", shown(choice.finish_reason))
    return choice
