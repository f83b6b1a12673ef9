"""Where the serving pods run, and what they ask for beside NPUs: `spec.placement`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ascendllm.api.affinity import Affinity
from ascendllm.api.job import Resources, Toleration
from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import KeyValue, ObjectName, cel, rules

__all__ = ["Placement"]

_KEY = cel(
    "self.all(name, size(name) <= 317 && name.matches("
    "'^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
    "keys are names of at most 63 letters, digits, '-', '_' and '.', with or without a domain and "
    "'/' before them",
)
_OURS = cel(
    "self.all(name, !name.startsWith('ascendllm.io/') && "
    "!name.startsWith('leaderworkerset.sigs.k8s.io/') && !(name in ['app.kubernetes.io/name', "
    "'app.kubernetes.io/instance', 'app.kubernetes.io/managed-by', 'pod-template-hash']))",
    "ascendllm.io/*, leaderworkerset.sigs.k8s.io/* and the labels that tell whose pods they are "
    "are the operator's: remove them",
)
_ASSIGNED = cel(
    "self.all(name, !name.startsWith('ascendllm.io/') && !name.startsWith('huawei.com/Ascend') && "
    "!name.startsWith('huawei.com/npu') && !name.startsWith('ascend.kubectl.kubernetes.io/') && "
    "(!name.startsWith('leaderworkerset.sigs.k8s.io/') || "
    "name == 'leaderworkerset.sigs.k8s.io/exclusive-topology') && "
    "!(name in ['huawei.com/kltDev', 'predicate-time']))",
    "schedulers and device plugins write here which NPUs a pod has (huawei.com/Ascend*, "
    "huawei.com/npu*, ascend.kubectl.kubernetes.io/*, huawei.com/kltDev, predicate-time), "
    "leaderworkerset.sigs.k8s.io/* but exclusive-topology is its controller's, and ascendllm.io/* "
    "is the operator's: remove them",
)

NodeLabels = Annotated[dict[str, KeyValue], Field(max_length=32, json_schema_extra=rules(_KEY))]
"""Labels that a node must have."""


class Placement(ResourceModel):
    """Where the serving pods run, and what they ask for beside NPUs."""

    node_selector: NodeLabels | None = None
    """Labels of the nodes that may serve."""

    tolerations: Annotated[list[Toleration], Field(max_length=32)] | None = None
    """Taints that the pods tolerate; a taint named after the NPUs' resource is tolerated anyway."""

    affinity: Affinity | None = None
    """Affinities to nodes and pods."""

    scheduler_name: ObjectName | None = None
    """The scheduler, such as volcano; the cluster's default when unset."""

    priority_class_name: ObjectName | None = None
    """The pods' PriorityClass."""

    runtime_class_name: ObjectName | None = None
    """The pods' RuntimeClass; ascend when unset and the NPUs are HAMi's."""

    resources: Resources | None = None
    """CPU, memory and the like of the serving container, and of HAMi the slice of an NPU:
    `<npu.resource>-memory` in MiB, `<npu.resource>-core` in percent. npu.count sets the NPUs."""

    labels: (
        Annotated[dict[str, KeyValue], Field(max_length=32, json_schema_extra=rules(_KEY, _OURS))]
        | None
    ) = None
    """Further labels of the pods, such as a scheduler's queue."""

    annotations: (
        Annotated[
            dict[str, Annotated[str, Field(max_length=4096)]],
            Field(max_length=32, json_schema_extra=rules(_KEY, _ASSIGNED)),
        ]
        | None
    ) = None
    """Further annotations of the pods, such as scheduling.volcano.sh/queue-name."""
