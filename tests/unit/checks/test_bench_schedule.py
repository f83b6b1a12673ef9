from __future__ import annotations

import math
import random
import statistics
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascendllm.checks.bench.load.frames import Plan, Request, pack, size_of, unpack
from ascendllm.checks.bench.load.wire import Address
from ascendllm.checks.bench.loads import Share, plans, share_of
from ascendllm.checks.bench.options import BenchOptions, checked
from ascendllm.checks.bench.schedule import RampUp, due_times, shares
from ascendllm.checks.endpoint import Endpoint
from ascendllm.exceptions import SpecError

ENDPOINT = Endpoint("http://x", "m", "key")
ADDRESSES = (Address(2, "127.0.0.1", 1), Address(2, "127.0.0.2", 1))


def gaps(due: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise([0.0, *due])]


@pytest.mark.parametrize("burstiness", [0.5, 1.0, 4.0])
def test_gamma_gaps_at_a_rate(burstiness: float) -> None:
    due = due_times(20_000, 50.0, burstiness, None, random.Random(1))
    assert due[-1] == pytest.approx(20_000 / 50)  # stretched, as vLLM does
    assert due == sorted(due)
    found = gaps(due)
    # Of a gamma distribution: the square of the mean over the variance is the shape.
    shape = statistics.fmean(found) ** 2 / statistics.pvariance(found)
    assert shape == pytest.approx(burstiness, rel=0.05)


def test_constant_gaps() -> None:
    assert gaps(due_times(5, 4.0, math.inf, None, random.Random(1))) == pytest.approx([0.25] * 5)


def test_ramps() -> None:
    linear = due_times(5, 0.0, math.inf, RampUp("linear", 1, 5), random.Random(1))
    assert gaps(linear) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    steep = due_times(4, 0.0, math.inf, RampUp("exponential", 1, 8), random.Random(1))
    assert gaps(steep) == pytest.approx([1, 1 / 2, 1 / 4, 1 / 8])
    assert due_times(1, 0.0, math.inf, RampUp("linear", 2, 9), random.Random(1)) == [0.5]


@given(st.integers(0, 10_000), st.lists(st.integers(1, 50), min_size=1, max_size=9))
def test_shares_keep_the_sum_and_the_proportion(total: int, weights: list[int]) -> None:
    split = shares(total, weights)
    assert sum(split) == total
    for share, weight in zip(split, weights, strict=True):
        assert abs(share - total * weight / sum(weights)) < 1
        assert total < sum(weights) or share >= weight


@given(
    st.integers(1, 40), st.integers(0, 60), st.integers(0, 9), st.integers(1, 5), st.integers(1, 3)
)
def test_the_parts_of_a_load_make_the_whole(
    concurrency: int, more: int, warmup: int, shards: int, processes: int
) -> None:
    shards = min(shards, concurrency)
    requests = concurrency + more
    seen: list[str] = []
    streams = warmups = 0
    for shard in range(shards):
        options = BenchOptions(
            ENDPOINT, concurrency=concurrency, requests=requests, warmup=warmup, shards=shards,
            shard=shard, processes=processes,
        )  # fmt: skip
        share = share_of(checked(options), 0)
        prompts = [
            Request(str(share.first + n), 1, 1) for n in range(share.warmups + share.requests)
        ]
        for plan in plans(options, share, prompts, ADDRESSES):
            assert plan.concurrency is not None
            assert len(plan.requests) >= plan.concurrency >= 1
            streams += plan.concurrency
            warmups += len(plan.warmups)
            seen += [request.prompt for request in (*plan.warmups, *plan.requests)]
    assert (streams, warmups) == (concurrency, warmup)
    assert sorted(map(int, seen)) == list(range(requests + warmup))


def test_the_parts_of_a_rate_make_the_whole() -> None:
    due: list[float] = []
    for shard in range(3):
        options = BenchOptions(
            ENDPOINT, requests=100, request_rate=20.0, shards=3, shard=shard, processes=2, seed=5
        )
        share = share_of(options, 0)
        prompts = [Request("x", 1, 1)] * share.requests
        for plan in plans(options, share, prompts, ADDRESSES):
            assert plan.concurrency is None
            assert plan.due is not None
            assert len(plan.due) == len(plan.requests)
            due += plan.due
    rng = random.Random("5-gaps-0")
    assert sorted(due) == due_times(100, 20.0, 1.0, None, rng)


def test_points_of_a_sweep_have_their_own_prompts() -> None:
    options = BenchOptions(ENDPOINT, sweep=(2, 4), requests=10, warmup=3)
    assert [share_of(options, point).first for point in range(2)] == [0, 13]


def test_processes_begin_with_different_addresses() -> None:
    options = BenchOptions(ENDPOINT, concurrency=4, requests=8, processes=2)
    split = plans(options, share_of(options, 0), [Request("x", 1, 1)] * 8, ADDRESSES)
    assert [plan.addresses[0] for plan in split] == list(ADDRESSES)
    assert len({plan.salt for plan in split}) == 1


def test_a_plan_through_the_pipe() -> None:
    options = BenchOptions(ENDPOINT, request_rate=2.0, requests=3)
    prompts = [Request("\ud83d é\n", 3, 4)] * 3
    [plan] = plans(options, Share(None, 0, 0, 3, (0.1, 0.2, 0.3)), prompts, ADDRESSES)
    raw = pack(plan.to_json())
    assert size_of(raw[:8]) == len(raw) - 8
    assert Plan.from_json(unpack(raw[8:])) == plan


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"requests": 3}, "TooFewRequests"),
        ({"sweep": (1, 30)}, "TooFewRequests"),
        ({"sweep": (1, 2), "request_rate": 1.0}, "SweepOfRate"),
        ({"request_rate": 1.0, "ramp_up": RampUp("linear", 1, 2)}, "TwoRates"),
        ({"request_rate": math.inf}, "BadRate"),
        ({"request_rate": math.nan}, "BadRate"),
        ({"burstiness": 0.0, "request_rate": 1.0}, "BadBurstiness"),
        ({"burstiness": math.nan, "request_rate": 1.0}, "BadBurstiness"),
        ({"burstiness": 2.0}, "UnusedBurstiness"),
        ({"goodput": {"ttftMs": 1.0}, "requests": 20_001}, "TooManyRequests"),
        ({"shards": 5}, "TooManyShards"),
        ({"shards": 2, "shard": 2}, "BadShard"),
        ({"concurrency": 5000, "requests": 5000}, "TooMuchConcurrency"),
        ({"output_tokens": None}, "BadOutputTokens"),
    ],
)
def test_what_cannot_be_measured(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        checked(BenchOptions(ENDPOINT, **changes))
    assert caught.value.reason == reason
