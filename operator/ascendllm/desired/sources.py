"""Folders that pods read: where a model or a data set is mounted, and from what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ascendllm.api.sources import DataSource, ModelSource, PvcSource

__all__ = ["Mounted", "mount_data", "mount_model"]

_MODEL_PATH = "/models"
_DATA_PATH = "/mmlu"


@dataclass(frozen=True)
class Mounted:
    """A folder in a container.

    Attributes:
        path: Where the container sees it.
        volumes: The pod's volumes.
        mounts: The container's mounts.
        init_containers: What fills the folder before the container starts.
    """

    path: str
    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]
    init_containers: list[dict[str, Any]]


def mount_model(source: ModelSource) -> Mounted:
    """The model's folder; a host path keeps its own path, which logs and /v1/models then show."""
    if source.host_path is not None:
        return _host_path("model", source.host_path, source.host_path)
    assert source.pvc is not None, "ModelSource holds exactly one source"  # noqa: S101
    return _claim("model", source.pvc, _MODEL_PATH)


def mount_data(source: DataSource) -> Mounted:
    """The folder of a data set, in a validation job.

    An image is copied by an init container, since image volumes are off in most clusters.
    """
    if source.host_path is not None:
        return _host_path("data", source.host_path, _DATA_PATH)
    if source.pvc is not None:
        return _claim("data", source.pvc, _DATA_PATH)
    copy = {
        "name": "data",
        "image": source.image,
        "command": ["cp", "-R", "/data/.", _DATA_PATH],
        "volumeMounts": [{"name": "data", "mountPath": _DATA_PATH}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    return Mounted(
        _DATA_PATH,
        [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}],
        [{"name": "data", "mountPath": _DATA_PATH, "readOnly": True}],
        [copy],
    )


def _host_path(name: str, host_path: str, path: str) -> Mounted:
    return Mounted(
        path,
        [{"name": name, "hostPath": {"path": host_path, "type": "Directory"}}],
        [{"name": name, "mountPath": path, "readOnly": True}],
        [],
    )


def _claim(name: str, claim: PvcSource, path: str) -> Mounted:
    return Mounted(
        path,
        [
            {
                "name": name,
                "persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": True},
            }
        ],
        [
            {
                "name": name,
                "mountPath": path,
                "readOnly": True,
                **({"subPath": claim.path} if claim.path else {}),
            }
        ],
        [],
    )
