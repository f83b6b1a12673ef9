"""Every device world on a real API server: taken as it is, told in the status, and left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml

from integration.admin import Admin
from integration.world import World
from unit.core.test_golden import GOLDEN

CASES = (
    "mindcluster-runtime",
    "mindcluster-hostpath",
    "mindcluster-volcano",
    "mindcluster-volcano-310p-duo",
    "cce",
    "hami",
    "hami-sliced",
    "hami-template",
    "vnpu",
    "custom-resource",
)

CLASSES = "apis/node.k8s.io/v1/runtimeclasses"
RUNTIME_CLASSES = ("ascend", "ascend-runtime")

CHOSEN: dict[str, dict[str, str]] = {
    "mindcluster-runtime": {"generation": "A2", "chip": "910B3", "memory": "64Gi", "variant": "a2"},
    "mindcluster-volcano": {"generation": "A3", "chip": "Ascend910", "memory": "64Gi"},
    "mindcluster-volcano-310p-duo": {"generation": "310P", "chip": "310P3", "variant": "310p"},
    "cce": {"generation": "A3", "variant": "a3"},
    "hami": {"generation": "A2", "chip": "910B4", "memory": "32Gi"},
    "vnpu": {"generation": "A2", "chip": "910B3", "memory": "32Gi"},
}
"""What the status tells of the choice, where a case is about that."""


@pytest.fixture
async def told(admin: Admin) -> AsyncIterator[Any]:
    """Makes a case's nodes, and takes them away after the test."""
    made: list[str] = []

    async def make(case: str) -> None:
        file = GOLDEN / case / "nodes.yaml"
        for node in yaml.safe_load(file.read_text()) if file.exists() else ():
            item = {"apiVersion": "v1", "kind": "Node", "metadata": node["metadata"]}
            await admin._request("POST", "/api/v1/nodes", None, item)
            made.append(node["metadata"]["name"])
            status = {"status": node["status"]}
            await admin.edit("Node", None, made[-1], status, subresource="status")

    for name in RUNTIME_CLASSES:
        # Without it the API server refuses the pods.
        item = {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": name},
            "handler": "ascend",
        }
        await admin._request("POST", f"/{CLASSES}", None, item)
    yield make
    for name in RUNTIME_CLASSES:
        await admin._request("DELETE", f"/{CLASSES}/{name}", None, None)
    for name in made:
        await admin.remove("Node", None, name)


@pytest.mark.parametrize("case", CASES)
async def test_a_world_comes_up_and_rests(world: World, told: Any, case: str) -> None:
    await told(case)
    item = yaml.safe_load((GOLDEN / case / "in.yaml").read_text())
    name = item["metadata"]["name"]
    await world.apply(item)
    await world.settle(name)
    await world.move_pods(name=name)
    await world.settle(name)
    assert (await world.conditions(name))["Ready"] == "True/NoValidation"

    (deployment,) = await world.children("Deployment", name)
    golden = list(yaml.safe_load_all((GOLDEN / case / "objects.yaml").read_text()))
    (wanted,) = (found for found in golden if found["kind"] == "Deployment")
    assert deployment["metadata"]["name"] == wanted["metadata"]["name"]
    runtime = (await world.status(name))["runtime"]
    assert {key: runtime.get(key) for key in CHOSEN.get(case, {})} == CHOSEN.get(case, {})


async def test_a_volcano_count_is_refused_with_what_fits(world: World, told: Any) -> None:
    case = "mindcluster-volcano"
    await told(case)
    item = yaml.safe_load((GOLDEN / case / "in.yaml").read_text())
    item["spec"]["npu"]["count"] = 3
    await world.apply(item)
    await world.settle("gang")
    assert (await world.conditions("gang"))["Stalled"] == "True/InvalidNpuCount"
    assert "1, 2, 4, 6, 8, 10, 12, 14, 16" in await world.message(name="gang")
    assert await world.children("Deployment", "gang") == []
    item["spec"]["npu"]["count"] = 4
    await world.apply(item)
    await world.settle("gang")
    assert len(await world.children("Deployment", "gang")) == 1


async def test_a_list_of_nodes_goes_without_what_is_large(admin: Admin, told: Any) -> None:
    await told("mindcluster-runtime")
    (node,) = [item for item in await admin.list("Node") if item["metadata"]["name"] == "a2-0"]
    assert "managedFields" not in node["metadata"]
    assert node["status"]["capacity"] == {"huawei.com/Ascend910": "8"}
    assert (node["kind"], node["apiVersion"]) == ("Node", "v1")
