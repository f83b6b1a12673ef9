"""8. The server's own counters move by exactly what was sent to it.

That catches an address that leads elsewhere. They are compared on one kept connection. Where other
clients are served meanwhile, or several servers answer in turn, there is nothing to compare.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Mapping

from ascendllm.checks.smoke.context import COMPLETIONS, PROMPT, Context
from ascendllm.checks.smoke.findings import NotApplicableError, WrongError

__all__ = ["counters", "idle"]

FINISHED = "vllm:request_success_total"
GENERATED = "vllm:generation_tokens_total"
RUNNING = "vllm:num_requests_running"
STARTED = "process_start_time_seconds"
REQUESTS = 3
TOKENS = 8
SETTLE_SECONDS = 10.0
_LINE = re.compile(r"^(\w[\w:]*)(?:\{[^\n]*\})? ([0-9.eE+-]+)$", re.MULTILINE)


async def counters(context: Context) -> None:
    """Finished requests and generated tokens, before and after three answers."""
    before = await _read(context, kept=True)
    for _ in range(REQUESTS):
        answer = await context.http.post(
            COMPLETIONS,
            {
                "model": context.http.endpoint.model,
                "prompt": PROMPT,
                "max_tokens": TOKENS,
                "temperature": 0,
                "ignore_eos": True,
            },
            kept=True,
        )
        if answer.status != 200:
            raise WrongError("HTTP 200", f"HTTP {answer.status}")
    wanted = (REQUESTS, REQUESTS * TOKENS)
    ends = time.monotonic() + SETTLE_SECONDS
    while True:
        after = await _read(context, kept=True)
        if after.get(STARTED) != before.get(STARTED):
            raise NotApplicableError("several servers answer in turn on this address")
        grown = after[FINISHED] - before[FINISHED], after[GENERATED] - before[GENERATED]
        if grown == wanted:
            return
        if grown[0] > REQUESTS or grown[1] > wanted[1]:
            raise NotApplicableError(
                f"other clients are served: {grown[0]:g} requests were finished, {REQUESTS} ours"
            )
        if time.monotonic() > ends:
            raise WrongError(
                f"{wanted[0]} finished requests and {wanted[1]} generated tokens more",
                f"{grown[0]:g} and {grown[1]:g}: another server is behind this address",
            )
        await asyncio.sleep(0.1)


async def idle(context: Context) -> None:
    """Nothing goes on running when nothing is asked."""
    ends = time.monotonic() + SETTLE_SECONDS
    while (running := (await _read(context))[RUNNING]) > 0:
        if time.monotonic() > ends:
            raise WrongError("0 running requests", f"{running:g}: other clients, or a stuck one")
        await asyncio.sleep(0.1)


async def _read(context: Context, *, kept: bool = False) -> Mapping[str, float]:
    """The sums over all engines by name.

    Raises:
        NotApplicableError: The server has no /metrics, or none of vLLM's.
    """
    answer = await context.http.get("/metrics", kept=kept)
    if answer.status != 200:
        raise NotApplicableError(f"no /metrics (HTTP {answer.status})")
    sums: defaultdict[str, float] = defaultdict(float)
    for name, value in _LINE.findall(answer.body.decode("utf-8", "replace")):
        if name in (FINISHED, GENERATED, RUNNING, STARTED):
            try:
                sums[name] += float(value)
            except ValueError:
                raise WrongError(f"a number of {name}", value[:80]) from None
    if missing := [name for name in (FINISHED, GENERATED, RUNNING) if name not in sums]:
        raise NotApplicableError(f"/metrics has no {missing[0]}")
    return sums
