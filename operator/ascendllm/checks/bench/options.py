"""What bench is asked to do, and what of it can't be done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ascendllm.checks.bench.measured import MOST_KEPT
from ascendllm.checks.bench.schedule import RampUp
from ascendllm.checks.data_source import Source
from ascendllm.checks.endpoint import Endpoint
from ascendllm.checks.retry import FIRST_CONTACT, RetryPolicy
from ascendllm.exceptions import SpecError

__all__ = ["MOST_IN_FLIGHT", "BenchOptions", "checked"]

MOST_IN_FLIGHT = 4096
"""Requests that one pod has in flight at the same time."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """The load, and what its figures are held against.

    Args:
        endpoint: The server.
        input_tokens: Of each random prompt, on the server's count.
        output_tokens: Of each answer (`ignore_eos`); None (sharegpt): as many as the file's has.
        concurrency: Requests in flight, in a closed loop.
        sweep: Several concurrencies, each a load of its own, instead of `concurrency`.
        requests: In all; of a sweep, for each of its points.
        request_rate: Requests a second: an open loop, in which no concurrency is a limit. None:
            a closed loop.
        burstiness: Of the rate's gaps, above 0; inf: constant.
        ramp_up: A rate that grows, instead of `request_rate`.
        warmup: Requests before each load that no figure counts.
        dataset: Which prompts.
        data: The file of sharegpt.
        prefix_tokens: What all random prompts begin with, before `input_tokens`.
        long_context: One more request that fills the server's context, reported by itself.
        goodput: `{ttftMs, tpotMs, e2elMs}`, any of them.
        thresholds: `{figure: {min, max}}`.
        compare_to: Figures to stand beside these.
        under_load: Measure though the server has other clients.
        npus: NPUs that serve, for the figure per NPU.
        seed: Of prompts and gaps.
        processes: Load processes; None: as many as the load needs and cores allow.
        shards: Pods that share the load.
        shard: Which of them this is, from 0.
        details: Whether the full report is wanted.
        request_timeout: Seconds for one whole answer.
        silence: Seconds between two reads of a stream.
        retry: For what precedes the load.
        first_contact: The same, for the first request.
    """

    endpoint: Endpoint
    input_tokens: int = 128
    output_tokens: int | None = 128
    concurrency: int = 4
    sweep: tuple[int, ...] = ()
    requests: int = 20
    request_rate: float | None = None
    burstiness: float = 1.0
    ramp_up: RampUp | None = None
    warmup: int = 0
    dataset: Literal["random", "sharegpt"] = "random"
    data: Source | None = None
    prefix_tokens: int = 0
    long_context: bool = False
    goodput: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    compare_to: Mapping[str, object] | None = None
    under_load: bool = False
    npus: int | None = None
    seed: int = 0
    processes: int | None = None
    shards: int = 1
    shard: int = 0
    details: bool = False
    request_timeout: float = 3600.0
    silence: float = 300.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    first_contact: RetryPolicy = FIRST_CONTACT

    @property
    def open_loop(self) -> bool:
        """Whether requests come at a rate."""
        return self.request_rate is not None or self.ramp_up is not None

    @property
    def points(self) -> tuple[int, ...]:
        """The concurrencies that are measured one after the other; an open loop's says nothing."""
        return self.sweep or (self.concurrency,)


def checked(options: BenchOptions) -> BenchOptions:
    """The options, if they can be done.

    Raises:
        SpecError: They ask for what can't be measured.
    """
    for wrong, reason, message in _rules(options):
        if wrong:
            raise SpecError(reason, message)
    return options


def _rules(options: BenchOptions) -> list[tuple[bool, str, str]]:
    """Each rule: whether it is broken, the reason, and the message."""
    most, least = max(options.points), min(options.points)
    rate = options.request_rate
    return [
        (
            not options.open_loop and options.requests < most,
            "TooFewRequests",
            f"--requests {options.requests} is less than the concurrency {most}, which would never "
            "be reached; ask for at least five times as many",
        ),
        (
            options.open_loop and bool(options.sweep),
            "SweepOfRate",
            "--sweep is of concurrencies, and a rate has none: give one of --sweep and a rate",
        ),
        (
            rate is not None and options.ramp_up is not None,
            "TwoRates",
            f"--request-rate {rate} and a ramp-up exclude each other: give one",
        ),
        (
            rate is not None and not (0 < rate < math.inf),
            "BadRate",
            f"--request-rate {rate}: a number above 0, or none for no limit",
        ),
        (
            not options.burstiness > 0,
            "BadBurstiness",
            f"--burstiness {options.burstiness}: a number above 0, or inf for constant gaps",
        ),
        (
            options.burstiness != 1 and not options.open_loop,
            "UnusedBurstiness",
            f"--burstiness {options.burstiness} is about a rate's gaps: give --request-rate, or "
            "leave it out",
        ),
        (
            bool(options.goodput) and options.requests > MOST_KEPT,
            "TooManyRequests",
            f"goodput is judged request by request, of at most {MOST_KEPT}: lower --requests "
            f"{options.requests}, or leave goodput out",
        ),
        (
            bool(options.goodput)
            and options.shards > 1
            and options.requests * len(options.points) > MOST_KEPT - options.shards,
            "TooManyRequests",
            f"goodput over shards is judged on at most {MOST_KEPT} requests of all points "
            "together: lower --requests, or leave goodput out",
        ),
        (
            options.shards > (options.requests if options.open_loop else least),
            "TooManyShards",
            f"--shards {options.shards}: each needs a request in flight of the concurrency {least}",
        ),
        (
            not 0 <= options.shard < options.shards,
            "BadShard",
            f"this is shard {options.shard} of {options.shards} (JOB_COMPLETION_INDEX)",
        ),
        (
            not options.open_loop and -(-most // options.shards) > MOST_IN_FLIGHT,
            "TooMuchConcurrency",
            f"a concurrency of {most} is more than {MOST_IN_FLIGHT} a pod: raise --shards",
        ),
        (
            options.dataset == "random" and options.output_tokens is None,
            "BadOutputTokens",
            "--output-tokens is needed with random prompts",
        ),
    ]
