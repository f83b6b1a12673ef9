"""The LeaderWorkerSet controller on a cluster: the real one, v0.7.0, from its Go module."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from cluster.archive import write_image
from cluster.binaries import LWS_CONTROLLER
from cluster.commands import run
from cluster.paths import SOURCES
from cluster.provider import Provider

__all__ = ["install"]

_IMAGE = "localhost/ascendllm/lws-controller:v0.7.0"
_MODULE = "sigs.k8s.io/lws"
_SYSTEM = ("--namespace=lws-system", "deployment/lws-controller-manager")
_TIMEOUT = "--timeout=120s"


def install(cluster: Provider) -> None:
    """Put the controller on a cluster that may have it; returns when it is available.

    The first time on a machine the program is built, which takes minutes.
    """
    program = LWS_CONTROLLER.path()
    if not cluster.has_image(_IMAGE):
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "image.tar")
            write_image(archive, _IMAGE, program)
            cluster.load(archive)
    cluster.kubectl("apply", "--server-side", "--filename=-", text=_manifests(cluster))
    cluster.kubectl("rollout", "status", *_SYSTEM, _TIMEOUT)


def _manifests(cluster: Provider) -> str:
    """The module's own; its Deployment runs the image that is here, once."""
    module = ["go", "-C", str(SOURCES / LWS_CONTROLLER.name), "list", "-m", "-json", _MODULE]
    folder = json.loads(run(module))["Dir"]
    documents = cluster.kubectl("kustomize", f"{folder}/config/default").split("\n---\n")
    ours = [
        json.dumps(_here(yaml.safe_load(text))) if "\nkind: Deployment\n" in text else text
        for text in documents
    ]
    return "\n---\n".join(ours)


def _here(deployment: dict[str, Any]) -> dict[str, Any]:
    deployment["spec"]["replicas"] = 1
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container |= {"image": _IMAGE, "command": [f"/{LWS_CONTROLLER.name}"], "resources": {}}
    return deployment
