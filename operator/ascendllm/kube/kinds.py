"""The kinds that the operator touches, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ascendllm.api.crd import GROUP, KIND, PLURAL, VERSION
from ascendllm.desired.names import FIELD_MANAGER

__all__ = ["CHILDREN", "FILLING", "KINDS", "OPTIONAL", "Kind", "path", "without_foreign_fields"]


@dataclass(frozen=True)
class Kind:
    """A kind of object.

    Attributes:
        group: The API group, "" for core.
        rank: Objects of a lower rank are applied first; those of one rank at the same time.
        left_out: Fields that lists go without: a cluster has thousands of nodes, of which each
            tells of its images and of who wrote what in tens of kilobytes.
        page: Objects of one page of a list. A tenant may store 1.5 MB in each.
        list_bytes: The most memory that all objects of one list may take.
    """

    group: str
    version: str
    plural: str
    namespaced: bool = True
    rank: int = 1
    left_out: tuple[tuple[str, str], ...] = ()
    page: int = 20
    list_bytes: int = 12 * 1024 * 1024

    @property
    def api_version(self) -> str:
        """As it stands in an object."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def listed(self, item: dict[str, Any]) -> dict[str, Any]:
        """An item of a list, with what the list leaves out, and without what we do."""
        for parent, field in self.left_out:
            (item.get(parent) or {}).pop(field, None)
        return {**without_foreign_fields(item), "apiVersion": self.api_version}


KINDS: dict[str, Kind] = {
    KIND: Kind(GROUP, VERSION, PLURAL),
    # What records a decision comes before what acts on it.
    "ControllerRevision": Kind("apps", "v1", "controllerrevisions", rank=0),
    "ConfigMap": Kind("", "v1", "configmaps", rank=0),
    "PersistentVolumeClaim": Kind("", "v1", "persistentvolumeclaims", rank=0),
    "ServiceAccount": Kind("", "v1", "serviceaccounts"),
    "Service": Kind("", "v1", "services"),
    "Role": Kind("rbac.authorization.k8s.io", "v1", "roles"),
    # Who holds no more rights than it grants may bind a role only once that exists.
    "RoleBinding": Kind("rbac.authorization.k8s.io", "v1", "rolebindings", rank=2),
    "Deployment": Kind("apps", "v1", "deployments", rank=2),
    # Between a workload and its pods; only read.
    "ReplicaSet": Kind("apps", "v1", "replicasets"),
    "StatefulSet": Kind("apps", "v1", "statefulsets"),
    "LeaderWorkerSet": Kind("leaderworkerset.x-k8s.io", "v1", "leaderworkersets", rank=2),
    "Job": Kind("batch", "v1", "jobs", rank=3),
    "PodDisruptionBudget": Kind("policy", "v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": Kind("autoscaling", "v2", "horizontalpodautoscalers", rank=3),
    "ScaledObject": Kind("keda.sh", "v1alpha1", "scaledobjects", rank=3),
    "HTTPRoute": Kind("gateway.networking.k8s.io", "v1", "httproutes"),
    "Ingress": Kind("networking.k8s.io", "v1", "ingresses"),
    "Pod": Kind(
        "", "v1", "pods", left_out=(("metadata", "managedFields"),), list_bytes=96 * 1024 * 1024
    ),
    "Node": Kind(
        "",
        "v1",
        "nodes",
        namespaced=False,
        page=25,
        left_out=(
            ("metadata", "managedFields"),
            ("metadata", "annotations"),
            ("status", "images"),
        ),
    ),
    "Event": Kind("", "v1", "events"),
    "Lease": Kind("coordination.k8s.io", "v1", "leases"),
}

CHILDREN = (
    "ControllerRevision",
    "ConfigMap",
    "ServiceAccount",
    "Service",
    "Role",
    "RoleBinding",
    "Deployment",
    "Job",
    "Pod",
)
"""What belongs to a resource; a pod does through its workload or job."""

FILLING = ("ServiceAccount", "Role", "RoleBinding", "Job", "Pod")
"""What fills a cache, as long as that is not complete."""

OPTIONAL: tuple[str, ...] = (
    "LeaderWorkerSet",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "ScaledObject",
    "HTTPRoute",
    "Ingress",
)
"""What belongs to a resource only where its spec asks for it, or where an API server serves the
kind at all; `optional` knows which resources have one. They are not watched: pods tell enough."""


def without_foreign_fields(item: dict[str, Any]) -> dict[str, Any]:
    """An object without the managedFields of other managers, which nothing reads.

    They list every key of the object once more.
    """
    entries = item["metadata"].get("managedFields")
    if entries:
        item["metadata"]["managedFields"] = [
            entry for entry in entries if str(entry.get("manager")).startswith(FIELD_MANAGER)
        ]
    return item


def path(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    """The URL path of a collection or an object; without a namespace, of all namespaces."""
    about = KINDS[kind]
    parts = ["apis", about.group] if about.group else ["api"]
    parts.append(about.version)
    if about.namespaced and namespace is not None:
        parts += ["namespaces", namespace]
    parts.append(about.plural)
    if name is not None:
        parts.append(name)
    return "/" + "/".join(parts)
