"""The ConfigMaps of runs, read again only when they have changed.

A finished run never changes, and holds every answer of its check. So what is listed is metadata
alone, and a body is fetched once for each resourceVersion; of it, only what a decision reads is
kept. Losing the cache costs requests, nothing else.
"""

from __future__ import annotations

import asyncio

from ascendllm.kube.cluster import Cluster, Object

__all__ = ["RunCache"]

_KEPT = frozenset({"run.json", "progress.json", "result.json", "sealed.json"})


class RunCache:
    """Runs by namespace and label selector.

    Args:
        cluster: The API server.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[tuple[str, str], dict[str, Object]] = {}

    async def list(self, namespace: str, selector: str) -> tuple[Object, ...]:
        """The ConfigMaps that a label selector matches, without the data that no decision reads."""
        listed = await self._cluster.list("ConfigMap", namespace, selector, metadata_only=True)
        known = self._known.get((namespace, selector), {})
        found = await asyncio.gather(*(self._body(item, known) for item in listed))
        bodies = {_mark(item): item for item in found if item is not None}
        self._known[namespace, selector] = bodies
        return tuple(bodies.values())

    def forget(self, namespace: str, selector: str) -> None:
        """Drop what is known of a resource that is gone."""
        self._known.pop((namespace, selector), None)

    async def _body(self, listed: Object, known: dict[str, Object]) -> Object | None:
        if (body := known.get(_mark(listed))) is not None:
            return body
        metadata = listed["metadata"]
        item = await self._cluster.get("ConfigMap", metadata["namespace"], metadata["name"])
        if item is None:
            return None
        data = item.get("data") or {}
        return {**item, "data": {key: text for key, text in data.items() if key in _KEPT}}


def _mark(item: Object) -> str:
    metadata = item["metadata"]
    return f"{metadata['uid']}/{metadata['resourceVersion']}"
