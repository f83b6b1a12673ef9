"""Killed after any write and started again, the operator comes to the same objects."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import uuid
from typing import Any

from ascendllm.kube.client import ApiServer
from ascendllm.kube.kinds import CHILDREN
from ascendllm.settings import Settings
from cluster.control_plane import ControlPlane
from integration.admin import Admin
from integration.world import World, resource


async def the_whole_way(
    admin: Admin, plane: ControlPlane, api: ApiServer, settings: Settings, life: int
) -> tuple[int, dict[str, Any]]:
    """First light, a revalidation and a change, by an operator that is killed; what came of it.

    Returns:
        How many writes the operator made before it was killed, and the essence of all objects.
    """
    world = World(admin, plane, api, f"kill-{uuid.uuid4().hex[:8]}")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace}}
    await admin.post(namespace)
    first = world.operate(settings, life=life)
    await world.apply(resource(validation={"smoke": {}}))
    await world.prove(checks=("smoke",))
    await world.annotate("v1")
    await world.settle()
    await world.finish_check("smoke")
    changed = resource(validation={"smoke": {}}, engine={"maxModelLen": 2048})
    await world.apply(changed)
    await world.settle()
    await world.move_pods()
    await world.load()
    outcome: dict[str, Any] = {}
    for kind in CHILDREN:
        for item in await world.children(kind):
            outcome[f"{kind} {item['metadata']['name']}"] = _essence(world, item)
    outcome["status"] = _essence(world, {"metadata": {}, "status": await world.status()})
    outcome["served"] = await world.served()
    await world.remove("AscendLLM", "llama")
    return first.writes, outcome


_VARIES = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|"
    r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
)
_OF_THE_SERVER = ("resourceVersion", "managedFields", "creationTimestamp", "generation", "uid")


def _essence(world: World, item: dict[str, Any]) -> Any:
    """An object without what differs from one run to the next: times, uids, addresses."""
    metadata = {k: v for k, v in item["metadata"].items() if k not in _OF_THE_SERVER}
    kept = {**item, "metadata": metadata}
    if item.get("kind") == "Service":
        kept["spec"] = {k: item["spec"].get(k) for k in ("selector", "ports", "type")}
    if item.get("kind") in ("Pod", "Deployment"):
        kept.pop("status", None)
    text = json.dumps(kept, sort_keys=True).replace(world.namespace, "NAMESPACE")
    return json.loads(_VARIES.sub("VARIES", text))


async def test_killed_after_any_write(
    admin: Admin, control_plane: ControlPlane, api: ApiServer, settings: Settings
) -> None:
    writes, wanted = await the_whole_way(admin, control_plane, api, settings, sys.maxsize)
    assert wanted["served"] != "none"
    assert len(wanted["status"]["status"]["history"]) == 2
    assert wanted["status"]["status"]["lastHandledRevalidate"] == "v1"
    assert writes > 35
    lives = list(range(1, writes))

    async def one_after_the_other() -> None:
        while lives:
            life = lives.pop()
            done, outcome = await the_whole_way(admin, control_plane, api, settings, life)
            assert done >= life
            assert outcome == wanted, f"killed after write {life}"

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(one_after_the_other())
