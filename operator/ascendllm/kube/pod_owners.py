"""Which pods belong to a resource, by their controllers.

A label is not enough: whoever may create pods may label them. A pod of a Deployment is controlled
by a ReplicaSet; a pod of a LeaderWorkerSet by a StatefulSet, whose controller is the
LeaderWorkerSet or, for workers, the leader's pod. An object keeps its controller, so each is looked
up once.

A pod whose controllers are gone counts too: it may hold NPUs until the garbage collector ends it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ascendllm.desired.workload import WORKLOADS
from ascendllm.kube.cluster import Cluster, Object
from ascendllm.kube.kinds import KINDS

__all__ = ["PodOwners"]

_CONTROLLERS = ("ReplicaSet", "StatefulSet", "Pod", *WORKLOADS)
_STEPS = 5
"""A worker's pod, its StatefulSet, the leader's pod, its StatefulSet, the LeaderWorkerSet."""
_AGAIN_SECONDS = 10.0
"""How soon a controller that is nobody's of ours is asked for again: it may be adopted."""
_AT_ONCE = 4
_KEPT = 10_000


@dataclass(frozen=True)
class _Controller:
    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class _Found:
    """What is known of a controller.

    Attributes:
        there: Whether it exists.
        above: Its own controller.
    """

    there: bool
    above: _Controller | None = None


class PodOwners:
    """Looks up the controllers of pods.

    Args:
        cluster: The API server.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: OrderedDict[str, tuple[float, _Found]] = OrderedDict()
        self._few = asyncio.Semaphore(_AT_ONCE)

    async def owned(
        self,
        namespace: str,
        pods: Sequence[Object],
        owners: Collection[str],
        absent: Collection[str] = (),
    ) -> tuple[Object, ...]:
        """The pods that one of `owners` controls, directly or not, or nobody any more.

        Args:
            namespace: Where they are.
            pods: Pods, leaders of groups included.
            owners: Uids of a resource's workloads.
            absent: Kinds that the API server does not serve: no object of theirs can be gone.

        Raises:
            ClusterError: The API server refuses or fails.
        """
        leaders = {pod["metadata"]["uid"]: _Found(True, _controller_of(pod)) for pod in pods}
        found = await asyncio.gather(
            *(self._is_owned(namespace, pod, leaders, owners, absent) for pod in pods)
        )
        return tuple(pod for pod, owned in zip(pods, found, strict=True) if owned)

    async def _is_owned(
        self,
        namespace: str,
        pod: Object,
        leaders: dict[str, _Found],
        owners: Collection[str],
        absent: Collection[str],
    ) -> bool:
        controller = _controller_of(pod)
        for _ in range(_STEPS):
            if controller is None or controller.kind in absent:
                return False
            if controller.uid in owners:
                return True
            found = leaders.get(controller.uid)
            if found is None:
                found = await self._find(namespace, controller, {*owners, *leaders})
            if not found.there:
                return True
            controller = found.above
        return False

    async def _find(
        self, namespace: str, controller: _Controller, wanted: Collection[str]
    ) -> _Found:
        async with self._few:
            asked, found = self._known.get(controller.uid, (float("-inf"), _Found(False)))
            if found.above is not None and found.above.uid in wanted:
                return found
            if time.monotonic() - asked >= _AGAIN_SECONDS:
                found = await self._ask(namespace, controller)
                self._known[controller.uid] = time.monotonic(), found
                self._known.move_to_end(controller.uid)
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            return found

    async def _ask(self, namespace: str, controller: _Controller) -> _Found:
        if controller.kind == "Pod":
            # The operator may list pods and not get them.
            fields = f"metadata.name={controller.name}"
            items = await self._cluster.list("Pod", namespace, fields=fields, metadata_only=True)
            item = items[0] if items else None
        else:
            item = await self._cluster.get(controller.kind, namespace, controller.name)
        if item is None or item["metadata"]["uid"] != controller.uid:
            return _Found(False)
        return _Found(True, _controller_of(item))


def _controller_of(item: Object) -> _Controller | None:
    """The controller of an object, if it is of a kind that controls pods of ours."""
    for reference in item["metadata"].get("ownerReferences") or []:
        kind = reference["kind"]
        if reference.get("controller"):
            # The garbage collector leaves what it cannot look up, such as another group's kind.
            known = kind in _CONTROLLERS and reference["apiVersion"] == KINDS[kind].api_version
            return _Controller(kind, reference["name"], reference["uid"]) if known else None
    return None
