"""Groups of pods on a real API server: the kind comes and goes, and what is there is kept right."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ascendllm.desired import names
from ascendllm.exceptions import ClusterError
from ascendllm.settings import Settings
from integration.admin import Admin
from integration.world import FINALIZER, World, controller, resource

SMOKE = {"smoke": {}}
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class Kind:
    """The kind LeaderWorkerSet, which takes anything here and is run by nobody."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    async def install(self) -> None:
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": _ANYTHING},
        }
        kind = {"kind": "LeaderWorkerSet", "plural": "leaderworkersets"}
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "leaderworkersets.leaderworkerset.x-k8s.io"},
            "spec": {
                "group": "leaderworkerset.x-k8s.io",
                "scope": "Namespaced",
                "names": kind,
                "versions": [version],
            },
        }
        await self._admin._request("POST", _DEFINITIONS, None, definition)
        await self._until(served=True)

    async def remove(self) -> None:
        name = "leaderworkersets.leaderworkerset.x-k8s.io"
        try:
            await self._admin._request("DELETE", f"{_DEFINITIONS}/{name}", None)
        except ClusterError as error:
            if error.status != 404:
                raise
        await self._until(served=False)

    async def _until(self, *, served: bool) -> None:
        for _ in range(1000):
            try:
                await self._admin.list("LeaderWorkerSet", "default")
                there = True
            except ClusterError:
                there = False
            if there is served:
                return
        raise AssertionError("the API server has not followed")


@pytest.fixture
async def kind(admin: Admin) -> AsyncIterator[Kind]:
    kind = Kind(admin)
    yield kind
    await kind.remove()


def of_two(**changes: Any) -> dict[str, Any]:
    npu = {"count": 8, "generation": "A3"}
    return resource(**{"validation": SMOKE, "npu": npu, "nodes": 2, **changes})


async def group(world: World) -> dict[str, Any]:
    (found,) = await world.children("LeaderWorkerSet")
    return found


def stateful_set(name: str, owner: dict[str, Any], pod: dict[str, Any]) -> dict[str, Any]:
    labels = pod["metadata"]["labels"]
    template = {"metadata": {"labels": labels}, "spec": pod["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": name,
            "finalizers": [FINALIZER],
            "ownerReferences": [controller(owner)],
        },
        "spec": {"serviceName": "", "selector": {"matchLabels": labels}, "template": template},
    }


async def make_pods(world: World) -> list[str]:
    """What the controller and a kubelet would do for one group."""
    item = await group(world)
    spec = item["spec"]["leaderWorkerTemplate"]
    made = []
    above = item
    for suffix, role in (("-0", "leaderTemplate"), ("-0-1", "workerTemplate")):
        pod = copy.deepcopy(spec[role])
        pod |= {"apiVersion": "v1", "kind": "Pod"}
        # The controller's StatefulSets: of the leaders, and of the workers of each leader.
        above = await world.create(stateful_set(item["metadata"]["name"] + suffix, above, pod))
        pod["metadata"] |= {
            "name": item["metadata"]["name"] + suffix,
            "ownerReferences": [controller(above)],
            "annotations": {"leaderworkerset.sigs.k8s.io/size": str(spec["size"])},
        }
        pod["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/group-index"] = "0"
        pod["spec"]["nodeName"] = "node"
        above = await world.create(pod)
        await world.report(pod["metadata"]["name"])
        made.append(pod["metadata"]["name"])
    return made


async def test_a_cluster_without_the_kind_and_after_it_was_installed(
    world: World, kind: Kind, settings: Settings
) -> None:
    await world.apply(of_two())
    assert await world.reconcile() is not None, "nobody tells us when it is installed"
    assert (await world.conditions())["Stalled"] == "True/LeaderWorkerSetMissing"
    assert "leaderworkerset.x-k8s.io/v1" in await world.message()
    assert not await world.children("Service")

    await kind.install()
    world.operate(settings)  # the same operator asks again after a minute
    await world.settle()
    assert (await group(world))["spec"]["replicas"] == 1
    assert (await world.conditions())["Ready"] == "Unknown/Creating"


async def test_a_group_is_proven_and_at_rest_nothing_is_written(world: World, kind: Kind) -> None:
    await kind.install()
    await world.apply(of_two())
    await world.settle()
    leader, worker = await make_pods(world)
    await world.settle()
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"
    status = await world.status()
    assert (status["replicas"], status["readyReplicas"], status["npus"]) == (1, 1, 16)
    before = (await group(world))["metadata"]["resourceVersion"], await world.versions()
    assert await world.gets_at_rest() == 1
    assert ((await group(world))["metadata"]["resourceVersion"], await world.versions()) == before

    item = await group(world)
    change = {"spec": {"replicas": 5, "startupPolicy": "LeaderReady"}}
    await world.edit("LeaderWorkerSet", item["metadata"]["name"], change)
    await world.settle()
    assert (await group(world))["spec"] == item["spec"], "drift is put right"

    await world.remove("LeaderWorkerSet", item["metadata"]["name"])
    await world.settle()
    assert (await group(world))["metadata"]["uid"] != item["metadata"]["uid"], "so is a loss"
    assert {pod["metadata"]["name"] for pod in await world.children("Pod")} >= {leader, worker}


async def test_a_group_ends_before_one_pod_takes_its_npus(world: World, kind: Kind) -> None:
    await kind.install()
    await world.apply(of_two())
    await world.settle()
    leader, worker = await make_pods(world)
    await world.settle()

    await world.apply(of_two(nodes=1))
    await world.settle()
    assert await world.children("LeaderWorkerSet") == []
    await world.remove("Pod", leader)
    await world.settle()
    assert await world.children("Deployment") == [], "the worker is still there"
    assert worker in await world.message()
    await world.remove("Pod", worker)
    await world.settle()
    (deployment,) = await world.children("Deployment")
    assert names.WORKER_OF not in deployment["spec"]["template"]["metadata"]["labels"]


async def test_the_kind_is_taken_away(world: World, kind: Kind) -> None:
    await kind.install()
    await world.apply(of_two())
    await world.settle()
    await group(world)
    await kind.remove()
    await world.settle()
    assert (await world.conditions())["Ready"] == "False/LeaderWorkerSetMissing"


async def test_storage_of_one_node_is_refused(admin: Admin) -> None:
    cache = {"size": "1Ti", "accessMode": "ReadWriteOnce"}
    model = {"source": {"huggingFace": {"repo": "org/model"}}, "cache": cache}
    item = of_two(model=model)
    item["metadata"]["namespace"] = "default"
    with pytest.raises(ClusterError, match="leave accessMode out"):
        await admin.post(item, dry_run=True)
    item["spec"]["nodes"] = 1
    await admin.post(item, dry_run=True)
