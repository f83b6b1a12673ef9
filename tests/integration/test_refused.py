"""What only the operator can see: told with a remedy, and nothing is started."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ascendllm.settings import Settings
from integration.admin import Admin
from integration.world import SETTINGS, World, resource

SMOKE = {"smoke": {}}


class Nodes:
    """Nodes with NPUs of a resource that only this test asks for."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._names: list[str] = []
        self.resource = f"test.example/npu-{uuid.uuid4().hex[:8]}"

    async def add(self, chip: str | None) -> str:
        name = f"node-{uuid.uuid4().hex[:8]}"
        labels = {"node.kubernetes.io/npu.chip.name": chip} if chip else {}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        await self._admin._request("POST", "/api/v1/nodes", None, node)
        self._names.append(name)
        capacity = {"status": {"capacity": {self.resource: "16"}}}
        await self._admin.edit("Node", None, name, capacity, subresource="status")
        return name

    async def label(self, name: str, chip: str) -> None:
        labels = {"node.kubernetes.io/npu.chip.name": chip}
        await self._admin.edit("Node", None, name, {"metadata": {"labels": labels}})

    async def clear(self) -> None:
        for name in self._names:
            await self._admin.remove("Node", None, name)


@pytest.fixture
async def nodes(admin: Admin) -> AsyncIterator[Nodes]:
    nodes = Nodes(admin)
    yield nodes
    await nodes.clear()


async def test_an_unknown_generation_and_after_the_node_is_labelled(
    world: World, nodes: Nodes, settings: Settings
) -> None:
    npu = {"resource": nodes.resource, "count": 1}
    await world.apply(resource(validation=SMOKE, npu=npu))
    assert await world.reconcile() is not None, "nodes are not watched: it looks again"
    assert (await world.conditions())["Stalled"] == "True/AmbiguousGeneration"
    assert "no node offers" in await world.message()

    node = await nodes.add(None)
    world.operate(settings)  # the same operator lists them again after ten seconds
    await world.settle()
    assert node in await world.message()
    assert "label the nodes" in await world.message()
    assert await world.children("Deployment") == []

    await nodes.label(node, "Ascend910")
    world.operate(settings)
    await world.settle()
    deployment = (await world.children("Deployment"))[0]
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.test/vllm-ascend:v0.18.0rc1-a3"

    await nodes.label(node, "910B4")
    await world.settle()
    assert (await world.children("Deployment"))[0]["spec"] == deployment["spec"], "resolved once"


async def test_several_generations(world: World, nodes: Nodes) -> None:
    first, second = await nodes.add("Ascend910"), await nodes.add("910B4")
    await world.apply(resource(validation=SMOKE, npu={"resource": nodes.resource}))
    await world.settle()
    assert (await world.conditions())["Ready"] == "False/AmbiguousGeneration"
    message = await world.message()
    assert first in message
    assert second in message
    assert "spec.npu.generation" in message
    await world.apply(
        resource(validation=SMOKE, npu={"resource": nodes.resource, "generation": "A2"})
    )
    await world.settle()
    assert (await world.conditions())["Reconciling"].startswith("True/")


REFUSED: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "HostPathNotAllowed",
        {"model": {"source": {"hostPath": "/etc/kubernetes"}}},
        ["spec.model.source.hostPath /etc/kubernetes", "hostPathPrefixes", "/opt/atomgit"],
    ),
    (
        "HostPathNotAllowed",
        {"model": {"source": {"hostPath": "/opt/atomgitx/llama"}}},
        ["/opt/atomgitx/llama"],
    ),
    (
        "HostPathNotAllowed",
        {"validation": {"mmlu": {"data": {"hostPath": "/root"}}}},
        ["spec.validation.mmlu.data.hostPath /root"],
    ),
    (
        "ParallelismMismatch",
        {"npu": {"count": 4, "generation": "A3"}, "engine": {"tensorParallelSize": 3}},
        ["tensorParallelSize 3", "spec.npu.count gives a pod 4"],
    ),
    (
        "ParallelismMismatch",
        {"npu": {"count": 5, "generation": "A3"}, "engine": {"dataParallelSize": 2}},
        ["dataParallelSize 2", "5"],
    ),
    (
        "InvalidEngineArgs",
        {"engine": {"args": ["--max-model-length=4096", "--port=1"]}},
        ["--max-model-length", "--max-model-len", "--port=1"],
    ),
    (
        "InvalidEngine",
        {"engine": {"maxNumBatchedTokens": 8, "maxNumSeqs": 16}},
        ["maxNumBatchedTokens 8", "maxNumSeqs 16"],
    ),
]


@pytest.mark.parametrize(("reason", "change", "told"), REFUSED, ids=[r[0] for r in REFUSED])
async def test_a_spec_that_is_not_acted_on(
    world: World, reason: str, change: dict[str, Any], told: list[str]
) -> None:
    await world.apply(resource(**change))
    await world.settle()
    conditions = await world.conditions()
    assert conditions["Ready"] == f"False/{reason}"
    assert conditions["Stalled"] == f"True/{reason}"
    assert conditions["Validated"] == f"Unknown/{reason}"
    message = await world.message()
    for part in told:
        assert part in message
    for kind in ("Deployment", "Service", "Job", "ControllerRevision"):
        assert await world.children(kind) == []


async def test_what_serves_goes_on_serving_behind_a_refused_change(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    served = await world.served()
    before = await world.versions()
    await world.apply(resource(validation=SMOKE, engine={"args": ["--nonsense"]}))
    await world.settle()
    assert await world.conditions() == {
        "Ready": "False/InvalidEngineArgs",
        "Stalled": "True/InvalidEngineArgs",
        "Available": "True/Serving",
        "Validated": "Unknown/InvalidEngineArgs",
    }
    status = await world.status()
    assert status["servedRevision"] == served
    assert status["readyReplicas"] == 1
    after = await world.versions()
    assert {k: v for k, v in after.items() if k[0] != "AscendLLM"} == {
        k: v for k, v in before.items() if k[0] != "AscendLLM"
    }
    await world.apply(resource(validation=SMOKE))
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_no_data_set_is_told_before_an_npu_is_taken(world: World) -> None:
    settings = Settings.from_mapping({**SETTINGS, "mmluData": ""})
    world.operate(settings)
    await world.apply(resource())
    await world.settle()
    assert (await world.conditions())["Stalled"] == "True/NoDataset"
    assert "mmluData" in await world.message()
    assert await world.children("Deployment") == []


async def test_an_unset_image_is_told_before_an_npu_is_taken(world: World) -> None:
    world.operate(Settings.from_mapping({**SETTINGS, "validatorImage": ""}))
    await world.apply(resource())
    await world.settle()
    assert (await world.conditions())["Stalled"] == "True/ImageNotConfigured"
    assert "validatorImage" in await world.message()
    assert await world.children("Deployment") == []


async def test_an_operator_without_images_leaves_what_is_proven_alone(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    before = await world.versions()
    unset = dict.fromkeys(("validatorImage", "downloaderImage", "evalsImage"), "")
    world.operate(Settings.from_mapping({**SETTINGS, **unset}))
    await world.settle()
    assert await world.versions() == before


async def test_another_operator_restarts_nothing(world: World) -> None:
    item = resource(validation=SMOKE, runtime=None)
    await world.apply(item)
    await world.prove(checks=("smoke",))
    before = await world.versions()
    other = {**SETTINGS, "runtimeVersion": "v9", "runtimeRepository": "elsewhere.test/x"}
    world.operate(Settings.from_mapping({**other, "validatorImage": "v:2"}))
    await world.settle()
    assert await world.versions() == before

    await world.apply(resource(validation=SMOKE, runtime=None, engine={"maxModelLen": 2048}))
    await world.settle()
    await world.move_pods()
    await world.settle()
    deployment = (await world.children("Deployment"))[0]
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.test/vllm-ascend:v0.18.0rc1-a3", "carried over"
    env = {"env": {"A": "1"}}
    await world.apply(resource(validation=SMOKE, runtime=env, engine={"maxModelLen": 2048}))
    await world.settle()
    await world.move_pods()
    await world.settle()
    deployment = (await world.children("Deployment"))[0]
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "elsewhere.test/x:v9-a3", "the runtime changed, so it is resolved again"
