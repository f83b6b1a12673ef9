"""The LeaderWorkerSet of a revision whose replicas are groups of pods.

Source: sigs.k8s.io/lws v0.7.0, api/leaderworkerset/v1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["API_VERSION", "KIND", "NAME_LABEL", "group_annotations", "group_spec"]

API_VERSION = "leaderworkerset.x-k8s.io/v1"
KIND = "LeaderWorkerSet"

NAME_LABEL = "leaderworkerset.sigs.k8s.io/name"
"""Of every pod of a LeaderWorkerSet: that one's name."""


_READ_OF_IT = (
    "leaderworkerset.sigs.k8s.io/exclusive-topology",
    "scheduling.volcano.sh/queue-name",
)
"""Annotations that its controller reads of the LeaderWorkerSet itself: the label of the nodes of
which each group gets a domain to itself, and the queue of the PodGroups that it makes for
Volcano."""


def group_annotations(template: Mapping[str, Any]) -> dict[str, str]:
    """Those of the pods' annotations that are the LeaderWorkerSet's, too."""
    noted: Mapping[str, str] = template["leader"]["metadata"].get("annotations") or {}
    return {key: noted[key] for key in _READ_OF_IT if key in noted}


def group_spec(template: Mapping[str, Any], replicas: int) -> dict[str, Any]:
    """The `spec` of the LeaderWorkerSet.

    Args:
        template: The recorded one with its labels: `leader` and `worker`, pod templates, and
            `size`, the pods of a group.
        replicas: Groups wanted.
    """
    return {
        "replicas": replicas,
        # The leader is ready only once its workers have joined: they can't wait for that.
        "startupPolicy": "LeaderCreated",
        # A headless Service a group, named after its leader: the one that all would share has the
        # name of the revision's own, which selects ready leaders only.
        "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
        "leaderWorkerTemplate": {
            "size": template["size"],
            # Ranks that have lost one another never find each other again.
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": template["leader"],
            "workerTemplate": template["worker"],
        },
    }
