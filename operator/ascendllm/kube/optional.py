"""Objects of kinds that most resources have none of, such as an autoscaler or a route.

Listing each such kind in every pass would double the requests at rest, for nothing. Only the
operator makes these objects, so one list of each kind over all namespaces, at the start, and what
was applied since, tell which resources may have one. A kind that the API server does not serve is
asked for again after a while: it may be installed any day.

An older version of such a kind may lack a field, such as the timeouts of a route before Gateway API
1.2: an apply with it is refused, so it is left out. What came of that is as near as it comes; the
same again would change nothing.
"""

from __future__ import annotations

import asyncio
import copy
import re
import time
from typing import Any

from ascendllm.desired import names
from ascendllm.exceptions import ClusterError
from ascendllm.kube.cluster import Cluster, Object
from ascendllm.kube.compare import differs
from ascendllm.kube.kinds import OPTIONAL

__all__ = ["OptionalKinds", "without_undeclared"]

Key = tuple[str, str]

_ASK_AGAIN_SECONDS = 60.0

_UNDECLARED = re.compile(r"(?:^|[\s;,])((?:\.\w+(?:\[\d+\])*)+): field not declared in schema")
"""How structured-merge-diff names a field that the schema has not, in an answer 500."""


_OF_MANY_VERSIONS = ("HTTPRoute", "ScaledObject")
"""Kinds that go without a field that their version has not: what pods run by does not."""


class OptionalKinds:
    """Which resources have objects of which optional kinds.

    Args:
        cluster: The API server.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._having: dict[str, set[Key]] = {}
        self._absent: dict[str, float] = {}
        self._nearest: dict[tuple[str, str, str], tuple[str, int]] = {}
        self._lock = asyncio.Lock()

    async def list(self, key: Key) -> tuple[dict[str, tuple[Object, ...]], frozenset[str]]:
        """The objects of a resource by kind, and the kinds that the API server does not serve."""
        await self._learn()
        kinds = [kind for kind, having in self._having.items() if key in having]
        lists = await asyncio.gather(*(self._of(kind, key) for kind in kinds))
        absent = frozenset(kind for kind in OPTIONAL if kind not in self._having)
        return dict(zip(kinds, lists, strict=True)), absent

    def applied(self, key: Key, kind: str) -> None:
        """Take down that a resource is about to have an object of a kind."""
        if kind in self._having:
            self._having[kind].add(key)

    def came_of(self, item: Object, answer: Object) -> None:
        """Take down what an apply of an object came to."""
        generation = _generation(answer)
        if item["kind"] in OPTIONAL and generation is not None and differs(item, answer):
            self._nearest[_place(item)] = names.digest(item), generation

    def is_as_near_as_it_comes(self, item: Object, live: Object) -> bool:
        """Whether this was applied, and nobody has changed it since."""
        known = self._nearest.get(_place(item))
        return known is not None and known == (names.digest(item), _generation(live))

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone."""
        for having in self._having.values():
            having.discard(key)
        for kind in OPTIONAL:
            self._nearest.pop((kind, *key), None)

    async def _of(self, kind: str, key: Key) -> tuple[Object, ...]:
        try:
            return await self._cluster.list(kind, key[0], f"{names.NAME}={key[1]}")
        except ClusterError as error:
            if error.status != 404:
                raise
        # It was taken away, and its objects with it.
        self._having.pop(kind, None)
        self._absent[kind] = time.monotonic()
        return ()

    async def _learn(self) -> None:
        """Ask once for each kind who has an object of it."""
        if all(self._known(kind) for kind in OPTIONAL):
            return
        async with self._lock:
            for kind in OPTIONAL:
                if not self._known(kind):
                    await self._ask(kind)

    def _known(self, kind: str) -> bool:
        asked = self._absent.get(kind)
        return kind in self._having or (
            asked is not None and time.monotonic() - asked < _ASK_AGAIN_SECONDS
        )

    async def _ask(self, kind: str) -> None:
        having: set[Key] = set()
        try:
            async for item in self._cluster.each(kind, selector=names.SELECTOR, metadata_only=True):
                metadata = item["metadata"]
                owner = (metadata.get("labels") or {}).get(names.NAME)
                if owner:
                    having.add((metadata["namespace"], owner))
        except ClusterError as error:
            if error.status != 404:
                raise
            self._absent[kind] = time.monotonic()
            return
        self._absent.pop(kind, None)
        self._having[kind] = having


def without_undeclared(item: Object, error: ClusterError) -> Object | None:
    """The object without the fields that this API server does not know.

    Args:
        item: What was applied.
        error: Why it was refused.

    Returns:
        None where it was refused for something else.
    """
    places = _UNDECLARED.findall(str(error))
    if item["kind"] not in _OF_MANY_VERSIONS or not places:
        return None
    less: dict[str, Any] = copy.deepcopy(dict(item))
    for place in places:
        *parents, last = re.findall(r"\w+", place)
        node: Any = less
        for parent in parents:
            node = node[int(parent)] if isinstance(node, list) else node[parent]
        node.pop(last, None)
    return less


def _place(item: Object) -> tuple[str, str, str]:
    return item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]


def _generation(item: Object) -> int | None:
    """It counts changes of the spec; the status' are none. Not every kind has it."""
    generation = item["metadata"].get("generation")
    return generation if isinstance(generation, int) else None
