"""Replicas of two pods, by the real LeaderWorkerSet controller."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster import lws
from cluster.commands import run
from cluster.provider import Provider
from e2e.clients import assert_nothing_lost, streams
from e2e.resources import model, resource
from e2e.space import Space, all_ready, condition
from e2e.watch import Object

pytestmark = pytest.mark.timeout(900)  # the controller is built the first time on a machine

NAME = "ascendllm.io/name"
WORKER_OF = "ascendllm.io/worker-of"
CHECKS: dict[str, Any] = {
    "smoke": {},
    "bench": {"inputTokens": 16, "outputTokens": 16, "concurrency": 2, "requests": 6},
}
ASKED = {"model": "llama", "prompt": "Hello", "max_tokens": 4}
URL = "http://llama:8000/v1/completions"


@pytest.fixture(scope="module")
def grouping(installed: Provider) -> Provider:
    """The cluster with the controller, and with what every Ascend node has."""
    lws.install(installed)
    command = installed.node_command(["sh", "-c", "test -e /etc/hccn.conf || touch /etc/hccn.conf"])
    run(command)
    return installed


def group(name: str, path: str, checks: dict[str, Any] | None = None, **spec: Any) -> Object:
    fields = {"nodes": 2, "npu": {"generation": "A3", "count": 2}, **spec}
    return resource(name, path, checks, **fields)


def pods(space: Space) -> dict[str, str]:
    """The uids of the serving pods by name, the worker's behind its leader's."""
    leaders = space.serving_pods("llama")
    workers = space.items("pods", f"{NAME}=llama,{WORKER_OF}")
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in [*leaders, *workers]}


def endpoints(space: Space, service: str) -> set[str]:
    """The pods that a Service sends requests to."""
    slices = space.items("endpointslices", f"kubernetes.io/service-name={service}")
    return {
        endpoint["targetRef"]["name"]
        for item in slices
        for endpoint in item.get("endpoints") or []
        if endpoint["conditions"]["ready"]
    }


def said(item: Object | None) -> tuple[str | None, int | None]:
    """The reason of Ready, and how many replicas are."""
    status = (item or {}).get("status") or {}
    return condition(item, "Ready").get("reason"), status.get("readyReplicas")


def test_a_group_serves_and_is_made_anew_when_its_worker_dies(
    grouping: Provider, space: Space
) -> None:
    path = model(grouping, "group")
    space.start_client()
    with space.watch("ascendllm") as watch:
        space.apply(group("llama", path, CHECKS))
        watch.until(lambda items: said(items.get("llama"))[0] == "Loading", "it loads")
        assert not endpoints(space, "llama")
        watch.until(lambda items: said(items.get("llama")) == ("Proven", 1), "it is proven", 240)

    status = space.status("llama")
    counted = {key: status[key] for key in ("replicas", "readyReplicas", "npus", "verdict")}
    assert counted == {"replicas": 1, "readyReplicas": 1, "npus": 4, "verdict": "Passed"}
    bench = status["validation"]["bench"]
    assert bench["outputThroughputPerNpu"] == pytest.approx(bench["outputThroughput"] / 4, rel=0.01)
    revision = status["servedRevision"]
    leader, worker = f"llama-{revision}-0", f"llama-{revision}-0-1"
    before = pods(space)
    assert list(before) == [leader, worker]
    assert endpoints(space, "llama") == endpoints(space, f"llama-{revision}") == {leader}
    assert not space.items("deployments")
    assert space.ask(URL, ASKED)["status"] == 200

    with space.watch("ascendllm") as watch:
        space.kill_container(worker)
        watch.until(lambda items: said(items.get("llama")) == ("Unavailable", 0), "it is told")
        watch.until(lambda items: said(items.get("llama")) == ("Proven", 1), "it serves again", 240)

    after = pods(space)
    assert list(after) == [leader, worker]
    assert not set(after.values()) & set(before.values()), "all of the group is made anew"
    assert space.ask(URL, ASKED)["status"] == 200
    there = space.status("llama")
    assert there["validation"] == status["validation"], "what was proven stays proven"
    assert there["servedRevision"] == revision


def test_groups_of_several_copies_are_scaled_changed_and_deleted(
    grouping: Provider, space: Space
) -> None:
    """Two copies of the model in each pod: a worker's first rank is worked out in its shell."""
    path = model(grouping, "copies")
    space.apply(group("llama", path, engine={"dataParallelSize": 4}, replicas=2))
    space.wait_for_ready("llama")
    status = space.status("llama")
    assert (status["replicas"], status["npus"]) == (2, 8)
    workload = f"llama-{status['servedRevision']}"
    assert endpoints(space, "llama") == {f"{workload}-0", f"{workload}-1"}
    log = space.kubectl("logs", f"{workload}-1-1", "--container=vllm")
    assert f"head node address {workload}-1.{workload}-1.{space.name}:29550" in log

    with space.watch("pods") as watch:
        space.kubectl(
            "patch", "ascendllm", "llama", "--type=merge", '--patch={"spec":{"replicas":1}}'
        )
        watch.until(
            lambda items: set(items) == {f"{workload}-0", f"{workload}-0-1"}, "one group is gone"
        )
    space.wait_for_ready("llama")
    assert space.status("llama")["npus"] == 4

    space.patch("llama", {"nodes": 1, "engine": {"dataParallelSize": 1}})
    space.settle("llama")
    status = space.status("llama")
    assert (status["replicas"], status["readyReplicas"], status["npus"]) == (1, 1, 2)
    assert not space.items("leaderworkersets")
    assert [item["metadata"]["name"] for item in space.items("deployments")] == [
        f"llama-{status['servedRevision']}"
    ]

    space.patch("llama", {"nodes": 2, "engine": {"dataParallelSize": 4}})
    space.settle("llama")
    assert space.status("llama")["servedRevision"] == workload.removeprefix("llama-"), "as before"
    with space.watch("pods") as watch:
        watch.until(lambda items: len(items) == 2, "its pods are there")
        space.kubectl("delete", "ascendllm", "llama")
        watch.until(lambda items: not items, "its pods are gone")
    left = space.kubectl("get", "leaderworkersets,statefulsets,services", "--output=json")
    assert json.loads(left)["items"] == []


def test_a_drained_worker_takes_its_group_down_after_its_last_request(
    grouping: Provider, space: Space
) -> None:
    """Its node is drained, its leader's is not: the leader answers first, then all of it goes."""
    space.apply(group("llama", model(grouping, "drained-group", itlMs=40), replicas=2))
    space.start_client()
    space.wait_for_ready("llama")
    with space.watch("pods", NAME) as watch:
        before = watch.until(lambda there: all_ready(there, 4), "two groups are ready")
        space.wait("poddisruptionbudget/llama", "jsonpath={.status.disruptionsAllowed}=1")
        with streams(space, "llama") as told:
            worker = next(name for name in before if name.endswith("-1-1"))
            assert space.evict(worker) == ""
            watch.until(
                lambda there: all_ready(there, 4) and uid(there[worker]) != uid(before[worker]),
                "the group is made anew",
                200,
            )
        leader = worker.removesuffix("-1")
        after = watch.until(lambda there: all_ready(there, 4), "two groups are ready")
    assert_nothing_lost(told)
    assert uid(after[leader]) != uid(before[leader])
    other = f"{leader.removesuffix('1')}0"
    assert uid(after[other]) == uid(before[other])


def uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def test_a_group_that_crashes_says_of_what(grouping: Provider, space: Space) -> None:
    """Its pods are made anew each time, so the kubelet counts no restarts."""
    failure = {"mode": "crashOnLoad", "cause": "outOfMemory"}
    path = model(grouping, "crashing-group", failure=failure)
    with space.watch("ascendllm") as watch:
        space.apply(group("llama", path))
        watch.until(
            lambda items: "made anew after a crash" in told(items.get("llama")),
            "what it crashed of outlives its pods",
        )
    assert condition(space.get("ascendllm", "llama"), "Ready")["status"] == "Unknown"


def told(item: Object | None) -> str:
    return str(condition(item, "Ready").get("message", ""))
