"""A cluster that somebody else made, named by its kubeconfig.

It is used as it is: neither made nor taken down. What goes onto its node (images, models, data)
goes through a privileged pod that enters the node's namespaces, so it must be a cluster of one node
with containerd, such as a test machine's; `down` removes the pod.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from cluster.commands import succeeds
from cluster.errors import ClusterError
from cluster.npu import Npus
from cluster.provider import Provider, pipe

__all__ = ["ExistingCluster"]

SHELL_IMAGE_VARIABLE = "ASCENDLLM_NODE_SHELL_IMAGE"
_SHELL_IMAGE = "busybox:1.36"
_SHELL = "ascendllm-node-shell"
_NAMESPACE = "kube-system"
_ENTER = ["nsenter", "-t", "1", "-m", "-u", "-i", "-n", "-p", "--"]


class ExistingCluster(Provider):
    """A cluster of one node that was there before us."""

    name = "kubeconfig"
    disposable = False

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    @property
    def kubeconfig(self) -> Path:
        return self._kubeconfig

    def check(self) -> None:
        if not self._kubeconfig.is_file():
            raise ClusterError(f"--kubeconfig {self._kubeconfig}: no such file")

    def up(self, npus: Npus) -> None:
        self.kubectl("get", "--raw=/readyz")
        if self.capacity(npus.resource) == 0:
            raise ClusterError(
                f"--kubeconfig {self._kubeconfig}: no node has {npus.resource}; install the "
                "Ascend device plugin there, or leave --kubeconfig out and have a cluster made"
            )
        nodes = self.kubectl("get", "nodes", "-o", "name").split()
        if len(nodes) != 1:
            raise ClusterError(
                f"--kubeconfig {self._kubeconfig}: it has {len(nodes)} nodes; images and models "
                "are put onto one: name a cluster of one node, or install the operator as the "
                "README says"
            )
        self._start_shell()

    def down(self) -> None:
        self.kubectl(
            "-n", _NAMESPACE, "delete", "pod", _SHELL, "--ignore-not-found", "--wait=false"
        )

    def description(self) -> str:
        return "a cluster of yours: `down` leaves it as it is"

    def node_command(self, command: Sequence[str]) -> list[str]:
        inside = ["-n", _NAMESPACE, "exec", "-i", _SHELL, "--", *_ENTER, *command]
        return self.kubectl_command(inside)

    def load(self, archive: Path) -> None:
        pipe(
            ["cat", str(archive)],
            self.node_command(["ctr", "-n", "k8s.io", "images", "import", "-"]),
        )

    def logs(self, component: str | None) -> str:
        raise ClusterError(f"the logs of {self._kubeconfig} are out of reach")

    def restart(self, component: str) -> None:
        raise ClusterError(f"{component}: of {self._kubeconfig}, which is not ours to restart")

    def _start_shell(self) -> None:
        """The pod by which commands reach the node."""
        there = self.kubectl_command(["-n", _NAMESPACE, "get", "pod", _SHELL])
        if not succeeds(there):
            self.kubectl("apply", "-f", "-", text=json.dumps(_shell_pod()))
        ready = ("wait", "pod", _SHELL, "--for=condition=Ready", "--timeout=120s")
        self.kubectl("-n", _NAMESPACE, *ready)


def _shell_pod() -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _SHELL, "namespace": _NAMESPACE},
        "spec": {
            "hostPID": True,
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "shell",
                    "image": os.environ.get(SHELL_IMAGE_VARIABLE, _SHELL_IMAGE),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "infinity"],
                    "securityContext": {"privileged": True},
                }
            ],
        },
    }
