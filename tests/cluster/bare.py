"""A node without Docker: Linux, root, and one `unshare` that holds everything.

The node, its control plane included, is a mount, a network and a process-id namespace, whose
first process is `node`. Ending that process ends all others in it and takes the mounts and the
network with them, so there is little to clean up and nothing to forget.
"""

from __future__ import annotations

import http
import http.client
import os
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cluster import assembly, cgroups, host, network, node_components, node_process
from cluster.api import ApiClient
from cluster.archive import write_image
from cluster.binaries import COREDNS, KUBERNETES, NPU_DEVICE_PLUGIN, PAUSE
from cluster.commands import run
from cluster.errors import ClusterError
from cluster.node import Node
from cluster.npu import PLUGIN_LISTENING, Npus
from cluster.paths import SOURCES, instance_folder
from cluster.provider import Provider

__all__ = ["BareCluster"]

_START_TIMEOUT = 60.0
_IMPORT_TIMEOUT = 900.0
_PAUSE = 0.05
_LOG_TAIL = 3000  # characters of the node's own log that go into an error


class BareCluster(Provider):
    """See the module."""

    name = "bare"

    def __init__(self) -> None:
        self._state = instance_folder()
        self._complete = self._state / "complete"

    @property
    def kubeconfig(self) -> Path:
        return self._state / assembly.ADMIN_KUBECONFIG

    def check(self) -> None:
        _check_machine()
        host.require(host.NODE_TOOLS, cni=True)

    def up(self, npus: Npus) -> None:
        for program in (KUBERNETES, COREDNS, NPU_DEVICE_PLUGIN, PAUSE):
            program.folder()
        if self._is_up():
            self._change_npus(npus)
        else:
            self.down()
            self._start(npus)
        self.wait_until_ready(npus)

    def down(self) -> None:
        if platform.system() != "Linux":
            return
        node_process.end(self._state)
        network.disconnect_host()
        cgroups.remove()
        if self._state.exists():
            shutil.rmtree(self._state)

    def description(self) -> str:
        return f"audit log: {self._state / assembly.AUDIT_LOG}\nlogs: {self._state / 'logs'}"

    def node_command(self, command: Sequence[str]) -> list[str]:
        process = node_process.first_process(self._state)
        if process is None:
            raise ClusterError("the cluster is not up; run `python tests/cluster up`")
        return ["nsenter", f"--target={process}", "--mount", "--net", "--pid", "--", *command]

    def kubectl_command(self, arguments: Sequence[str]) -> list[str]:
        program = str(KUBERNETES.path("kubectl"))
        return [program, f"--kubeconfig={self.kubeconfig}", *arguments]

    def load(self, archive: Path) -> None:
        command = self.node_command(["ctr", "-n", "k8s.io", "images", "import", "-"])
        with archive.open("rb") as content:
            run(command, stdin=content, timeout=_IMPORT_TIMEOUT)

    def logs(self, component: str | None) -> str:
        folder = self._state / "logs"
        names = sorted(file.stem for file in folder.glob("*.log"))
        if component is None:
            return "\n".join(str(folder / f"{name}.log") for name in names)
        if component not in names:
            raise ClusterError(f"{component}: no such log; there are {', '.join(names)}")
        return (folder / f"{component}.log").read_text(errors="replace")

    def restart(self, component: str) -> None:
        process = Node.read(self._state).process_of(component)
        run(self.node_command(["kill", "-KILL", str(process)]))

    def _is_up(self) -> bool:
        """Whether the node was brought up to the end, runs, and its API server answers."""
        if not self._complete.exists() or node_process.first_process(self._state) is None:
            return False
        node = Node.read(self._state)
        try:
            ApiClient(assembly.SERVER, node.ca, node.user).request("GET", "/readyz")
        except ClusterError:
            return False
        return True

    def _start(self, npus: Npus) -> None:
        (self._state / "logs").mkdir(mode=0o700, parents=True)
        cgroups.create()
        node = assembly.assemble(self._state, npus)
        node.write()
        network.connect_host(node_process.start(self._state))
        api = ApiClient(assembly.SERVER, node.ca, node.user)
        api.wait_for("/readyz", _START_TIMEOUT, self._check_running)
        self.kubectl("apply", f"--filename={SOURCES / 'permissions.yaml'}")
        self._load_pause()
        self._wait_for_dns()
        self._complete.touch()

    def _change_npus(self, npus: Npus) -> None:
        """Have the node that runs show these NPUs."""
        node = Node.read(self._state)
        plugin = assembly.device_plugin(self._state, npus)
        if node.service(plugin.name) != plugin:
            others = [service for service in node.services if service.name != plugin.name]
            replace(node, services=(*others, plugin)).write()
            run(self.node_command(["rm", "-f", PLUGIN_LISTENING]))
            self.restart(plugin.name)

    def _load_pause(self) -> None:
        archive = self._state / "pause.tar"
        write_image(archive, node_components.PAUSE_IMAGE, PAUSE.path())
        self.load(archive)

    def _wait_for_dns(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while not _dns_answers():
            self._check_running()
            if time.monotonic() > deadline:
                raise ClusterError("CoreDNS does not answer; `logs coredns` may say why")
            time.sleep(_PAUSE)

    def _check_running(self) -> None:
        if node_process.first_process(self._state) is None:
            tail = self.logs("node")[-_LOG_TAIL:].strip()
            raise ClusterError(f"the node ended: {tail}")


def _check_machine() -> None:
    if platform.system() != "Linux":
        raise ClusterError(
            "a bare node needs Linux; install Docker and kind, or name a cluster by --kubeconfig"
        )
    if os.geteuid() != 0:
        raise ClusterError(
            "a bare node needs root, for its namespaces and mounts; "
            "run this as root, install Docker and kind, or name a cluster by --kubeconfig"
        )


def _dns_answers() -> bool:
    connection = http.client.HTTPConnection(node_components.DNS_READY, timeout=1)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
