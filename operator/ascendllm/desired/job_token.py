"""The service account token of a job's pod, mounted in our own container only.

With `automountServiceAccountToken` every container of the pod would get it, init containers
included. Some of them run an image that the user chose, such as the one with a data set, or code
that comes with a model. With the token they could write a verdict or a finished download into the
ConfigMap of the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["mount_token"]

_VOLUME = "token"
_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_EXPIRATION_SECONDS = 3600
"""The kubelet renews the file before the token expires, so a job may run for longer."""


def mount_token(pod: Mapping[str, Any], container: str) -> dict[str, Any]:
    """A copy of the pod spec with the token mounted, read-only, in one container.

    Args:
        pod: The pod spec of a job.
        container: The name of our container.
    """
    mount = {"name": _VOLUME, "mountPath": _MOUNT_PATH, "readOnly": True}
    return {
        **pod,
        "automountServiceAccountToken": False,
        "containers": [
            {**item, "volumeMounts": [*item.get("volumeMounts", []), mount]}
            if item["name"] == container
            else item
            for item in pod["containers"]
        ],
        "volumes": [*pod.get("volumes", []), _token_volume()],
    }


def _token_volume() -> dict[str, Any]:
    """The volume that the ServiceAccount admission controller would add.

    The kubelet lets our container read the file: it gives it to the pod's fsGroup, or to the user
    if all containers run as the same one. If neither applies, as beside the server of the dummy
    check, everyone may read it (kubernetes 1.34.4, pkg/volume/projected/projected.go).
    """
    certificate = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    namespace = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    return {
        "name": _VOLUME,
        "projected": {
            "sources": [
                {
                    "serviceAccountToken": {
                        "path": "token",
                        "expirationSeconds": _EXPIRATION_SECONDS,
                    }
                },
                {"configMap": certificate},
                {"downwardAPI": {"items": [namespace]}},
            ]
        },
    }
