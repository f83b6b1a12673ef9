"""Pods that can't go on are replaced, with the operator's own rights, and whenever it is killed."""

from __future__ import annotations

import copy
import json
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ascendllm.kube.client import ApiServer
from ascendllm.kube.findings import Findings
from ascendllm.runtime.device_patrol import DevicePatrol
from ascendllm.runtime.metrics import Metrics
from ascendllm.settings import Settings
from ascendllm.state.device_faults import Fault
from cluster.control_plane import ControlPlane
from integration.admin import Admin
from integration.world import World, resource

SMOKE = {"smoke": {}}
SINCE = "2026-01-01T00:00:00Z"
NPU = "huawei.com/Ascend910"
CCE = "huawei.com/ascend-1980"
DEVICES = {"metadata": {"annotations": {"huawei.com/AscendReal": "Ascend910-3"}}}
BAD = Fault("Ascend910-3", "card", "RestartNPU", "80E01801")


async def serve(world: World) -> dict[str, Any]:
    """A proven resource; its pod."""
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    (pod,) = await world.serving_pods()
    return pod


async def leaving(world: World) -> list[str]:
    """The pods that are on their way out, for whom no kubelet is there."""
    return [p["metadata"]["uid"] for p in await world.serving_pods() if _leaves(p)]


def _leaves(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


async def record(world: World) -> list[dict[str, str]]:
    found = await world.find("ConfigMap", "llama-replaced")
    return list(json.loads(found["data"]["replaced.json"])) if found else []


async def test_a_pod_that_hangs_is_deleted_and_told(world: World) -> None:
    pod = await serve(world)
    world.findings.set_hung({pod["metadata"]["uid"]: SINCE})
    await world.settle()
    assert await leaving(world) == [pod["metadata"]["uid"]]
    (gone,) = await world.serving_pods()
    assert gone["metadata"]["deletionGracePeriodSeconds"] == 30
    assert (await world.conditions())["Ready"] == "Unknown/Hung"
    assert [(r["pod"], r["reason"]) for r in await record(world)] == [
        (pod["metadata"]["name"], "Hung")
    ]
    events = json.loads(world.kubectl("get", "events", "--output=json"))["items"]
    told = [e for e in events if e["reason"] == "Hung" and e["type"] == "Warning"]
    assert [e["involvedObject"]["name"] for e in told] == ["llama"]
    assert "the pod is replaced" in told[0]["message"]

    await world.remove("Pod", pod["metadata"]["name"])
    world.findings.set_hung({})
    await world.move_pods()
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert len(await record(world)) == 1


async def test_a_failing_npu_is_left_where_there_is_another(world: World, nodes: None) -> None:
    pod = await serve(world)
    await world.edit("Pod", pod["metadata"]["name"], DEVICES)
    world.findings.set_faults({"node": (BAD,)})
    await world.settle()
    assert await leaving(world) == [pod["metadata"]["uid"]]
    assert (await world.conditions())["Ready"] == "Unknown/DeviceUnhealthy"


async def test_without_another_a_server_that_answers_stays(world: World) -> None:
    pod = await serve(world)
    await world.edit("Pod", pod["metadata"]["name"], DEVICES)
    world.findings.set_faults({"node": (BAD,)})
    await world.settle()
    assert await leaving(world) == []
    assert (await world.conditions())["Ready"] == "True/Proven"
    (warning,) = (await world.status())["warnings"]
    assert "no node has 1 healthy huawei.com/Ascend910 free" in warning


async def test_npus_are_counted_on_the_nodes_there_are(world: World, nodes: None) -> None:
    npu = {"resource": CCE, "generation": "A2", "count": 8}
    await world.apply(resource(validation=SMOKE, npu=npu))
    await world.settle()
    await world.move_pods(ready=False)
    (pod,) = await world.serving_pods()
    told = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    status = {"phase": "Pending", "conditions": [told], "containerStatuses": None}
    await world.set_status("Pod", pod["metadata"]["name"], status)
    await world.settle()
    assert (await world.conditions())["Ready"] == "Unknown/Unschedulable"
    message = await world.message()
    # The tests' pods are born on a node, and hold what they ask for.
    wanted = (
        r"^8 huawei.com/ascend-1980 are wanted on one node: node has [0-7] of 16 free \(1 unhealthy"
    )
    assert re.match(wanted, message), message
    assert "0/1 nodes are available" in message


@pytest.fixture
async def nodes(admin: Admin) -> AsyncIterator[None]:
    """The node of the pods, with NPUs that are free."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}
    await admin._request("POST", "/api/v1/nodes", None, node)
    # The pods of every test are born there, so of the usual NPUs it has more than they hold.
    npus = {
        "status": {
            "capacity": {NPU: "10000", CCE: "16"},
            "allocatable": {NPU: "9999", CCE: "15"},
        }
    }
    await admin.edit("Node", None, "node", npus, subresource="status")
    yield
    await admin.remove("Node", None, "node")


async def replaced(world: World, life: int, settings: Settings) -> dict[str, Any]:
    """A pod that hangs, and an operator that dies; what came of it."""
    pod = await serve(world)
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    world.findings.set_hung({uid: SINCE})
    dying = world.operate(settings, life=life)
    await world.reconcile()
    if dying.writes >= life:
        world.findings.set_hung({})  # what the dead one knew is lost
    await world.settle()
    assert await leaving(world) == [uid]
    await world.remove("Pod", name)
    await world.move_pods()
    await world.settle()
    return {
        "writes": dying.writes,
        "conditions": await world.conditions(),
        "record": [(r["uid"] == uid, r["reason"]) for r in await record(world)],
    }


async def test_killed_after_any_write_it_replaces_the_pod_once(
    admin: Admin, control_plane: ControlPlane, api: ApiServer, settings: Settings
) -> None:
    for life in (1, 2, 3, 4):
        world = World(admin, control_plane, api, f"care-{uuid.uuid4().hex[:8]}")
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace}}
        await admin.post(namespace)
        world.operate(settings)
        outcome = await replaced(world, life, settings)
        assert outcome["conditions"]["Ready"] == "True/Proven", life
        assert outcome["record"] == [(True, "Hung")], life
        await world.remove("AscendLLM", "llama")


def device_info(*faults: dict[str, str]) -> dict[str, Any]:
    devices = {
        f"{NPU}-Unhealthy": ",".join(fault["npu_name"] for fault in faults),
        f"{NPU}-Fault": json.dumps(faults),
    }
    info = {"DeviceInfo": {"DeviceList": devices, "UpdateTime": 1}, "CheckCode": "x"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mindx-dl-deviceinfo-node", "namespace": "kube-system"},
        "data": {"DeviceInfoCfg": json.dumps(info)},
    }


async def test_the_patrol_reads_what_the_device_plugin_writes(
    world: World, admin: Admin, api: ApiServer
) -> None:
    pod = await serve(world)
    await world.edit("Pod", pod["metadata"]["name"], DEVICES)
    await world.settle()
    woken: list[tuple[str, str]] = []
    patrol = DevicePatrol(api, world.findings, woken.append, Metrics())
    fault = {
        "fault_type": "CardUnhealthy",
        "npu_name": "Ascend910-3",
        "fault_handling": "RestartNPU",
        "fault_code": "80E01801",
    }
    item = device_info(fault)
    await admin.post(item)
    try:
        await patrol.look()
        assert world.findings.faults == {}, "a fault counts at the second look"
        await patrol.look()
        assert world.findings.faults == {"node": (BAD,)}
        assert woken == [(world.namespace, "llama")]
        await admin.edit("ConfigMap", "kube-system", item["metadata"]["name"], device_info())
        await patrol.look()
        assert world.findings.faults == {}
        assert len(woken) == 2
    finally:
        await admin.remove("ConfigMap", "kube-system", item["metadata"]["name"])


async def test_nodes_without_that_plugin_are_hardly_asked(world: World, api: ApiServer) -> None:
    await serve(world)
    asked: list[str] = []

    class Counting:
        async def get(self, kind: str, namespace: str | None, name: str) -> Any:
            asked.append(name)
            return await api.get(kind, namespace, name)

    findings = copy.copy(world.findings)
    patrol = DevicePatrol(Counting(), findings, lambda _: None, Metrics())  # type: ignore[arg-type]
    for _ in range(3):
        await patrol.look()
    assert asked == ["mindx-dl-deviceinfo-node"]
    assert Findings().faults == findings.faults
