"""What runs the pods of a revision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ascendllm.desired import leader_worker_set, names
from ascendllm.desired.owner import Owner
from ascendllm.desired.revision import labelled

__all__ = ["WORKLOADS", "workload"]

WORKLOADS = ("Deployment", leader_worker_set.KIND)
"""The kinds that a revision's pods are run by; a revision has one of them."""


def workload(
    owner: Owner,
    revision: str,
    template: Mapping[str, Any],
    *,
    replicas: int,
    started_at: str | None,
    loaded_at: str | None,
    progress_deadline: timedelta,
    last_crash: str | None = None,
) -> dict[str, Any]:
    """`NAME-REV`: a Deployment, or a LeaderWorkerSet where a replica is a group of pods.

    Args:
        owner: Whose pods.
        revision: The revision's hash.
        template: The recorded one.
        replicas: Replicas wanted; 0 while suspended.
        started_at: When the workload was raised from 0; None at 0.
        loaded_at: When it was first available since then; None before.
        last_crash: What a group that is made anew had crashed of.
        progress_deadline: As in `rollout`, so that `kubectl rollout status` agrees with us.
    """
    notes = {
        names.STARTED_AT: started_at,
        names.LOADED_AT: loaded_at,
        names.LAST_CRASH: last_crash,
    }
    annotations = {key: note for key, note in notes.items() if note is not None}
    if grouped := "leader" in template:
        annotations |= leader_worker_set.group_annotations(template)
    metadata = owner.metadata(
        names.child(owner.name, revision),
        names.labels(owner.name, **{names.REVISION: revision}),
        annotations,
    )
    if grouped:
        return {
            "apiVersion": leader_worker_set.API_VERSION,
            "kind": leader_worker_set.KIND,
            "metadata": metadata,
            "spec": leader_worker_set.group_spec(labelled(template, revision), replicas),
        }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "progressDeadlineSeconds": int(progress_deadline.total_seconds()),
            "selector": {"matchLabels": names.serving_labels(owner.name, revision)},
            # A template never changes under its name; a pod that is replaced frees its NPUs first.
            "strategy": {"type": "Recreate"},
            "template": labelled(template, revision),
        },
    }
