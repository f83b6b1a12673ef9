"""Whose objects these are: what is not ours is left alone, and what is ours is kept right."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import pytest

from ascendllm.desired import names
from ascendllm.exceptions import ClusterError
from cluster.control_plane import ControlPlane
from integration.world import World, resource

SMOKE = {"smoke": {}}
OPERATOR = "system:serviceaccount:ascendllm-system:ascendllm-operator"


async def until_gone(world: World, kind: str) -> None:
    """Wait for the garbage collector."""
    async with asyncio.timeout(20):
        while await world.children(kind):  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.1)


async def test_deleting_the_resource_deletes_everything(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    await world.remove("AscendLLM", "llama")
    for kind in ("Deployment", "ControllerRevision", "ConfigMap", "Service", "ServiceAccount"):
        await until_gone(world, kind)
    await until_gone(world, "Job")
    assert await world.reconcile() is None


async def test_recreated_with_the_same_name_at_once(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    old_pod = (await world.serving_pods())[0]["metadata"]
    # Kubernetes tells older from newer by whole seconds.
    while world.clock().strftime("%Y-%m-%dT%H:%M:%SZ") <= old_pod["creationTimestamp"]:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await world.remove("AscendLLM", "llama")
    await world.apply(resource(validation=SMOKE))
    uid = (await world.get("AscendLLM", "llama"))["metadata"]["uid"]

    async with asyncio.timeout(20):
        while True:
            try:
                await world.settle()
                break
            except ClusterError as error:
                assert error.reason == "Waiting", error  # noqa: PT017
                assert (await world.conditions())["Ready"] == "Unknown/Waiting"
                await asyncio.sleep(0.1)
    assert await world.served() == "none", "the new one has proven nothing yet"
    for kind in ("Deployment", "ControllerRevision", "Service", "ServiceAccount"):
        for item in await world.children(kind):
            assert [ref["uid"] for ref in item["metadata"]["ownerReferences"]] == [uid]
    assert await world.running_job() is None, "the pods that are there are the predecessor's"
    await world.remove("Pod", old_pod["name"])
    await world.prove(checks=("smoke",))
    assert (await world.conditions())["Ready"] == "True/Proven"


def foreign(kind: str, name: str) -> dict[str, Any]:
    bodies: dict[str, dict[str, Any]] = {
        "Service": {"apiVersion": "v1", "spec": {"ports": [{"port": 1}], "selector": {"a": "b"}}},
        "ServiceAccount": {"apiVersion": "v1"},
        "ConfigMap": {"apiVersion": "v1", "data": {"run.json": "{}"}},
    }
    labels = names.labels("llama")
    return {**bodies[kind], "kind": kind, "metadata": {"name": name, "labels": labels}}


@pytest.mark.parametrize("kind", ["Service", "ServiceAccount"])
async def test_a_taken_name_is_told_and_left_alone(world: World, kind: str) -> None:
    theirs = await world.create(foreign(kind, "llama"))
    await world.apply(resource(validation=SMOKE))
    for _ in range(3):
        await world.reconcile()
    assert await world.get(kind, "llama") == theirs
    assert (await world.conditions())["Stalled"] == "True/NameTaken"
    assert f"{kind} llama" in await world.message()
    assert await world.reconcile() is not None, "nobody tells when it is freed"

    await world.remove(kind, "llama")
    await world.prove(checks=("smoke",))
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_label_taken_from_one_of_ours_is_put_back(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    await world.edit("Service", "llama", {"metadata": {"labels": {names.NAME: None}}})
    await world.settle()
    service = await world.get("Service", "llama")
    assert service["metadata"]["labels"][names.NAME] == "llama"
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_drift_is_put_right(world: World) -> None:
    await world.apply(resource(validation=SMOKE, runtime={"version": "v1", "env": {"A": "1"}}))
    await world.prove(checks=("smoke",))
    revision = await world.revision()
    before = await world.get("Deployment", f"llama-{revision}")
    world.kubectl("scale", f"deployment/llama-{revision}", "--replicas=5")
    container = copy.deepcopy(before["spec"]["template"]["spec"]["containers"][0])
    container["args"] = ["vllm", "serve", "/other"]
    container["env"] = [{"name": "A", "value": "2"}]
    edited = {"spec": {"template": {"spec": {"containers": [container]}}}}
    await world.edit("Deployment", f"llama-{revision}", edited)
    await world.edit("Service", "llama", {"spec": {"selector": {names.REVISION: "other"}}})
    await world.settle()
    after = await world.get("Deployment", f"llama-{revision}")
    assert after["spec"] == before["spec"]


async def test_an_environment_variable_of_somebody_elses_is_taken_out(world: World) -> None:
    await world.apply(resource(validation=SMOKE, runtime={"version": "v1", "env": {"A": "1"}}))
    await world.prove(checks=("smoke",))
    revision = await world.revision()
    before = await world.get("Deployment", f"llama-{revision}")
    workload = f"deployment/llama-{revision}"
    world.kubectl("set", "env", workload, "--containers=vllm", "ASCEND_VISIBLE_DEVICES=0")
    await world.settle()
    after = await world.get("Deployment", f"llama-{revision}")
    assert after["spec"]["template"] == before["spec"]["template"]


async def test_the_clients_selector_is_put_back_to_what_was_proven(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    served = await world.served()
    await world.remove("Service", "llama")
    await world.settle()
    assert await world.served() == served
    await world.remove("Service", f"llama-{served}")
    await world.remove("ServiceAccount", "llama")
    await world.settle()
    assert await world.find("Service", f"llama-{served}") is not None
    assert await world.find("ServiceAccount", "llama") is not None


async def test_a_missing_service_comes_back_for_the_proven_revision(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    proven = await world.revision()
    await world.apply(resource(validation=SMOKE, engine={"maxModelLen": 2048}))
    await world.settle()
    await world.remove("Service", "llama")
    await world.settle()
    assert await world.served() == proven
    assert await world.revision() != proven


async def test_a_revision_that_was_tampered_with_is_made_anew(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    revision = await world.revision()
    await world.remove("ControllerRevision", f"llama-{revision}")
    await world.settle()
    assert await world.revision() == revision
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_run_that_is_deleted_is_run_again(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    served = await world.served()
    await world.remove("ConfigMap", (await world.check("smoke"))["report"])
    await world.settle()
    assert (await world.conditions())["Ready"] == "Unknown/Validating"
    assert await world.served() == served
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_run_that_is_deleted_while_it_runs_starts_anew(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    job = await world.job_of("smoke")
    await world.remove("ConfigMap", job["metadata"]["name"])
    await world.settle()
    again = await world.job_of("smoke")
    assert again["metadata"]["uid"] != job["metadata"]["uid"]
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k != "lastTransitionTime"}
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    return value


async def test_a_wiped_status_comes_back(world: World) -> None:
    await world.apply(resource())
    moments = []

    async def compare() -> None:
        before = await world.status()
        item = await world.get("AscendLLM", "llama")
        item.pop("status")
        world.kubectl("replace", "--subresource=status", "-f", "-", text=json.dumps(item))
        assert "conditions" not in await world.status()
        await world.settle()
        assert _without_times(await world.status()) == _without_times(before)
        moments.append(before["phase"])

    await world.settle()
    await compare()
    await world.load()
    await compare()
    await world.finish_check("smoke")
    await world.finish_check("bench")
    await world.finish_check("mmlu")
    await compare()
    assert moments == ["Starting", "Validating", "Ready"]


async def test_a_settled_resource_is_written_no_more(
    world: World, control_plane: ControlPlane
) -> None:
    baseline = {"value": 66, "average": "macro"}
    item = resource(
        engine={"memoryUtilization": 1.0, "additionalConfig": {"a": 1.0, "b": None, "c": [1e21]}},
        runtime={"version": "v1", "shmSize": "16384Mi", "env": {"A": "\U0001f600 é 中\u0085"}},
        service={"type": "NodePort", "annotations": {"a": ""}},
    )
    item["spec"]["validation"] |= {
        "mmlu": {"baseline": baseline, "tolerance": 2},
        "job": {"resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}}},
    }
    await world.apply(item)
    await world.load()
    await _nothing_written(world, control_plane)
    for check in ("smoke", "bench", "mmlu"):
        await world.finish_check(check)
    await _nothing_written(world, control_plane)


async def _nothing_written(world: World, plane: ControlPlane) -> None:
    before = sum(1 for _ in plane.audit_events())
    for _ in range(20):
        await world.reconcile()
    writes = [
        (event["verb"], event["requestURI"])
        for number, event in enumerate(plane.audit_events())
        if number >= before
        and event["user"]["username"] == OPERATOR
        and event["verb"] not in ("get", "list", "watch")
    ]
    assert writes == []


async def test_nothing_is_written_on_the_resource_itself(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    metadata = (await world.get("AscendLLM", "llama"))["metadata"]
    assert "annotations" not in metadata
    assert "finalizers" not in metadata
    assert metadata["generation"] == 1


async def test_transitions_are_told_as_events(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    events = [
        (event["type"], event["reason"])
        for event in await world.admin.list("Event", world.namespace)
        if event["involvedObject"]["kind"] == "AscendLLM"
    ]
    assert ("Normal", "Proven") in events
    assert ("Normal", "Validating") in events
