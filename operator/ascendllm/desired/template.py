"""The serving pods' template: what a revision is."""

from __future__ import annotations

from typing import Any

from ascendllm.api.spec import Spec
from ascendllm.desired import names
from ascendllm.desired.facts import facts_container
from ascendllm.desired.owner import Owner
from ascendllm.desired.probes import probes
from ascendllm.desired.sources import mount_model
from ascendllm.engine.arguments import PORT, SHUTDOWN_TIMEOUT_SECONDS, serve_arguments

__all__ = ["CONTAINER", "pod_template", "served_name"]

CONTAINER = "vllm"

GRACE_SECONDS = SHUTDOWN_TIMEOUT_SECONDS + 30
"""vLLM ends its children at the drain's end, at the earliest after 5 s: the kubelet must not be
faster."""


def served_name(spec: Spec, name: str) -> str:
    """The name that clients ask for."""
    return spec.model.served_name or name


def pod_template(owner: Owner, spec: Spec, image: str) -> dict[str, Any]:
    """The template, without the revision's label: the revision's name is a hash of this.

    `args` and no `command`: the image's entry point sources CANN's environment. Nothing names a
    device, since the device plugin assigns them. Service links stay out, because a Service named
    `vllm` would set VLLM_PORT, which vLLM reads as its own.

    Args:
        owner: Whose pods.
        spec: What to serve.
        image: The resolved image.
    """
    name = served_name(spec, owner.name)
    model = mount_model(spec.model.source)
    runtime = spec.runtime
    npus = {spec.npu.resource: str(spec.npu.count)}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image,
        "args": serve_arguments(model.path, name, spec.engine, spec.npu),
        "env": [
            {"name": key, "value": value} for key, value in sorted((runtime.env or {}).items())
        ],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": {"limits": npus, "requests": npus},
        "volumeMounts": [
            *model.mounts,
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - the container's own
            {"name": "cache", "mountPath": "/root/.cache"},
        ],
        "securityContext": {"allowPrivilegeEscalation": False},
        # A crashed container's last log lines are then in its status, for the diagnosis.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **probes(name),
    }
    if not container["env"]:
        del container["env"]
    if runtime.image_pull_policy is not None:
        container["imagePullPolicy"] = runtime.image_pull_policy
    pod: dict[str, Any] = {
        "serviceAccountName": owner.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "initContainers": [facts_container(image, runtime.image_pull_policy)],
        "containers": [container],
        "volumes": [
            *model.volumes,
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": runtime.shm_size}},
            {"name": "cache", "emptyDir": {}},
        ],
    }
    if runtime.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret.name} for secret in runtime.image_pull_secrets]
    return {"metadata": {"labels": names.labels(owner.name)}, "spec": pod}
