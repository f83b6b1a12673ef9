"""The ConfigMaps of runs, read again only when they have changed.

A finished run never changes, and holds every answer of its check. So what is listed is metadata
alone, and a body is fetched once for each resourceVersion; of it, only what a decision reads is
kept. Losing the cache costs requests, nothing else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from ascendllm.kube.cluster import Cluster, Object
from ascendllm.state.replacements import KEY as REPLACEMENTS

__all__ = ["RunCache"]

_KEPT = frozenset(
    {
        "run.json",
        "progress.json",
        "result.json",
        "sealed.json",
        REPLACEMENTS,
        # Of a cache.
        "download.json",
        "attempts.json",
    }
)

_TEXTS = 8
"""Long texts that are kept at hand, of all resources together; each has at most 1 MiB."""


class RunCache:
    """Runs by namespace and label selector.

    Args:
        cluster: The API server.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[tuple[str, str], dict[str, Object]] = {}
        self._texts: OrderedDict[tuple[str, str], str | None] = OrderedDict()

    async def list(self, namespace: str, selector: str) -> tuple[Object, ...]:
        """The ConfigMaps that a label selector matches, without the data that no decision reads."""
        listed = await self._cluster.list("ConfigMap", namespace, selector, metadata_only=True)
        known = self._known.get((namespace, selector), {})
        found = await asyncio.gather(*(self._body(item, known) for item in listed))
        bodies = {_mark(item): item for item in found if item is not None}
        self._known[namespace, selector] = bodies
        return tuple(bodies.values())

    async def text(self, namespace: str, name: str, key: str) -> str | None:
        """A text of a run that most decisions don't read; None where the run has none.

        A sealed run's is asked for once, as long as it is among the last that were.
        """
        item = self._listed(namespace, name)
        mark = (_mark(item), key) if item is not None and item.get("immutable") else None
        if mark is not None and mark in self._texts:
            self._texts.move_to_end(mark)
            return self._texts[mark]
        found = await self._cluster.get("ConfigMap", namespace, name)
        value = ((found or {}).get("data") or {}).get(key)
        text = value if isinstance(value, str) else None
        if mark is not None:
            self._texts[mark] = text
            while len(self._texts) > _TEXTS:
                self._texts.popitem(last=False)
        return text

    def _listed(self, namespace: str, name: str) -> Object | None:
        for (where, _), bodies in self._known.items():
            if where == namespace:
                for item in bodies.values():
                    if item["metadata"]["name"] == name:
                        return item
        return None

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
