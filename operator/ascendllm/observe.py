"""What is the case: a resource, its objects, and what a decision asks for beside them.

What costs a request more than once is kept at hand here, in caches that may be lost at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime

from ascendllm.api.crd import KIND
from ascendllm.decide.needs import (
    CachesNeeded,
    CapacityNeeded,
    CrashNeeded,
    FillingNeeded,
    LoadingNeeded,
    LookupNeeded,
    NodesNeeded,
    PeerNeeded,
    RequestsNeeded,
)
from ascendllm.desired import names
from ascendllm.desired.workload import WORKLOADS
from ascendllm.kube.capacity import Capacity
from ascendllm.kube.cluster import Cluster, Object
from ascendllm.kube.findings import Findings
from ascendllm.kube.kinds import CHILDREN, FILLING
from ascendllm.kube.nodes import NodeCache
from ascendllm.kube.optional import OptionalKinds
from ascendllm.kube.pod_logs import PodLogs
from ascendllm.kube.pod_owners import PodOwners
from ascendllm.kube.run_cache import RunCache
from ascendllm.state.observed import Observed, is_serving

__all__ = ["Key", "Observer", "owned_by"]

Key = tuple[str, str]
"""Namespace and name of a resource."""


class Observer:
    """Looks at resources and their objects.

    Args:
        cluster: The API server.
        clock: Tells the time.
        findings: What is found out about pods beside the passes.

    Attributes:
        runs: The ConfigMaps of runs.
        optional: Objects of kinds that few resources have.
    """

    def __init__(self, cluster: Cluster, clock: Callable[[], datetime], findings: Findings) -> None:
        self.runs = RunCache(cluster)
        self.optional = OptionalKinds(cluster)
        self._cluster = cluster
        self._nodes = NodeCache(cluster)
        self._capacity = Capacity(cluster, self._nodes)
        self._logs = PodLogs(cluster)
        self._owners = PodOwners(cluster)
        self._findings = findings
        self._clock = clock

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone."""
        self.runs.forget(key[0], _selector(key[1]))
        self.optional.forget(key)
        self._findings.forget(key)

    def nothing_of(self, resource: Object) -> Observed:
        """The resource before any of its objects was looked at."""
        return Observed(resource, self._clock())

    async def observe(self, resource: Object) -> Observed:
        """The resource and its objects."""
        namespace, name = resource["metadata"]["namespace"], resource["metadata"]["name"]
        uid, selector = resource["metadata"]["uid"], _selector(name)

        def is_ours(item: Object) -> bool:
            return owned_by(uid, item)

        lists = await asyncio.gather(
            *(
                self.runs.list(namespace, selector, is_ours)
                if kind == "ConfigMap"
                else self._cluster.list(
                    kind, namespace, selector, where=_any if kind == "Pod" else is_ours
                )
                for kind in CHILDREN
            )
        )
        optional, absent = await self.optional.list((namespace, name))
        objects = {
            **dict(zip(CHILDREN, lists, strict=True)),
            **{kind: tuple(filter(is_ours, items)) for kind, items in optional.items()},
        }
        objects["Pod"] = await self._pods(namespace, objects, absent)
        observed = Observed(
            resource,
            self._clock(),
            objects,
            absent,
            hung=self._findings.hung,
            faults=self._findings.faults,
        )
        self._findings.note((namespace, name), observed.pods)
        return observed

    async def _pods(
        self,
        namespace: str,
        objects: Mapping[str, tuple[Object, ...]],
        absent: Collection[str],
    ) -> tuple[Object, ...]:
        """The pods, without those that only bear the labels of serving pods."""
        workloads = {
            item["metadata"]["uid"] for kind in WORKLOADS for item in objects.get(kind, ())
        }
        pods = objects["Pod"]
        serving = [pod for pod in pods if is_serving(pod)]
        ours = await self._owners.owned(namespace, serving, workloads, absent)
        return (*(pod for pod in pods if not is_serving(pod)), *ours)

    async def look_up(self, needed: LookupNeeded, observed: Observed) -> Observed:
        """The same with what a decision lacked."""
        namespace = observed.resource["metadata"]["namespace"]
        match needed:
            case NodesNeeded():
                return replace(observed, nodes=await self._nodes.list())
            case PeerNeeded(name=name):
                peer = await self._cluster.get(KIND, namespace, name)
                if peer is not None:
                    # Its figures are in its status; its spec may have 1.5 MB.
                    peer = {key: value for key, value in peer.items() if key != "spec"}
                return replace(observed, peers={**observed.peers, name: peer})
            case CachesNeeded(claims=claims):
                return await self._look_at_caches(namespace, claims, observed)
            case FillingNeeded():
                return await self._look_at_filling(namespace, observed)
            case RequestsNeeded(run=run):
                text = await self.runs.text(namespace, run, "requests.json")
                return replace(observed, requests={**observed.requests, run: text})
            case CapacityNeeded(resource=resource):
                nodes = await self._capacity.of(resource)
                return replace(observed, capacity={**observed.capacity, resource: nodes})
            case LoadingNeeded(pod=pod, uid=uid, restarts=restarts):
                stage = await self._logs.loading(namespace, pod, uid, restarts)
                return replace(observed, loading={**observed.loading, uid: stage})
            case CrashNeeded(pod=pod, uid=uid, restarts=restarts):
                cause = await self._logs.crash(namespace, pod, uid, restarts)
                return replace(observed, crashes={**observed.crashes, uid: cause})
        raise AssertionError(f"nobody can look up {needed!r}")

    async def _look_at_caches(
        self, namespace: str, claims: tuple[str, ...], observed: Observed
    ) -> Observed:
        kind = "PersistentVolumeClaim"
        records, made, named = await asyncio.gather(
            self.runs.list(namespace, names.CACHE),
            self._cluster.list(kind, namespace, names.CACHE),
            asyncio.gather(*(self._cluster.get(kind, namespace, name) for name in claims)),
        )
        shared = {"ConfigMap": records, kind: made}
        return replace(
            observed,
            shared={**observed.shared, **shared},
            claims=dict(zip(claims, named, strict=True)),
        )

    async def _look_at_filling(self, namespace: str, observed: Observed) -> Observed:
        lists = await asyncio.gather(
            *(self._cluster.list(kind, namespace, names.CACHE) for kind in FILLING)
        )
        return replace(
            observed, shared={**observed.shared, **dict(zip(FILLING, lists, strict=True))}
        )


def owned_by(uid: str, item: Object) -> bool:
    """Whether an object is of the resource with this uid."""
    return any(ref.get("uid") == uid for ref in item["metadata"].get("ownerReferences") or [])


def _any(_: Object) -> bool:
    return True


def _selector(name: str) -> str:
    return f"{names.NAME}={name}"
