"""The ConfigMaps of runs, read again only when they have changed.

A finished run never changes, and holds every answer of its check. So what is listed is metadata
alone, and a body is fetched once for each resourceVersion; of it, only what a decision reads is
kept. Losing the cache costs requests, nothing else.

Whoever may write ConfigMaps may label any number of them, of 1 MB each, so everything is bounded:
the length of each text, the texts of one list, and the texts of all lists together.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from ascendllm.exceptions import ClusterError
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

_TEXT = 256 * 1024 + 1
"""Characters of one text: one more than any reader takes, which therefore refuses a longer one."""

_LIST = 4 * 1024 * 1024
"""Characters of all texts of one list. 120 runs, the most that are kept, take 1 MB."""

_BODIES = 1000
"""ConfigMaps of one list."""

_ALL = 32 * 1024 * 1024
"""Characters of the lists that are cached; the one that was used least recently goes first."""

_AT_ONCE = 4
"""Bodies that are fetched at the same time for one list; each may have 1 MB."""

_TEXTS = 8
"""Long texts that are kept at hand, of all resources together; each has at most 1 MiB."""


class RunCache:
    """Runs by namespace and label selector.

    Args:
        cluster: The API server.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: OrderedDict[tuple[str, str], dict[str, Object]] = OrderedDict()
        self._sizes: dict[tuple[str, str], int] = {}
        self._size = 0
        self._texts: OrderedDict[tuple[str, str], str | None] = OrderedDict()

    async def list(
        self, namespace: str, selector: str, where: Callable[[Object], bool] = lambda _: True
    ) -> tuple[Object, ...]:
        """The ConfigMaps that a label selector matches, without the data that no decision reads.

        Args:
            namespace: Where they are.
            selector: A label selector.
            where: Which of them to read, by their metadata.

        Raises:
            ClusterError: As any request; `TooLarge` where they hold more than is ever needed.
        """
        listed = await self._cluster.list(
            "ConfigMap", namespace, selector, metadata_only=True, where=where
        )
        if len(listed) > _BODIES:
            raise _too_large(namespace, selector, f"are more than {_BODIES}")
        key = namespace, selector
        known = self._known.get(key, {})
        bodies: dict[str, Object] = {}
        size = 0
        for start in range(0, len(listed), _AT_ONCE):
            batch = listed[start : start + _AT_ONCE]
            for item in await asyncio.gather(*(self._body(item, known) for item in batch)):
                if item is not None:
                    bodies[_mark(item)] = item
                    size += _size(item)
            if size > _LIST:
                self.forget(namespace, selector)
                raise _too_large(
                    namespace, selector, f"hold more than {_LIST // 1024 // 1024} MiB of results"
                )
        self.forget(namespace, selector)
        self._known[key] = bodies
        self._sizes[key] = size
        self._size += size
        while self._size > _ALL:
            self.forget(*next(iter(self._known)))
        return tuple(bodies.values())

    async def text(self, namespace: str, name: str, key: str) -> str | None:
        """A text of a run that most decisions don't read; None where the run has none.

        A sealed run's is asked for once, as long as it is among the last that were.
        """
        item = self._find(namespace, name)
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

    def _find(self, namespace: str, name: str) -> Object | None:
        for (where, _), bodies in self._known.items():
            if where == namespace:
                for item in bodies.values():
                    if item["metadata"]["name"] == name:
                        return item
        return None

    def forget(self, namespace: str, selector: str) -> None:
        """Drop what is known of a resource that is gone."""
        self._known.pop((namespace, selector), None)
        self._size -= self._sizes.pop((namespace, selector), 0)

    async def _body(self, listed: Object, known: dict[str, Object]) -> Object | None:
        if (body := known.get(_mark(listed))) is not None:
            return body
        metadata = listed["metadata"]
        item = await self._cluster.get("ConfigMap", metadata["namespace"], metadata["name"])
        if item is None:
            return None
        data = item.get("data") or {}
        kept = {key: text[:_TEXT] for key, text in data.items() if key in _KEPT}
        return {**{key: item[key] for key in item if key != "binaryData"}, "data": kept}


def _too_large(namespace: str, selector: str, why: str) -> ClusterError:
    return ClusterError(
        0,
        "TooLarge",
        f"the ConfigMaps with the label {selector} in namespace {namespace} {why}: delete those "
        "that are not the operator's",
    )


def _size(item: Object) -> int:
    return sum(map(len, item["data"].values()))


def _mark(item: Object) -> str:
    metadata = item["metadata"]
    return f"{metadata['uid']}/{metadata['resourceVersion']}"
