"""Rounds over the metrics of many pods: slow ones delay nobody but each other."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from ascendllm.reconcile import Key
from ascendllm.runtime.sampling import QUICK, SLOW, Lane, Limits, Sample, Sampler, Target
from unit.core.pod_servers import METRICS, PodServers, answering, pod, response, silent

PERIOD = 2.0
"""A pod has 0.2 s to answer in the quick lane, 0.8 s in the slow one."""

GOOD = answering(response())
HEALTHY: list[Key] = [(f"team-{n % 3}", f"model-{n % 6}") for n in range(12)]


@pytest.fixture
async def servers(unused_tcp_port: int) -> AsyncIterator[PodServers]:
    servers = PodServers(unused_tcp_port)
    yield servers
    servers.close()


class Rounds:
    """A sampler and what it found in each round."""

    def __init__(self, servers: PodServers) -> None:
        self.sampler = Sampler(servers.port, PERIOD, time.monotonic)
        self.targets = servers.targets
        self.results: list[dict[str, Sample]] = []

    async def run(self, rounds: int) -> None:
        for _ in range(rounds):
            began = time.monotonic()
            self.results.append(await self.sampler.sample(self.targets))
            assert time.monotonic() - began < PERIOD + 0.5, "a round ends within its period"

    def asked(self, uids: list[str]) -> list[set[str]]:
        return [{uid for uid in uids if uid in found} for found in self.results]

    def answered(self, uids: list[str]) -> list[set[str]]:
        return [
            {uid for uid in uids if uid in found and found[uid].engines} for found in self.results
        ]


def one_resource(pods: int) -> list[Key]:
    return [("slow", "slow")] * pods


def one_namespace(pods: int) -> list[Key]:
    return [("slow", f"slow-{n % 100}") for n in range(pods)]


def many_namespaces(pods: int) -> list[Key]:
    return [(f"slow-{n}", "slow") for n in range(pods)]


@pytest.mark.parametrize(
    "keys",
    [one_resource(40), one_namespace(16), one_namespace(64), many_namespaces(200)],
    ids=["resource-40", "namespace-16", "namespace-64", "namespaces-200"],
)
async def test_pods_that_never_answer_delay_no_others(servers: PodServers, keys: list[Key]) -> None:
    slow = await servers.add(silent, keys)
    healthy = await servers.add(GOOD, HEALTHY)
    rounds = Rounds(servers)
    await rounds.run(2)
    assert rounds.answered(healthy) == [set(healthy)] * 2
    assert rounds.answered(slow) == [set()] * 2
    first, second = rounds.asked(slow)
    assert first | second == set(slow) or second - first, "they take turns"


HOSTILE = {
    "a byte at a time": answering(response(METRICS * 100), piece=1, pause=0.05),
    "a body without end": answering(response(b"x" * 5_000_000)),
    "chunks of a byte": answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200_000
    ),
    "interim responses": answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 200_000),
    "a redirect": answering(response(b"", "307 Temporary Redirect", "Location: /metrics\r\n")),
    "the end at once": answering(b""),
}


async def test_hostile_servers_delay_no_others(servers: PodServers) -> None:
    hostile = []
    for number, serve in enumerate(HOSTILE.values()):
        hostile += await servers.add(serve, [("hostile", f"{number}-{n % 5}") for n in range(10)])
    healthy = await servers.add(GOOD, [("hostile", "victim"), *HEALTHY])
    rounds = Rounds(servers)
    await rounds.run(2)
    assert rounds.answered(healthy) == [set(healthy)] * 2
    assert rounds.answered(hostile) == [set()] * 2


async def test_large_answers_delay_no_others(servers: PodServers) -> None:
    large = response(METRICS + b'vllm:other{le="+Inf"} 1.0\n' * 150_000)
    greedy = await servers.add(answering(large), one_namespace(100))
    healthy = await servers.add(GOOD, HEALTHY)
    rounds = Rounds(servers)
    await rounds.run(3)
    assert rounds.answered(healthy) == [set(healthy)] * 3
    asked = rounds.asked(greedy)
    assert all(len(found) < len(greedy) for found in asked), "a namespace has its part of the time"
    assert len(set.union(*asked)) > max(map(len, asked)), "and its pods take turns"


async def test_a_slow_answer_is_read_in_the_slow_lane(servers: PodServers) -> None:
    slow = await servers.add(answering(response(), after=0.35), [("a", "slow")])
    healthy = await servers.add(GOOD, [("a", "slow")])
    rounds = Rounds(servers)
    await rounds.run(3)
    assert rounds.answered(slow) == [set(), set(slow), set(slow)]
    assert rounds.answered(healthy) == [set(healthy)] * 3


async def test_a_pod_that_recovers_is_as_quick_as_before(servers: PodServers) -> None:
    await servers.add(silent, one_resource(1))
    rounds = Rounds(servers)
    await rounds.run(2)
    servers.stop("uid-0")
    (recovered,) = await servers.add(GOOD, one_resource(1))
    key, new = servers.targets.pop()
    servers.targets[0] = (key, pod("uid-0", new.address))
    await rounds.run(2)
    assert [bool(found["uid-0"].engines) for found in rounds.results] == [False, False, True, True]
    assert recovered not in rounds.results[-1]


def take_all(lane: Lane) -> list[Key]:
    taken = []
    while (target := lane.take()) is not None:
        taken.append(target[0])
    return taken


def targets(pods: dict[Key, int]) -> list[Target]:
    return [(k, pod(f"{k}-{number}", "")) for k, most in pods.items() for number in range(most)]


def begin(lane: Lane, pods: dict[Key, int]) -> None:
    lane.begin_round(targets(pods), targets(pods))


def test_a_lane_shares_its_requests() -> None:
    lane = Lane(Limits(total=10, namespace=4, resource=2, timeout=0.1), 10.0)
    begin(lane, {("a", "x"): 9, ("a", "y"): 9, ("a", "z"): 9, ("b", "x"): 9, ("c", "x"): 1})
    assert Counter(take_all(lane)) == {
        ("a", "x"): 2,
        ("a", "y"): 1,
        ("a", "z"): 1,
        ("b", "x"): 2,
        ("c", "x"): 1,
    }
    lane.end(("b", "x"), 0.1)
    lane.end(("a", "x"), 0.1)
    assert Counter(take_all(lane)) == {("a", "y"): 1, ("b", "x"): 1}


def test_a_lane_has_no_more_requests_than_it_may() -> None:
    for limits in (QUICK, SLOW):
        lane = Lane(limits, 10.0)
        begin(lane, {(f"team-{n}", "x"): 2 for n in range(100)})
        assert len(take_all(lane)) == limits.total


def test_who_cost_the_least_comes_first() -> None:
    lane = Lane(Limits(total=1, namespace=1, resource=1, timeout=0.1), 10.0)
    pods = {("slow", "x"): 3, ("quick", "x"): 3}
    order = []
    for _ in range(2):
        begin(lane, pods)
        while (target := lane.take()) is not None:
            order.append(target[0][0])
            lane.end(target[0], 1.0 if target[0][0] == "slow" else 0.01)
    assert order[:6] == ["slow", "quick", "quick", "quick", "slow", "slow"]
    assert order[6:9] == ["quick", "quick", "quick"], "known from the round before"


def test_a_namespace_has_a_part_of_the_event_loop() -> None:
    lane = Lane(QUICK, 10.0)
    pods = {("greedy", f"{n}"): 50 for n in range(10)} | {("other", "x"): 1}
    taken: Counter[str] = Counter()
    begin(lane, pods)
    while (target := lane.take()) is not None:
        key = target[0]
        taken[key[0]] += 1
        lane.spend(key, 0.01)
        lane.end(key, 0.01)
    assert taken["other"] == 1
    assert 30 <= taken["greedy"] <= 40, "10 ms each, of a quarter of 1.5 s"


def test_pods_that_had_no_turn_are_the_first_of_the_next_round() -> None:
    lane = Lane(Limits(total=1, namespace=1, resource=1, timeout=0.1), 10.0)
    pods = targets({("a", "x"): 5})
    asked = []
    for _ in range(5):
        lane.begin_round(pods, pods)
        target = lane.take()
        assert target is not None
        asked.append(target[1].uid)
    assert len(set(asked)) == 5
