"""Which nodes have how many NPUs free, and what keeps a pod off each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ascendllm.api.scalars import parse_quantity

__all__ = ["NodeNpus", "Wants", "extended", "fits_anywhere", "node_npus", "shortage"]

_SHOWN = 3
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class NodeNpus:
    """The NPUs of a node, of one resource.

    Attributes:
        name: The node.
        capacity: How many it has.
        allocatable: How many are healthy.
        used: How many its pods hold.
        pods: How many each of them holds, by uid.
        obstacle: What keeps other pods off it, such as a cordon; "" where nothing does.
        taints: Its taints that keep pods off, as Kubernetes writes them.
        labels: Its labels.
    """

    name: str
    capacity: int
    allocatable: int
    used: int
    pods: Mapping[str, int]
    obstacle: str
    taints: Sequence[Mapping[str, Any]]
    labels: Mapping[str, str]

    def free(self, leaving: str | None = None) -> int:
        """NPUs that nobody holds, once the pod of a uid has left."""
        return max(0, self.allocatable - self.used + self.pods.get(leaving or "", 0))


@dataclass(frozen=True)
class Wants:
    """What a pod asks of a node, as far as NPUs go.

    Attributes:
        resource: The extended resource.
        count: How many of it.
        selector: Labels that the node must have.
        tolerations: As Kubernetes writes them.
    """

    resource: str
    count: int
    selector: Mapping[str, str]
    tolerations: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, pod: Mapping[str, Any], resource: str) -> Wants:
        """What a pod asks for of a resource."""
        spec = pod.get("spec") or {}
        return cls(
            resource,
            extended(pod).get(resource, 0),
            spec.get("nodeSelector") or {},
            spec.get("tolerations") or [],
        )


def extended(pod: Mapping[str, Any]) -> Counter[str]:
    """The extended resources that a pod's containers ask for."""
    found: Counter[str] = Counter()
    for container in (pod.get("spec") or {}).get("containers") or []:
        asked = container.get("resources") or {}
        for name, value in {**(asked.get("limits") or {}), **(asked.get("requests") or {})}.items():
            if "/" in name and (count := _count({name: value}, name)) > 0:
                found[name] += count
    return found


def node_npus(
    node: Mapping[str, Any], pods: Iterable[Mapping[str, Any]], resource: str
) -> NodeNpus | None:
    """The record of a node; None where it has none of the resource.

    Args:
        node: The node.
        pods: All pods on it.
        resource: The extended resource.
    """
    status, spec = node.get("status") or {}, node.get("spec") or {}
    capacity = _count(status.get("capacity"), resource)
    if capacity == 0:
        return None
    held = {
        str(pod["metadata"].get("uid", "")): count
        for pod in pods
        if (pod.get("status") or {}).get("phase") not in _ENDED
        and (count := extended(pod)[resource]) > 0
    }
    ready = next(
        (c.get("status") for c in status.get("conditions") or [] if c.get("type") == "Ready"),
        "True",
    )
    obstacle = "cordoned" if spec.get("unschedulable") else "" if ready == "True" else "not ready"
    taints = [
        taint
        for taint in spec.get("taints") or []
        if taint.get("effect") in ("NoSchedule", "NoExecute")
        and not str(taint.get("key", "")).startswith("node.kubernetes.io/")
    ]
    return NodeNpus(
        name=node["metadata"]["name"],
        capacity=capacity,
        allocatable=_count(status.get("allocatable"), resource),
        used=sum(held.values()),
        pods=held,
        obstacle=obstacle,
        taints=taints,
        labels=node["metadata"].get("labels") or {},
    )


def fits_anywhere(wants: Wants, nodes: Sequence[NodeNpus], leaving: str | None = None) -> bool:
    """Whether a node has that many NPUs free and takes the pod.

    Args:
        wants: What is asked for.
        nodes: Where.
        leaving: The uid of a pod whose NPUs are free by then.
    """
    return any(not _obstacle(wants, n) and n.free(leaving) >= wants.count for n in nodes)


def shortage(wants: Wants, nodes: Sequence[NodeNpus]) -> str:
    """How many NPUs are missing where, the nearest nodes first."""
    what = f"{wants.count} {wants.resource}"
    if not nodes:
        return (
            f"{what} are wanted and no node offers {wants.resource}: check spec.npu.resource and "
            "the device plugin"
        )
    if fits_anywhere(wants, nodes):
        name = next(n.name for n in nodes if not _obstacle(wants, n) and n.free() >= wants.count)
        return f"{what} are free on node {name}: what is missing is something else"
    ordered = sorted(nodes, key=lambda n: (bool(_obstacle(wants, n)), -n.free(), n.name))
    told = "; ".join(_told(wants, node) for node in ordered[:_SHOWN])
    more = f"; {len(nodes) - _SHOWN} more nodes" if len(nodes) > _SHOWN else ""
    free, capacity = sum(n.free() for n in nodes), sum(n.capacity for n in nodes)
    return (
        f"{what} are wanted on one node: {told}{more}; in all {free} of {capacity} are free on "
        f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}"
    )


def _told(wants: Wants, node: NodeNpus) -> str:
    said = f"{node.name} has {node.free()} of {node.capacity} free"
    unhealthy = node.capacity - node.allocatable
    if unhealthy > 0:
        said += f" ({unhealthy} unhealthy)"
    if obstacle := _obstacle(wants, node):
        return f"{said} and is {obstacle}"
    return f"{said}, {wants.count - node.free()} missing"


def _obstacle(wants: Wants, node: NodeNpus) -> str:
    if node.obstacle:
        return node.obstacle
    for taint in node.taints:
        if not any(_tolerates(toleration, taint) for toleration in wants.tolerations):
            return f"tainted {taint.get('key')}"
    for key, value in wants.selector.items():
        if node.labels.get(key) != value:
            return f"without the label {key}={value}"
    return ""


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """As the scheduler has it (k8s.io/api core/v1, ToleratesTaint)."""
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("key") not in (None, "", taint.get("key")):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("value", "") == taint.get("value", ""))


def _count(resources: Mapping[str, Any] | None, name: str) -> int:
    """A whole number as Kubernetes writes it: 10000 is 10k there."""
    try:
        return int(parse_quantity(str((resources or {}).get(name, "0"))))
    except ValueError:
        return 0
