"""10. More requests at once than the server computes at once: all are answered, and it lives."""

from __future__ import annotations

import time

from ascendllm.checks.smoke.context import Context
from ascendllm.checks.smoke.findings import WrongError
from ascendllm.checks.together import together

__all__ = ["UNKNOWN", "burst"]

UNKNOWN = 16
"""max_num_seqs where it is not known."""

MOST = 256


async def burst(context: Context) -> str:
    """max_num_seqs + 1 requests side by side."""
    number = min(context.max_num_seqs or UNKNOWN, MOST) + 1
    begun = time.monotonic()
    answers = await together(
        context.complete(prompt=f"Number {each} is", ignore_eos=True) for each in range(number)
    )
    seconds = time.monotonic() - begun
    counts = [answer.get("usage") for answer in answers]
    short = [
        count
        for count in counts
        if not isinstance(count, dict) or count.get("completion_tokens") != 8
    ]
    if short:
        raise WrongError(f"{number} answers of 8 tokens", f"{len(short)} others: {short[0]!r:.80}")
    health = await context.http.get("/health")
    if health.status != 200:
        raise WrongError("HTTP 200 from /health behind the burst", f"HTTP {health.status}")
    context.http.spent = seconds
    return f"{number} requests at once"
