"""Whether the server had other clients while it was measured, by its own counters.

Every replica's /metrics (vLLM 0.18.0, v1/metrics/loggers.py) is read before and after: requests
that were finished and aren't ours, or that run when ours don't, are another's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from ascendllm.checks.bench.load.wire import Address
from ascendllm.checks.client import read_limited
from ascendllm.checks.endpoint import Endpoint
from ascendllm.exceptions import CheckError

__all__ = ["Counters", "Traffic", "read_counters", "settled", "traffic"]

READ_SECONDS = 10.0
SETTLE_SECONDS = 3.0
"""vLLM counts a request a moment after it has answered it."""

SETTLE_STEP = 0.05
_SAMPLE = re.compile(
    r"vllm:(request_success_total|num_requests_running|num_requests_waiting)"
    r"(?:\{[^{}]*\})?\s+([0-9.eE+-]+)(?:\s+\d+)?"
)


@dataclass(frozen=True, slots=True)
class Counters:
    """What the replicas count, summed.

    Args:
        finished: Requests ever finished.
        present: Requests that run or wait.
    """

    finished: int
    present: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the counters say of a run.

    Args:
        others: Requests that weren't ours; None where that can't be told.
        note: Why it can't be told, for people; empty where it can.
    """

    others: int | None
    note: str = ""


async def read_counters(
    session: aiohttp.ClientSession, endpoint: Endpoint, addresses: Sequence[Address]
) -> Counters | None:
    """The sum over all addresses; None where one of them has no such counters."""
    found = await asyncio.gather(*(_read(session, endpoint, each) for each in addresses))
    counters = [each for each in found if each is not None]
    if len(counters) != len(found):
        return None
    return Counters(sum(c.finished for c in counters), sum(c.present for c in counters))


async def settled(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    addresses: Sequence[Address],
    finished: int,
) -> Counters | None:
    """The counters once all of `finished` are counted and nothing runs, or after `SETTLE_SECONDS`.

    The server counts our last requests only a moment after their end.
    """
    deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while True:
        counters = await read_counters(session, endpoint, addresses)
        done = counters is None or (counters.finished >= finished and not counters.present)
        if done or asyncio.get_running_loop().time() >= deadline:
            return counters
        await asyncio.sleep(SETTLE_STEP)


def traffic(before: Counters | None, after: Counters | None, ours: int) -> Traffic:
    """What two readings say.

    Args:
        before: Before our first request of the load.
        after: After our last.
        ours: Requests that we sent between them.
    """
    if before is None or after is None:
        return Traffic(
            None, "the server shows no counters (/metrics), so other clients aren't ruled out"
        )
    others = after.finished - before.finished - ours
    if others < 0:
        return Traffic(
            None,
            f"the server's counters miss {-others} of our {ours} requests (replicas behind one "
            "address, or a restart), so other clients aren't ruled out",
        )
    # What was present before is finished now, or is still present; were it neither, it was there.
    return Traffic(max(others + after.present, before.present))


async def _read(
    session: aiohttp.ClientSession, endpoint: Endpoint, address: Address
) -> Counters | None:
    parts = urlsplit(endpoint.root)
    host = f"[{address.host}]" if ":" in address.host else address.host
    url = f"{parts.scheme}://{host}:{address.port}{parts.path}/metrics"
    try:
        async with (
            asyncio.timeout(READ_SECONDS),
            session.get(
                url,
                headers={**endpoint.headers, "Host": parts.netloc},
                allow_redirects=False,
                server_hostname=parts.hostname if parts.scheme == "https" else None,
            ) as answer,
        ):
            if answer.status != 200:
                return None
            text = (await read_limited(answer.content.read)).decode("utf-8", "replace")
    except (aiohttp.ClientError, TimeoutError, OSError, CheckError):
        return None
    return _counters(text)


def _counters(text: str) -> Counters | None:
    sums = {"request_success_total": 0.0, "num_requests_running": 0.0, "num_requests_waiting": 0.0}
    seen: set[str] = set()
    for line in text.splitlines():
        if match := _SAMPLE.fullmatch(line.strip()):
            try:
                sums[match[1]] += float(match[2])
            except ValueError:
                return None
            seen.add(match[1])
    if seen != set(sums):
        return None
    present = sums["num_requests_running"] + sums["num_requests_waiting"]
    return Counters(round(sums["request_success_total"]), round(present))
