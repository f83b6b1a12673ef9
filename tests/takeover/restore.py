"""Restores the objects of a fixture on an API server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from ascendllm.kube.kinds import path
from integration.admin import Admin
from takeover.fixtures import UUID, Fixture, substitute

__all__ = ["Restored", "restored"]

_APPLY = "application/apply-patch+yaml; charset=utf-8"
_OF_THE_SERVER = ("creationTimestamp", "generation")
_MERGE = "application/merge-patch+json"


class Restored:
    """A fixture's objects as they are on the API server now.

    Attributes:
        now: When they were recorded: the operator's clock.
        namespace: Where they are.
        unset: Recorded metadata that no client can set, by the present uids.
        uids: The present uids by the recorded ones.
    """

    def __init__(self, admin: Admin, fixture: Fixture, namespace: str) -> None:
        self.namespace = namespace
        self.now = datetime.fromisoformat(fixture.recorded_at)
        self.unset: dict[str, dict[str, Any]] = {}
        self._admin = admin
        self._fixture = fixture
        self.uids: dict[str, str] = {}

    @property
    def resources(self) -> list[str]:
        """The names of its AscendLLMs."""
        items = (item for item in self._fixture.objects if item["kind"] == "AscendLLM")
        return [item["metadata"]["name"] for item in items]

    async def restore(self) -> None:
        """Create every object, after the objects whose uids it contains."""
        waiting = {item["metadata"]["uid"]: item for item in self._fixture.objects}
        while waiting:
            known = [
                uid
                for uid, item in waiting.items()
                if not set(UUID.findall(json.dumps(item))) & waiting.keys() - {uid}
            ]
            assert known, f"they name each other by uid: {sorted(waiting)}"
            await asyncio.gather(*(self._restore(waiting[uid]) for uid in known))
            for uid in known:
                del waiting[uid]

    async def _restore(self, item: dict[str, Any]) -> None:
        item = _sorted_again(substitute(item, self.uids))
        metadata = item["metadata"]
        recorded_uid = metadata.pop("uid")
        unset = {key: metadata.pop(key) for key in _OF_THE_SERVER if key in metadata}
        metadata["namespace"] = self.namespace
        entries = metadata.pop("managedFields", [])
        is_plain = bool(entries) and "fieldsV1" not in entries[0]
        made = await (self._write_plainly if is_plain else self._write)(item, entries)
        self.uids[recorded_uid] = made["metadata"]["uid"]
        self.unset[made["metadata"]["uid"]] = unset

    async def _write_plainly(
        self, item: dict[str, Any], entries: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Apply the object as its one manager, and write its status as the status's manager."""
        where = path(item["kind"], self.namespace, item["metadata"]["name"])
        status = item.pop("status", None)
        for entry in sorted(entries, key=lambda entry: "subresource" in entry):
            if "subresource" not in entry:
                made = await self._apply(where, item, entry["manager"])
            elif entry["operation"] == "Apply":
                metadata = {key: item["metadata"][key] for key in ("name", "namespace")}
                body = {**item, "metadata": metadata, "status": status}
                body.pop("spec", None)
                await self._apply(f"{where}/status", body, entry["manager"])
            else:
                await self._patch(f"{where}/status", {"status": status}, entry["manager"])
        return made

    async def _write(self, item: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, Any]:
        """Create the object in one request, and then set managedFields, which is plain data."""
        where = path(item["kind"], self.namespace, item["metadata"]["name"])
        status = item.pop("status", None)
        made = await self._admin.post(item)
        if status is not None:
            await self._patch(f"{where}/status", {"status": status})
        if entries:
            fields = [
                {**entry, "fieldsType": "FieldsV1", "fieldsV1": json.loads(entry["fieldsV1"])}
                for entry in entries
            ]
            await self._patch(where, {"metadata": {"managedFields": fields}})
        return made

    async def _apply(self, where: str, item: dict[str, Any], manager: str) -> dict[str, Any]:
        query = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        body = json.dumps(item, ensure_ascii=False).encode()
        return await self._admin._request("PATCH", where, query, body, _APPLY)

    async def _patch(self, where: str, patch: dict[str, Any], manager: str = "takeover") -> None:
        query = {"fieldManager": manager}
        await self._admin._request("PATCH", where, query, patch, _MERGE)


def _sorted_again(item: dict[str, Any]) -> dict[str, Any]:
    """The object with sorted JSON in ConfigMaps sorted again, after uids in keys changed."""
    for key, text in (item.get("data") or {}).items() if item["kind"] == "ConfigMap" else ():
        with contextlib.suppress(ValueError):
            item["data"][key] = _compact(json.loads(text)) if _is_compact(text) else text
    return item


def _is_compact(text: str) -> bool:
    return bool(UUID.search(text)) and len(_compact(json.loads(text))) == len(text)


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@asynccontextmanager
async def restored(
    admin: Admin, fixture: Fixture, namespace: str | None = None
) -> AsyncIterator[Restored]:
    """The fixture's nodes and objects, until the end.

    Args:
        admin: The administrator.
        fixture: What to restore.
        namespace: Where; the fixture's own namespace when None.
    """
    if namespace is not None:
        text = json.dumps(fixture.objects).replace(fixture.namespace, namespace)
        settings, nodes = fixture.settings, fixture.nodes
        fixture = Fixture(namespace, fixture.recorded_at, settings, nodes, json.loads(text))
    name = {"name": fixture.namespace}
    await admin.post({"apiVersion": "v1", "kind": "Namespace", "metadata": name})
    items = Restored(admin, fixture, fixture.namespace)
    try:
        for node in fixture.nodes:
            await create_node(admin, node)
        await items.restore()
        yield items
    finally:
        # Later tests of the session run operators that would reconcile them.
        for resource in items.resources:
            await admin.remove("AscendLLM", items.namespace, resource)
        for node in fixture.nodes:
            await admin.remove("Node", None, node["metadata"]["name"])


async def create_node(admin: Admin, node: dict[str, Any]) -> None:
    """A node with its status."""
    item = {"apiVersion": "v1", "kind": "Node", **node}
    name = item["metadata"]["name"]
    await admin._request("POST", path("Node"), None, item)
    status = {"status": item["status"]}
    await admin._request("PATCH", path("Node", None, name) + "/status", None, status, _MERGE)
