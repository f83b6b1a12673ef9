"""One load: its prompts, its share of the pods' whole, its split over processes."""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from ascendllm.checks.bench.load.frames import Plan, Request
from ascendllm.checks.bench.load.process import automatic
from ascendllm.checks.bench.load.wire import Address
from ascendllm.checks.bench.options import MOST_IN_FLIGHT, BenchOptions
from ascendllm.checks.bench.schedule import due_times, shares

__all__ = ["Share", "long_context_plan", "plans", "share_of"]

LEAST_CONNECTIONS = 16
CONNECTIONS_SECONDS = 4.0
"""An open loop starts with as many connections as requests come in this time."""


@dataclass(frozen=True, slots=True)
class Share:
    """What this pod does of a load.

    Args:
        concurrency: Its requests in flight; None in an open loop.
        first: The number of its first prompt in the run.
        warmups: Prompts for warming up; they come first.
        requests: Prompts that are measured.
        due: Of an open loop, when each of its requests is due.
    """

    concurrency: int | None
    first: int
    warmups: int
    requests: int
    due: tuple[float, ...] | None


def share_of(options: BenchOptions, point: int) -> Share:
    """This pod's part of a load; the parts of all pods make the whole.

    Args:
        options: With the seed that all pods share.
        point: The load's number, from 0.
    """
    pods, pod = options.shards, options.shard
    begins = point * (options.requests + options.warmup)
    warmups = shares(options.warmup, [1] * pods)
    if options.open_loop:
        rng = random.Random(f"{options.seed}-gaps-{point}")  # noqa: S311 - no secret
        rate = options.request_rate or 0.0
        due = due_times(options.requests, rate, options.burstiness, options.ramp_up, rng)
        requests = [len(due[i::pods]) for i in range(pods)]
        concurrency, own = None, tuple(due[pod::pods])
    else:
        streams = shares(options.points[point], [1] * pods)
        requests = shares(options.requests, streams)
        concurrency, own = streams[pod], None
    first = begins + sum(requests[:pod]) + sum(warmups[:pod])
    return Share(concurrency, first, warmups[pod], requests[pod], own)


def plans(
    options: BenchOptions, share: Share, prompts: Sequence[Request], addresses: Sequence[Address]
) -> list[Plan]:
    """The share, split over processes.

    Args:
        options: The load.
        share: This pod's.
        prompts: `share.warmups + share.requests` of them.
        addresses: The server's.
    """
    rate = _peak_rate(options) / options.shards if share.due is not None else None
    count = options.processes or automatic(share.concurrency, rate)
    count = min(count, share.concurrency or share.requests)
    weights = shares(share.concurrency, [1] * count) if share.concurrency else [1] * count
    warmups = _parts(prompts[: share.warmups], shares(share.warmups, weights))
    if share.due is None:
        dues: list[tuple[float, ...] | None] = [None] * count
        requests = _parts(prompts[share.warmups :], shares(share.requests, weights))
    else:
        dues = [share.due[i::count] for i in range(count)]
        requests = _parts(prompts[share.warmups :], [len(due or ()) for due in dues])
    most = MOST_IN_FLIGHT // count
    ready = max(LEAST_CONNECTIONS, math.ceil(CONNECTIONS_SECONDS * (rate or 0.0) / count))
    salt = str(uuid.uuid4())
    return [
        Plan(
            endpoint=options.endpoint,
            addresses=_turned(addresses, number),
            requests=requests[number],
            warmups=warmups[number],
            salt=salt,
            concurrency=weights[number] if share.concurrency else None,
            due=dues[number],
            most_in_flight=most,
            connections=min(ready, most, len(requests[number])),
            request_timeout=options.request_timeout,
            silence=options.silence,
            details=options.details,
        )
        for number in range(count)
    ]


def long_context_plan(options: BenchOptions, prompt: Request, addresses: Sequence[Address]) -> Plan:
    """A single request."""
    alone = Share(1, 0, 0, 1, None)
    return plans(options, alone, [prompt], addresses)[0]


def _peak_rate(options: BenchOptions) -> float:
    ramp = options.ramp_up
    return max(ramp.start_rps, ramp.end_rps) if ramp else options.request_rate or 0.0


def _parts(prompts: Sequence[Request], sizes: Sequence[int]) -> list[tuple[Request, ...]]:
    parts: list[tuple[Request, ...]] = []
    begin = 0
    for size in sizes:
        parts.append(tuple(prompts[begin : begin + size]))
        begin += size
    return parts


def _turned(addresses: Sequence[Address], by: int) -> tuple[Address, ...]:
    start = by % len(addresses)
    return (*addresses[start:], *addresses[:start])
