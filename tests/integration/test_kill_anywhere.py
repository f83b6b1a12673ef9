"""Killed after any write and started again, the operator comes to the same objects."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from ascendllm.kube.client import ApiServer
from ascendllm.kube.kinds import CHILDREN
from ascendllm.reconcile import Reconciler
from ascendllm.settings import Settings
from cluster.control_plane import ControlPlane
from integration.admin import Admin
from integration.world import World, resource

Object = Mapping[str, Any]


class Killed(BaseException):
    """The operator's process is gone; no handler of its own sees this."""


class Mortal:
    """The real API server, behind an operator that dies after its k-th write."""

    def __init__(self, api: ApiServer, life: int) -> None:
        self._api = api
        self._life = life
        self.writes = 0

    async def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        return await self._api.get(kind, namespace, name)

    async def list(self, *about: Any, **form: Any) -> tuple[Object, ...]:
        return await self._api.list(*about, **form)

    async def apply(self, item: Object) -> Object:
        return self._counted(await self._alive().apply(item))

    async def apply_status(self, item: Object) -> Object:
        return self._counted(await self._alive().apply_status(item))

    async def create(self, item: Object) -> Object:
        return self._counted(await self._alive().create(item))

    async def replace(self, item: Object) -> Object:
        return self._counted(await self._alive().replace(item))

    async def merge(self, kind: str, namespace: str, name: str, patch: Object) -> Object:
        return self._counted(await self._alive().merge(kind, namespace, name, patch))

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        self._counted(await self._alive().delete(kind, namespace, name, uid))

    def _alive(self) -> ApiServer:
        if self.writes >= self._life:
            raise Killed
        return self._api

    def _counted(self, answer: Any) -> Any:
        self.writes += 1
        if self.writes >= self._life:
            raise Killed
        return answer


class Restarted:
    """A reconciler that is replaced by a fresh one when it is killed."""

    def __init__(self, world: World, api: ApiServer, settings: Settings, life: int) -> None:
        self._fresh = Reconciler(api, settings, world.clock)
        self.first = Mortal(api, life)
        self.killed = False
        self._current = Reconciler(self.first, settings, world.clock)

    async def reconcile(self, key: tuple[str, str]) -> float | None:
        try:
            return await self._current.reconcile(key)
        except Killed:
            self.killed = True
            self._current = self._fresh
            return None


async def the_whole_way(
    admin: Admin, plane: ControlPlane, api: ApiServer, settings: Settings, life: int
) -> tuple[Restarted, dict[str, Any]]:
    """First light with an operator that is killed after `life` writes; and what came of it."""
    world = World(admin, plane, f"kill-{uuid.uuid4().hex[:8]}")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace}}
    await admin.post(namespace)
    operator = Restarted(world, api, settings, life)
    world.reconciler = operator  # type: ignore[assignment]
    await world.apply(resource(validation={"smoke": {}, "mmlu": {}}))
    await world.prove(checks=("smoke", "mmlu"))
    await world.apply(resource(validation={"smoke": {}, "mmlu": {}}, suspend=True))
    await world.settle()
    await world.move_pods()
    await world.apply(resource(validation={"smoke": {}}, engine={"maxModelLen": 2048}))
    await world.prove(checks=("smoke",))
    outcome: dict[str, Any] = {}
    for kind in CHILDREN:
        for item in await world.children(kind):
            outcome[f"{kind} {item['metadata']['name']}"] = _essence(world, item)
    status = await world.status()
    status["validation"]["smoke"].pop("attempt")
    outcome["status"] = _essence(world, {"metadata": {}, "status": status})
    outcome["served"] = await world.served()
    return operator, outcome


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
    undisturbed, wanted = await the_whole_way(admin, control_plane, api, settings, 10**9)
    assert wanted["status"]["status"]["verdict"] == "Passed"
    assert wanted["served"] != "none"
    assert not undisturbed.killed
    assert undisturbed.first.writes > 40
    lives = list(range(1, undisturbed.first.writes))

    async def one_after_the_other() -> None:
        while lives:
            life = lives.pop()
            operator, outcome = await the_whole_way(admin, control_plane, api, settings, life)
            assert operator.killed
            assert outcome == wanted, f"killed after write {life}"

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(one_after_the_other())
