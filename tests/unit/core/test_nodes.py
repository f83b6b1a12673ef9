"""Nodes and their free NPUs are listed once for all resources that need them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from ascendllm.decide.needs import CapacityNeeded, NodesNeeded
from ascendllm.engine.nodes import candidates
from ascendllm.exceptions import ClusterError
from ascendllm.kube.capacity import Capacity
from ascendllm.kube.cluster import Cluster, Object
from ascendllm.kube.findings import Findings
from ascendllm.kube.nodes import NodeCache
from ascendllm.kube.shared_answer import SharedAnswer
from ascendllm.observe import Observer
from ascendllm.state.capacity import node_npus

NPU = "huawei.com/Ascend910"
CCE = "huawei.com/ascend-1980"


def node(name: str, resource: str = NPU, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": name, "labels": labels},
        "spec": {
            "podCIDR": "10.0.0.0/24",
            "unschedulable": True,
            "taints": [
                {"key": "npu", "value": "yes", "effect": "NoSchedule", "timeAdded": "2026-01-01"},
                {"key": "other", "effect": "NoExecute"},
            ],
        },
        "status": {
            "addresses": [{"type": "Hostname", "address": name}],
            "capacity": {"cpu": "192", resource: "8"},
            "allocatable": {"cpu": "190", resource: "7"},
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": "True", "message": "kubelet is posting ready status"},
            ],
        },
    }


def pod(name: str, **limits: int) -> dict[str, Any]:
    containers = [{"resources": {"limits": {key: str(n) for key, n in limits.items()}}}]
    return {"metadata": {"name": name, "uid": name}, "spec": {"containers": containers}}


class FakeCluster:
    """Answers lists when the test permits it, and counts them."""

    def __init__(self, *nodes: Object) -> None:
        self.nodes = nodes
        self.pods: tuple[Object, ...] = ()
        self.lists: Counter[str] = Counter()
        self.permitted = asyncio.Event()
        self.permitted.set()
        self.error: ClusterError | None = None

    async def each(self, kind: str, *, fields: str = "") -> AsyncIterator[Object]:
        self.lists[kind] += 1
        await self.permitted.wait()
        if self.error is not None:
            raise self.error
        for item in self.nodes if kind == "Node" else self.pods:
            yield item


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def cache_of(fake: FakeCluster, clock: Clock) -> NodeCache:
    return NodeCache(cast(Cluster, fake), clock=clock)


async def test_many_waiting_resources_make_few_lists() -> None:
    fake, clock = FakeCluster(node("a")), Clock()
    cache = cache_of(fake, clock)
    for second in range(30):
        clock.now = second
        # 200 resources, each of which asks every 30 seconds.
        found = await asyncio.gather(*(cache.list() for _ in range(200 // 30 + 1)))
        assert [item["metadata"]["name"] for (item,) in found] == ["a"] * 7
    assert fake.lists["Node"] == 3


async def test_who_asks_while_a_list_is_under_way_shares_it() -> None:
    fake, clock = FakeCluster(node("a")), Clock()
    cache = cache_of(fake, clock)
    fake.permitted.clear()
    asking = [asyncio.create_task(cache.list()) for _ in range(200)]
    await asyncio.sleep(0)
    clock.now = 25  # a slow list
    late = asyncio.create_task(cache.list())
    await asyncio.sleep(0)
    asking[0].cancel()
    fake.permitted.set()
    found = await asyncio.gather(*asking, late, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(item == found[1] for item in found[1:])
    assert fake.lists["Node"] == 1
    clock.now = 34
    await cache.list()
    assert fake.lists["Node"] == 1, "its age counts from when it arrived"


async def test_a_changed_node_is_seen_after_ten_seconds() -> None:
    fake, clock = FakeCluster(node("a")), Clock()
    cache = cache_of(fake, clock)
    (before,) = await cache.list()
    fake.nodes = (node("a", zone="b"), node("b"))
    clock.now = 9.9
    assert await cache.list() == (before,)
    clock.now = 10
    assert [item["metadata"]["labels"] for item in await cache.list()] == [{"zone": "b"}, {}]


async def test_an_error_is_raised_to_all_who_wait_and_the_next_ask_again() -> None:
    fake, clock = FakeCluster(node("a")), Clock()
    cache = cache_of(fake, clock)
    fake.permitted.clear()
    fake.error = ClusterError(500, "InternalError", "etcd is away")
    asking = [asyncio.create_task(cache.list()) for _ in range(200)]
    await asyncio.sleep(0)
    fake.permitted.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert found == [fake.error] * 200
    clock.now = 0.5
    with pytest.raises(ClusterError):
        await cache.list()
    assert fake.lists["Node"] == 1, "not all at once again"
    fake.error = None
    clock.now = 1
    assert len(await cache.list()) == 1
    assert fake.lists["Node"] == 2


async def test_a_cache_without_freshness_asks_each_time() -> None:
    fake = FakeCluster(node("a"))
    cache = NodeCache(cast(Cluster, fake), fresh_seconds=0)
    await cache.list()
    await cache.list()
    assert fake.lists["Node"] == 2


async def test_a_request_that_was_cancelled_is_made_again() -> None:
    permitted = asyncio.Event()

    async def ask() -> int:
        await permitted.wait()
        return 1

    shared = SharedAnswer(ask, 10.0)
    asking = asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    assert shared._request is not None
    shared._request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    permitted.set()
    assert await shared.get() == 1


@pytest.mark.parametrize(
    "whole",
    [
        node("a", zone="b"),
        {"metadata": {"name": "a"}, "status": {"capacity": {NPU: "8"}}},
        {"metadata": {"name": "a"}, "spec": {}, "status": {"capacity": {NPU: "0"}}},
        {"metadata": {"name": "a"}, "status": {"capacity": {NPU: "8"}, "allocatable": None}},
    ],
)
async def test_a_reduced_node_has_all_that_decisions_read(whole: Object) -> None:
    (reduced,) = await cache_of(FakeCluster(whole), Clock()).list()
    assert candidates([reduced], NPU, {}) == candidates([whole], NPU, {})
    kept, full = node_npus(reduced, (), NPU), node_npus(whole, (), NPU)
    assert (kept is None) == (full is None)
    if kept is not None and full is not None:
        assert (kept.capacity, kept.allocatable, kept.obstacle, kept.labels) == (
            full.capacity,
            full.allocatable,
            full.obstacle,
            full.labels,
        )
        assert [taint["key"] for taint in kept.taints] == [taint["key"] for taint in full.taints]


async def test_what_is_large_is_not_kept() -> None:
    (reduced,) = await cache_of(FakeCluster(node("a", zone="b")), Clock()).list()
    assert reduced == {
        "metadata": {"name": "a", "labels": {"zone": "b"}},
        "spec": {
            "unschedulable": True,
            "taints": [
                {"key": "npu", "value": "yes", "effect": "NoSchedule"},
                {"key": "other", "effect": "NoExecute"},
            ],
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "capacity": {NPU: "8"},
            "allocatable": {NPU: "7"},
        },
    }


async def test_nodes_without_devices_are_not_kept() -> None:
    plain = {"metadata": {"name": "cpu"}, "status": {"capacity": {"cpu": "8", "pods": "110"}}}
    new = {"metadata": {"name": "new"}}
    assert await cache_of(FakeCluster(plain, new), Clock()).list() == ()


def capacity_of(fake: FakeCluster, clock: Clock) -> Capacity:
    return Capacity(cast(Cluster, fake), cache_of(fake, clock), clock=clock)


async def test_capacity_is_counted_once_for_all_who_wait() -> None:
    fake, clock = FakeCluster(node("a"), node("b"), node("c", CCE)), Clock()
    fake.pods = (pod("x", **{NPU: 3}), pod("y", **{CCE: 1}), pod("z"))
    capacity = capacity_of(fake, clock)
    for second in range(30):
        clock.now = second
        for found in await asyncio.gather(*(capacity.of(NPU) for _ in range(7))):
            assert [(item.name, item.free(), item.pods) for item in found] == [
                ("a", 4, {"x": 3}),
                ("b", 4, {"x": 3}),
            ]
    assert fake.lists == {"Node": 3, "Pod": 6}
    (other,) = await capacity.of(CCE)
    assert (other.name, other.used) == ("c", 1)
    assert fake.lists == {"Node": 3, "Pod": 7}


async def test_a_slow_count_of_one_resource_blocks_no_other() -> None:
    fake, clock = FakeCluster(node("a"), node("b", CCE)), Clock()
    capacity = capacity_of(fake, clock)
    await capacity.of(CCE)
    fake.permitted.clear()
    slow = asyncio.create_task(capacity.of(NPU))
    await asyncio.sleep(0)
    assert [item.name for item in await capacity.of(CCE)] == ["b"]
    fake.permitted.set()
    assert [item.name for item in await slow] == ["a"]


async def test_resources_that_nobody_asks_for_are_forgotten() -> None:
    fake, clock = FakeCluster(node("a")), Clock()
    capacity = capacity_of(fake, clock)
    for number in range(100):
        clock.now = number
        assert await capacity.of(f"test.example/npu-{number}") == ()
    assert len(capacity._answers) <= 11
    assert fake.lists == {"Node": 10}


async def test_what_a_decision_needs_comes_from_one_list() -> None:
    fake = FakeCluster(node("a"))
    observer = Observer(cast(Cluster, fake), lambda: datetime.now(UTC), Findings())
    resource = {"metadata": {"namespace": "default", "name": "llama", "uid": "1"}}
    observed = observer.nothing_of(resource)
    for _ in range(5):
        observed = await observer.look_up(NodesNeeded(), observed)
        observed = await observer.look_up(CapacityNeeded(NPU), observed)
    assert [item["metadata"]["name"] for item in observed.nodes or ()] == ["a"]
    assert [item.name for item in observed.capacity[NPU]] == ["a"]
    assert fake.lists == {"Node": 1, "Pod": 1}
