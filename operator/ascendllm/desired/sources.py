"""Folders that pods read: where a model, an adapter or a data set is mounted, and from what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ascendllm.api.model_source import ModelSource, OciSource
from ascendllm.api.sources import DataFolder, PvcSource, SecretKey
from ascendllm.desired.part import Part
from ascendllm.engine.arguments import escape_argument

__all__ = [
    "DATA_PATH",
    "MODEL_PATH",
    "Mounted",
    "mount_adapter",
    "mount_data",
    "mount_key",
    "mount_model",
    "mount_secret_key",
    "mounted_together",
]

MODEL_PATH = "/models"
DATA_PATH = "/mmlu"
_COPY_PATH = "/ascendllm-copy"
"""Where an image's own container sees the volume: a mount hides what the image has there, which is
most often a folder /models."""


@dataclass(frozen=True)
class Mounted:
    """A folder, or one file, in a container.

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
    """The model's folder, of a source that needs no cache.

    A host path keeps its own path, which logs and /v1/models then show.
    """
    if source.host_path is not None:
        return _host_path("model", source.host_path, source.host_path)
    if source.oci is not None:
        return _copied(source.oci, "model", MODEL_PATH)
    assert source.pvc is not None, "the other sources have a cache"  # noqa: S101
    return _claim("model", source.pvc, MODEL_PATH)


def mount_adapter(source: ModelSource, name: str, path: str) -> Mounted:
    """An adapter's folder, of a source that needs no cache.

    Args:
        source: Where it is.
        name: The volume's name.
        path: Where the container sees it.
    """
    if source.host_path is not None:
        return _host_path(name, source.host_path, path)
    if source.oci is not None:
        return _copied(source.oci, name, path)
    assert source.pvc is not None, "the other sources have a cache"  # noqa: S101
    return _claim(name, source.pvc, path)


def mount_data(source: DataFolder, name: str = "data", path: str = DATA_PATH) -> Mounted:
    """The folder of a data set, in a validation job.

    An image is copied by an init container, since image volumes are off in most clusters.

    Args:
        source: A claim, an image, or a host path.
        name: The volume's name.
        path: Where the job's container sees it.
    """
    if source.host_path is not None:
        return _host_path(name, source.host_path, path)
    if source.pvc is not None:
        return _claim(name, source.pvc, path)
    assert source.image is not None, "DataFolder holds exactly one source"  # noqa: S101
    copy = _copying(name, source.image, "/data", path)
    return Mounted(
        path,
        [{"name": name, "emptyDir": {"sizeLimit": "1Gi"}}],
        [{"name": name, "mountPath": path, "readOnly": True}],
        [copy],
    )


def mounted_together(folders: Sequence[Mounted]) -> Part:
    """What a pod with several folders is given.

    Of a claim there is one volume, whatever is read of it: a second one keeps a pod from starting
    for ever, before kubelets learned otherwise (kubernetes #122140).
    """
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    of_claim: dict[str, str] = {}
    for folder in folders:
        called: dict[str, str] = {}
        for volume in folder.volumes:
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim in of_claim:
                called[volume["name"]] = of_claim[claim]
                continue
            if claim is not None:
                of_claim[claim] = volume["name"]
            volumes.append(volume)
        mounts += (
            {**mount, "name": called.get(mount["name"], mount["name"])} for mount in folder.mounts
        )
    before = [container for folder in folders for container in folder.init_containers]
    return Part(volumes=volumes, mounts=mounts, init_containers=before)


def _copied(oci: OciSource, name: str, path: str) -> Mounted:
    """A folder of an image, copied in every pod: image volumes are off in most clusters."""
    copy = _copying(name, oci.image, escape_argument(oci.path), _COPY_PATH)
    # Why it could not be copied is then in the pod's status.
    copy["terminationMessagePolicy"] = "FallbackToLogsOnError"
    return Mounted(
        path,
        [{"name": name, "emptyDir": {}}],
        [{"name": name, "mountPath": path, "readOnly": True}],
        [copy],
    )


def _copying(volume: str, image: str, folder: str, target: str) -> dict[str, Any]:
    """The init container that copies a folder of its own image into a volume."""
    return {
        "name": volume,
        "image": image,
        "command": ["cp", "-R", f"{folder}/.", target],
        "volumeMounts": [{"name": volume, "mountPath": target}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def mount_key(config_map: str, key: str, name: str, folder: str) -> Mounted:
    """One key of a ConfigMap as a file of the same name, and nothing else of it."""
    return Mounted(
        f"{folder}/{key}",
        [{"name": name, "configMap": {"name": config_map, "items": [{"key": key, "path": key}]}}],
        [{"name": name, "mountPath": folder, "readOnly": True}],
        [],
    )


def mount_secret_key(secret: SecretKey, name: str, folder: str) -> Mounted:
    """One key of a Secret as a file, and nothing else of it."""
    items = [{"key": secret.key, "path": name}]
    source = {"secretName": secret.name, "items": items}
    return Mounted(
        f"{folder}/{name}",
        [{"name": name, "secret": source}],
        [{"name": name, "mountPath": folder, "readOnly": True}],
        [],
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
