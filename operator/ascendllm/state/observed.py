"""Everything that one reconcile looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from ascendllm.desired import leader_worker_set, names
from ascendllm.desired.workload import WORKLOADS
from ascendllm.state.capacity import NodeNpus
from ascendllm.state.device_faults import Fault
from ascendllm.state.diagnosis import Diagnosis
from ascendllm.state.pods import Pod
from ascendllm.state.replicas import Replica, replicas
from ascendllm.state.revisions import Revision
from ascendllm.state.runs import Run
from ascendllm.state.stage import Stage

__all__ = ["REVALIDATE", "Object", "Observed", "is_serving"]

Object = Mapping[str, Any]

REVALIDATE = "ascendllm.io/revalidate"
"""The user's annotation on a resource: a new value has all checks run again."""


@dataclass(frozen=True)
class Observed:
    """A resource and its objects at one moment.

    Attributes:
        resource: The AscendLLM.
        now: When it was looked at.
        objects: Its objects by kind, such as `Deployment`; only those that it owns.
        absent: Kinds that the API server does not serve, of those that not every one has.
        nodes: The cluster's nodes, or None where nothing depends on them.
        peers: Other AscendLLMs of the namespace that were looked up, by name; None: not there.
        requests: `requests.json` of runs that were looked up, by run; None: not there.
        capacity: The nodes with NPUs of resources that were looked up, by resource.
        loading: How far servers are whose logs were looked up, by the pod's uid; None: untold.
        crashes: Why servers crashed whose logs were looked up, by the pod's uid; None: untold.
        hung: Since when the engines of pods that hang stand still, by the pod's uid.
        faults: The faults of NPUs, by node.
        shared: Objects of the namespace's caches by kind; a kind that is missing was not looked up.
        claims: Users' claims that were looked up, by name; None: not there.
    """

    resource: Object
    now: datetime
    objects: Mapping[str, tuple[Object, ...]] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    nodes: tuple[Object, ...] | None = None
    peers: Mapping[str, Object | None] = field(default_factory=dict)
    requests: Mapping[str, str | None] = field(default_factory=dict)
    capacity: Mapping[str, tuple[NodeNpus, ...]] = field(default_factory=dict)
    loading: Mapping[str, Stage | None] = field(default_factory=dict)
    crashes: Mapping[str, Diagnosis | None] = field(default_factory=dict)
    hung: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, tuple[Fault, ...]] = field(default_factory=dict)
    shared: Mapping[str, tuple[Object, ...]] = field(default_factory=dict)
    claims: Mapping[str, Object | None] = field(default_factory=dict)

    def of(self, kind: str) -> tuple[Object, ...]:
        """The resource's objects of a kind."""
        return self.objects.get(kind, ())

    def find(self, kind: str, name: str) -> Object | None:
        """The object of that kind and name, the resource's own or one that it may share."""
        items = (*self.of(kind), *self.shared.get(kind, ()))
        return next((item for item in items if item["metadata"]["name"] == name), None)

    def workload(self, revision: str) -> Object | None:
        """What runs the pods of a revision, of whatever kind it is."""
        name = names.child(self.resource["metadata"]["name"], revision)
        found = (self.find(kind, name) for kind in WORKLOADS)
        return next(filter(None, found), None)

    def raised(self, revision: str) -> bool:
        """Whether pods of a revision are asked for."""
        workload = self.workload(revision)
        return workload is not None and int(workload["spec"].get("replicas", 0)) > 0

    def grouped(self, revision: str) -> bool:
        """Whether each replica of a revision is a group of pods."""
        name = names.child(self.resource["metadata"]["name"], revision)
        return self.find(leader_worker_set.KIND, name) is not None

    @cached_property
    def revisions(self) -> tuple[Revision, ...]:
        """The kept revisions, newest first."""
        revisions = (Revision.read(item) for item in self.of("ControllerRevision"))
        return tuple(sorted(filter(None, revisions), key=lambda r: r.number, reverse=True))

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The runs, newest first."""
        runs = (Run.read(item) for item in self.of("ConfigMap"))
        return tuple(
            sorted(
                filter(None, runs), key=lambda r: (r.started_at, r.serial, r.attempt), reverse=True
            )
        )

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        """The serving pods of every revision, those that only compute for them included."""
        return tuple(Pod.read(item) for item in self.of("Pod") if is_serving(item))

    def pods_of(self, revision: str) -> tuple[Pod, ...]:
        """The serving pods of one revision that are not on their way out."""
        return tuple(
            pod
            for pod in self.pods
            if pod.revision == revision and not pod.terminating and not self.inherited(pod)
        )

    def replicas_of(self, revision: str) -> tuple[Replica, ...]:
        """The same pods by replica."""
        return replicas(self.pods_of(revision))

    def inherited(self, pod: Pod) -> bool:
        """Whether a pod is of a deleted resource of the same name: it will end soon."""
        born: str = self.resource["metadata"].get("creationTimestamp") or ""
        return pod.created < born

    @property
    def served(self) -> str | None:
        """The revision that the client Service selects; None where there is no Service."""
        service = self.find("Service", self.resource["metadata"]["name"])
        if service is None:
            return None
        selector: Mapping[str, str] = service.get("spec", {}).get("selector") or {}
        return selector.get(names.REVISION)


def is_serving(pod: Object) -> bool:
    """Whether a pod bears the labels of serving pods, leaders or workers."""
    labels = pod["metadata"].get("labels") or {}
    return names.REVISION in labels or names.WORKER_OF in labels
