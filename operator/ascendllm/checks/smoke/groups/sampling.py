"""5. Stop strings, several choices, log-probabilities, and their limits."""

from __future__ import annotations

from collections import Counter

from ascendllm.checks.result import is_number
from ascendllm.checks.smoke.context import Context
from ascendllm.checks.smoke.findings import NotApplicableError, WrongError, shown

__all__ = ["greedy_choices", "log_probabilities", "log_probability_limit", "several", "stop"]

BEYOND_ANY = 1_000_000
"""More log-probabilities than any server gives: 20 unless it was started with --max-logprobs."""


async def stop(context: Context) -> None:
    """A stop string ends the answer, is named, and is left out."""
    before = (await context.choice(max_tokens=24, ignore_eos=True)).text
    letters = Counter(c for c in before if c.isprintable() and c != "\ufffd" and not c.isspace())
    if not letters:
        raise NotApplicableError("the answer has no letters to stop at")
    stops = [letter for letter, _ in letters.most_common(4)]
    choice = await context.choice(max_tokens=24, ignore_eos=True, stop=stops)
    reason = choice.body.get("stop_reason")
    if choice.finish_reason != "stop" or reason not in stops:
        raise WrongError(
            f"finish_reason stop, stop_reason one of {stops}", f"{choice.finish_reason}, {reason!r}"
        )
    if str(reason) in choice.text:
        raise WrongError(f"a text without {reason!r}", shown(choice.text))


async def several(context: Context) -> None:
    """`n` choices are `n` answers."""
    await context.choices(2, n=2, temperature=0.8)


async def greedy_choices(context: Context) -> None:
    """Several greedy choices would be the same: refused."""
    await context.refused(n=2, saying="greedy")


async def log_probabilities(context: Context) -> None:
    """`logprobs: 5` gives the chosen token's and the five likeliest."""
    choice = await context.choice(logprobs=5, max_tokens=1, ignore_eos=True)
    held = choice.body.get("logprobs")
    parts = held if isinstance(held, dict) else {}
    tokens, values, top = (parts.get(k) for k in ("tokens", "token_logprobs", "top_logprobs"))
    if not all(isinstance(part, list) and len(part) == 1 for part in (tokens, values, top)):
        raise WrongError("tokens, token_logprobs and top_logprobs of one token", shown(held))
    likely = top[0] if isinstance(top, list) else None
    if not isinstance(likely, dict) or not 1 <= len(likely) <= 6:
        raise WrongError("1 to 6 top_logprobs", shown(likely))
    everything = [*likely.values(), *(values if isinstance(values, list) else ())]
    if not all(is_number(value) and -9998 < value <= 0.01 for value in everything):
        raise WrongError("log-probabilities of 0 or less", shown(likely))


async def log_probability_limit(context: Context) -> None:
    """More log-probabilities than the server gives are refused."""
    await context.refused(logprobs=BEYOND_ANY, saying="logprobs")
