"""The Job that fills a cache: `ascendllm download`, and the rights that it has meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ascendllm.api.sources import LocalObject, SecretKey
from ascendllm.api.spec import Spec
from ascendllm.desired import names
from ascendllm.desired.cache import CachedModel
from ascendllm.desired.job_rights import job_rights
from ascendllm.desired.job_token import mount_token
from ascendllm.engine.arguments import escape_argument

__all__ = ["ASKED", "ATTEMPT", "CONTAINER", "download_access", "download_job", "job_name"]

CONTAINER = "download"
ASKED = "ascendllm.io/asked"
"""Annotation of a download's job: what was asked for by whoever started it."""
ATTEMPT = "ascendllm.io/attempt"
"""Annotation of a download's job: which one it is."""

_USER = 65532
_FOLDER = "/cache"
_POD_RETRIES = 3
"""Pods under one job; each goes on from what is on the claim. Longer pauses are the operator's."""
_DEADLINE_SECONDS = 48 * 3600
_FAILED = 1


def job_name(cache: str, attempt: int) -> str:
    """The name of a cache's job."""
    return f"{cache}-{attempt}"


def download_access(namespace: str, cache: str, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """ServiceAccount, Role and RoleBinding of the job: get and patch of the cache's ConfigMap.

    Args:
        namespace: The cache's.
        cache: Its name.
        record: Its ConfigMap, which owns them.
    """
    return job_rights(_metadata(namespace, cache, cache, record))


def download_job(
    namespace: str,
    cached: CachedModel,
    record: Mapping[str, Any],
    *,
    image: str,
    attempt: int,
    asked: str,
    env: Mapping[str, str],
    pull_secrets: Sequence[LocalObject] = (),
    beside: Spec | None = None,
) -> dict[str, Any]:
    """The Job `CACHE-ATTEMPT`.

    Args:
        namespace: The cache's.
        cached: What is downloaded.
        record: The cache's ConfigMap, which owns the job.
        image: The downloader image.
        attempt: From 1.
        asked: What was asked for by whoever starts it.
        env: Variables that the operator's owner gives, such as a proxy's address.
        pull_secrets: Of the image, and of the one that is copied from.
        beside: Whose serving pods it goes where, as the claim's storage is of one node: a job
            elsewhere would bind it to a node without NPUs.
    """
    root = f"{_FOLDER}/{cached.name}"
    labels = names.cache_labels(cached.name)
    variables = [{"name": key, "value": value} for key, value in sorted(env.items())]
    variables += _environment(cached)
    volume_mount = {"name": "cache", "mountPath": _FOLDER}
    pod: dict[str, Any] = {
        "serviceAccountName": cached.name,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            # A claim may hold terabytes of other models, whose owners are not looked through.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "args": [
                    "download",
                    *(escape_argument(argument) for argument in _arguments(cached)),
                    f"--to={root}",
                    f"--configmap={cached.name}",
                    f"--attempt={attempt}",
                ],
                **({"env": variables} if variables else {}),
                "resources": {
                    "requests": {"cpu": "500m", "memory": "256Mi"},
                    "limits": {"memory": "1Gi"},
                },
                "securityContext": _confined(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
                    volume_mount,
                ],
            }
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "cache", "persistentVolumeClaim": {"claimName": cached.claim}},
        ],
    }
    if cached.source.oci is not None:
        pod["initContainers"] = [_copy(cached, root, volume_mount)]
    if pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret.name} for secret in pull_secrets]
    if beside is not None:
        pod |= _towards(beside)
    pod = mount_token(pod, CONTAINER)
    metadata = _metadata(namespace, job_name(cached.name, attempt), cached.name, record)
    metadata["annotations"] = {ASKED: asked, ATTEMPT: str(attempt)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": _POD_RETRIES,
            "activeDeadlineSeconds": _DEADLINE_SECONDS,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "In",
                            "values": [_FAILED],
                        },
                    },
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _arguments(cached: CachedModel) -> list[str]:
    source = cached.source
    options: list[str | None]
    if source.hugging_face is not None:
        hub = source.hugging_face
        options = [
            f"hf://{hub.repo}",
            f"--revision={hub.revision}",
            f"--endpoint={hub.endpoint}" if hub.endpoint else None,
        ]
    elif source.model_scope is not None:
        site = source.model_scope
        options = [
            f"ms://{site.repo}",
            f"--revision={site.revision}",
            f"--endpoint={site.endpoint}" if site.endpoint else None,
        ]
    elif source.s3 is not None:
        options = [
            source.s3.uri,
            f"--endpoint={source.s3.endpoint}" if source.s3.endpoint else None,
            f"--region={source.s3.region}" if source.s3.region else None,
        ]
    else:
        options = ["copied"]
    if cached.adapter is not None:
        options.append("--adapter")
    if not cached.weights:
        options.append("--no-weights")
    return [option for option in options if option is not None]


def _environment(cached: CachedModel) -> list[dict[str, Any]]:
    """Tokens and keys: from their Secrets, so that they stand in no argument and no object."""
    source = cached.source
    if source.hugging_face is not None and source.hugging_face.token_secret is not None:
        return [_from_secret("HF_TOKEN", source.hugging_face.token_secret)]
    if source.model_scope is not None and source.model_scope.token_secret is not None:
        return [_from_secret("MODELSCOPE_API_TOKEN", source.model_scope.token_secret)]
    if source.s3 is not None and source.s3.credentials_secret is not None:
        name = source.s3.credentials_secret.name
        keys = {"AWS_ACCESS_KEY_ID": "accessKeyId", "AWS_SECRET_ACCESS_KEY": "secretAccessKey"}
        return [
            *(_from_secret(env, SecretKey(name=name, key=key)) for env, key in keys.items()),
            _from_secret("AWS_SESSION_TOKEN", SecretKey(name=name, key="sessionToken"), True),
        ]
    return []


def _from_secret(variable: str, secret: SecretKey, optional: bool = False) -> dict[str, Any]:
    reference: dict[str, Any] = {"name": secret.name, "key": secret.key}
    if optional:
        reference["optional"] = True
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}


def _copy(cached: CachedModel, root: str, volume_mount: Mapping[str, Any]) -> dict[str, Any]:
    """What brings the files out of their image; by the shell, to spare a second copy."""
    assert cached.source.oci is not None, "it is asked for of images alone"  # noqa: S101
    return {
        "name": "copy",
        "image": cached.source.oci.image,
        "command": [
            "sh",
            "-c",
            'test -d "$2/model" || { mkdir -p "$2/partial" && cp -R "$1/." "$2/partial"; }',
            "copy",
            escape_argument(cached.source.oci.path),
            root,
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": _confined(),
        "volumeMounts": [dict(volume_mount)],
    }


def _towards(spec: Spec) -> dict[str, Any]:
    """Where the serving pods go; not by their scheduler, which may want NPUs to be asked for."""
    fields = spec.placement.model_dump(mode="json", by_alias=True, exclude_none=True)
    wanted = {key: fields[key] for key in ("nodeSelector", "affinity") if fields.get(key)}
    # What asks for NPUs tolerates a taint of their name by itself.
    npus = {"key": spec.npu.resource, "operator": "Exists", "effect": "NoSchedule"}
    return {**wanted, "tolerations": [*fields.get("tolerations", []), npus]}


def _confined() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def _metadata(namespace: str, name: str, cache: str, record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": namespace,
        "labels": names.cache_labels(cache),
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": record["metadata"]["name"],
                "uid": record["metadata"]["uid"],
                "controller": True,
            }
        ],
    }
