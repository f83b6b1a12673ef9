"""What every kind of cluster can do."""

from __future__ import annotations

import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from cluster.binaries import KUBERNETES
from cluster.commands import run, succeeds
from cluster.errors import ClusterError
from cluster.npu import CHIPS, PLUGIN_LISTENING, Npus, health_command

__all__ = ["Provider", "pipe"]

_READY_TIMEOUT = 120
_COPY_TIMEOUT = 600.0
_PAUSE = 0.1


class Provider(ABC):
    """A cluster of one node, made by us or by somebody else."""

    name: ClassVar[str]

    disposable: ClassVar[bool] = True
    """Whether `down` takes everything on it along."""

    @property
    @abstractmethod
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig file; it need not exist while the cluster is down."""

    @abstractmethod
    def check(self) -> None:
        """Make sure, before anything is made, that this kind of cluster can be had here.

        Raises:
            ClusterError: It can't; the message says what is missing.
        """

    @abstractmethod
    def up(self, npus: Npus) -> None:
        """Bring the cluster up, or put right what is up already; returns when it is ready."""

    @abstractmethod
    def down(self) -> None:
        """Take it down and leave nothing behind, whatever state it is in."""

    @abstractmethod
    def node_command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs a command on the node."""

    @abstractmethod
    def load(self, archive: Path) -> None:
        """Put the images of an OCI archive on the node."""

    @abstractmethod
    def logs(self, component: str | None) -> str:
        """What a component has written; without one: where to look."""

    @abstractmethod
    def restart(self, component: str) -> None:
        """End a component of the node, such as the kubelet; it is started again at once."""

    @abstractmethod
    def description(self) -> str:
        """How the cluster is reached, for people."""

    def kubectl_command(self, arguments: Sequence[str]) -> list[str]:
        """A kubectl command line for this cluster."""
        program = shutil.which("kubectl") or str(KUBERNETES.path("kubectl"))
        return [program, f"--kubeconfig={self.kubeconfig}", *arguments]

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl, `text` on its input; returns its output."""
        return run(self.kubectl_command(arguments), text=text, timeout=_READY_TIMEOUT + 30)

    def has_image(self, name: str) -> bool:
        """Whether the node has an image of this full name."""
        listed = run(self.node_command(["ctr", "-n", "k8s.io", "images", "ls", "-q"]))
        return name in listed.splitlines()

    def node_copy(self, source: Path, destination: str) -> None:
        """Copy a file or a folder's content onto the node.

        Args:
            source: On this machine.
            destination: On the node; a folder is made with all above it, and gets the content.
        """
        if source.is_dir():
            packed, folder = ["-C", str(source), "."], destination
        else:
            packed, folder = ["-C", str(source.parent), source.name], str(Path(destination).parent)
        run(self.node_command(["mkdir", "-p", folder]))
        unpack = self.node_command(["tar", "-C", folder, "--no-same-owner", "-xf", "-"])
        pipe(["tar", "-cf", "-", *packed], unpack)
        if not source.is_dir() and Path(destination).name != source.name:
            run(self.node_command(["mv", f"{folder}/{source.name}", destination]))

    def set_health(self, number: int, *, healthy: bool) -> None:
        """Turn an NPU's health, by its number.

        Raises:
            ClusterError: The node has no such NPU.
        """
        for chip in CHIPS.values():
            count = self.capacity(chip.resource)
            if count:
                if not 0 <= number < count:
                    raise ClusterError(f"{number}: the node's NPUs are 0 to {count - 1}")
                run(self.node_command(health_command(f"{chip.device}-{number}", healthy=healthy)))
                return
        raise ClusterError("the node has no NPUs; `up` puts them there")

    def wait_until_ready(self, npus: Npus) -> None:
        """Wait for the node, and for its NPUs.

        Raises:
            ClusterError: They did not come; the message says what was waited for.
        """
        limit = f"--timeout={_READY_TIMEOUT}s"
        escaped = npus.resource.replace(".", "\\.")
        self._wait_for(
            "a node that has registered", lambda: bool(self.kubectl("get", "nodes", "-o", "name"))
        )
        self.kubectl("wait", "node", "--all", "--for=condition=Ready", limit)
        # The node's status may still tell of the devices of an earlier kubelet.
        listening = self.node_command(["test", "-e", PLUGIN_LISTENING])
        self._wait_for("the device plugin to register", lambda: succeeds(listening))
        has_npus = f"--for=jsonpath={{.status.capacity.{escaped}}}={npus.count}"
        self.kubectl("wait", "node", "--all", has_npus, limit)

    def _wait_for(self, what: str, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT
        while not there():
            if time.monotonic() > deadline:
                raise ClusterError(f"waited in vain for {what}; the cluster's logs may say why")
            time.sleep(_PAUSE)

    def capacity(self, resource: str) -> int:
        """How many of an extended resource the nodes have together, unhealthy ones included."""
        escaped = resource.replace(".", "\\.")
        path = f"jsonpath={{.items[*].status.capacity.{escaped}}}"
        return sum(int(count) for count in self.kubectl("get", "nodes", "-o", path).split())


def pipe(source: Sequence[str], sink: Sequence[str]) -> None:
    """Run two programs, the output of the first being the input of the second."""
    with subprocess.Popen(source, stdout=subprocess.PIPE) as first:
        run(sink, stdin=first.stdout, timeout=_COPY_TIMEOUT)
    if first.returncode != 0:
        raise ClusterError(f"{source[0]} ended with {first.returncode}, see above")
