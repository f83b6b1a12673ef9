"""The PodDisruptionBudget: of several replicas one at a time may be taken away by a drain."""

from __future__ import annotations

from typing import Any

from ascendllm.desired import leader_worker_set, names
from ascendllm.desired.owner import Owner

__all__ = ["disruption_budget"]


def disruption_budget(owner: Owner, served: str, *, grouped: bool = False) -> dict[str, Any]:
    """The PodDisruptionBudget `NAME` of the served revision's pods.

    Args:
        owner: Whose pods.
        served: The served revision.
        grouped: Whether a replica is a group of pods: none of it can do without any other, so the
            budget is of all of them.
    """
    pods = names.serving_labels(owner.name, served)
    if grouped:
        workload = names.child(owner.name, served)
        pods = {names.NAME: owner.name, leader_worker_set.NAME_LABEL: workload}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": owner.metadata(owner.name, names.labels(owner.name)),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": pods},
            # A pod that can't get ready serves nobody: it must not keep a node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
