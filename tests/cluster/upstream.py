"""Other projects' programs and manifests on a cluster, both from their Go modules.

The versions stand in the go.mod of the folder that a program is built in; the manifests stay in
Go's module cache.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cluster.archive import write_image
from cluster.binaries import GoProgram
from cluster.provider import Provider

__all__ = ["install", "kustomized", "remove", "rights", "running"]

_TIMEOUT = "--timeout=120s"
_RBAC = "rbac.authorization.k8s.io"


def kustomized(cluster: Provider, folder: Path) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of a folder."""
    return list(yaml.load_all(cluster.kubectl("kustomize", str(folder)), yaml.CSafeLoader))


def _load(cluster: Provider, program: GoProgram) -> str:
    """Build a program where it is not yet, and have an image of it on the node; its name."""
    built = program.folder()
    image = f"localhost/ascendllm/{built.name}:built"
    if not cluster.has_image(image):
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "image.tar")
            write_image(archive, image, built / program.name)
            cluster.load(archive)
    return image


def rights(
    name: str, rules: Sequence[Mapping[str, Any]], *, account: str, namespace: str
) -> Iterator[dict[str, Any]]:
    """What lets an account do something in the whole cluster.

    Args:
        name: Of the ClusterRole and its binding.
        rules: As of the ClusterRole.
        account: The ServiceAccount.
        namespace: The account's.
    """
    common = {"apiVersion": f"{_RBAC}/v1", "metadata": {"name": name}}
    yield {**common, "kind": "ClusterRole", "rules": list(rules)}
    yield {
        **common,
        "kind": "ClusterRoleBinding",
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }


def running(
    name: str,
    namespace: str,
    pod: Mapping[str, Any],
    rules: Sequence[Mapping[str, Any]],
    *,
    port: int,
    target_port: int,
) -> Iterator[dict[str, Any]]:
    """A program with its namespace, its account and a Service, all of its name.

    Args:
        name: The program's name.
        namespace: Made for it.
        pod: The pod's spec.
        rules: What it may do in the whole cluster.
        port: The Service's.
        target_port: The pod's.
    """
    metadata = {"name": name, "namespace": namespace}
    labels = {"app": name}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    yield from rights(name, rules, account=name, namespace=namespace)
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": labels, "ports": [{"port": port, "targetPort": target_port}]},
    }
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"serviceAccountName": name, **pod},
            },
        },
    }


def install(
    cluster: Provider,
    namespace: str,
    manifests: Iterable[dict[str, Any]],
    programs: Mapping[str, GoProgram],
) -> None:
    """Apply manifests, and wait until their Deployments are available.

    Args:
        cluster: The cluster, which may have them.
        namespace: Of the Deployments.
        manifests: The project's own.
        programs: What the Deployments run, by their names; each runs once.
    """
    images = {name: _load(cluster, program) for name, program in programs.items()}
    items = []
    for item in manifests:
        if item["kind"] == "Deployment":
            name = item["metadata"]["name"]
            _run_here(item, images[name], programs[name].name)
        items.append(item)
    cluster.kubectl("apply", "--server-side", "--filename=-", text=_list(items))
    for name in programs:
        command = ("rollout", "status", f"--namespace={namespace}", f"deployment/{name}")
        cluster.kubectl(*command, _TIMEOUT)


def remove(cluster: Provider, manifests: Sequence[Mapping[str, Any]]) -> None:
    """Delete what was applied."""
    cluster.kubectl("delete", "--filename=-", "--ignore-not-found", text=_list(manifests))


def _list(items: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})


def _run_here(deployment: dict[str, Any], image: str, program: str) -> None:
    """Have it run what is on the node, once, and say soon that it is ready."""
    deployment["spec"]["replicas"] = 1
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container |= {
        "image": image,
        "imagePullPolicy": "Never",
        "command": [f"/{program}"],
        "resources": {},
    }
    for probe in ("readinessProbe", "livenessProbe"):
        container[probe] |= {"initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 120}
