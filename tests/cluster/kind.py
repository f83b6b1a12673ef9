"""A node in a container, by kind, where a Docker engine runs.

Written after kind 0.30's documentation and held to its configuration parser; the machine that
this was developed on has no Docker to run it with.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from cluster.binaries import NPU_DEVICE_PLUGIN
from cluster.commands import run, succeeds
from cluster.errors import ClusterError
from cluster.npu import PLUGIN_LISTENING, Npus
from cluster.paths import INSTANCE, REPOSITORY, instance_folder
from cluster.provider import Provider

__all__ = ["KindCluster"]

_CLUSTER = f"ascendllm-{INSTANCE}"
_NODE = f"{_CLUSTER}-control-plane"
_CONFIG = REPOSITORY / "kind-config.yaml"
_CREATE_TIMEOUT = 900.0  # the first time, it pulls the node's image of about 1 GB
_LOAD_TIMEOUT = 900.0
_PROBE_TIMEOUT = 20.0

_AVAILABLE = ("--for=condition=Available", "--timeout=120s")

_PLUGIN = "npu-device-plugin"
_PLUGIN_PROGRAM = f"/usr/local/bin/{_PLUGIN}"
_NODE_ADMIN = "/etc/kubernetes/admin.conf"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Go's names for the engine's."""


class KindCluster(Provider):
    """See the module."""

    name = "kind"

    @staticmethod
    def usable() -> bool:
        """Whether kind is installed and a Docker engine answers; a client alone does not count."""
        engine = ["docker", "info", "--format", "{{.ServerVersion}}"]
        tools = all(shutil.which(tool) for tool in ("kind", "docker", "kubectl"))
        return tools and succeeds(engine, timeout=_PROBE_TIMEOUT)

    @property
    def kubeconfig(self) -> Path:
        return instance_folder() / "kind.kubeconfig"

    def check(self) -> None:
        if not self.usable():
            raise ClusterError(
                "kind: needs kind, kubectl and docker on PATH and a Docker engine that answers "
                "`docker info`; start the engine, or use --provider bare as root on Linux"
            )

    def up(self, npus: Npus) -> None:
        if not self._is_up():
            self.down()
            self._create()
        self._start_plugin(npus)
        self.wait_until_ready(npus)
        self.kubectl("wait", "--namespace=kube-system", "deployment/coredns", *_AVAILABLE)

    def down(self) -> None:
        if shutil.which("kind") and _CLUSTER in run(["kind", "get", "clusters"]).split():
            run(["kind", "delete", "cluster", f"--name={_CLUSTER}"])
        shutil.rmtree(instance_folder(), ignore_errors=True)

    def description(self) -> str:
        return f"kind's cluster {_CLUSTER}, in the container {_NODE}"

    def node_command(self, command: Sequence[str]) -> list[str]:
        return ["docker", "exec", "--interactive", _NODE, *command]

    def load(self, archive: Path) -> None:
        command = ["kind", "load", "image-archive", str(archive), f"--name={_CLUSTER}"]
        run(command, timeout=_LOAD_TIMEOUT)

    def logs(self, component: str | None) -> str:
        if component is None:
            return "kubelet, containerd and npu-device-plugin; for the pods: kubectl logs"
        return run(self.node_command(["journalctl", "--no-pager", f"--unit={component}"]))

    def restart(self, component: str) -> None:
        run(self.node_command(["systemctl", "restart", component]))

    def _is_up(self) -> bool:
        clusters = run(["kind", "get", "clusters"]).split()
        if _CLUSTER not in clusters:
            return False
        export = ["kind", "export", "kubeconfig", f"--name={_CLUSTER}", *self._to_our_file()]
        return succeeds(export) and succeeds(self.kubectl_command(["get", "--raw=/readyz"]))

    def _create(self) -> None:
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        options = [f"--config={_CONFIG}", "--wait=5m", *self._to_our_file()]
        command = ["kind", "create", "cluster", f"--name={_CLUSTER}", *options]
        run(command, timeout=_CREATE_TIMEOUT)

    def _to_our_file(self) -> list[str]:
        """Leaves the user's own kubeconfig, and its current context, as they are."""
        return [f"--kubeconfig={self.kubeconfig}"]

    def _start_plugin(self, npus: Npus) -> None:
        """Copy the device plugin in and start it, instead of one that runs already."""
        machine = run(["docker", "info", "--format", "{{.Architecture}}"]).strip()
        program = NPU_DEVICE_PLUGIN.for_linux(_ARCHITECTURES.get(machine, machine)).path()
        # Its output goes to the journal, and systemd starts it again when it ends.
        unit = [f"--unit={_PLUGIN}", "--property=Restart=always", "--property=RestartSec=1"]
        command = npus.plugin_command(_PLUGIN_PROGRAM, _NODE, _NODE_ADMIN)
        succeeds(self.node_command(["systemctl", "stop", _PLUGIN]))
        run(self.node_command(["rm", "-f", PLUGIN_LISTENING]))
        run(["docker", "cp", str(program), f"{_NODE}:{_PLUGIN_PROGRAM}"])
        run(self.node_command(["systemd-run", "--collect", *unit, *command]))
