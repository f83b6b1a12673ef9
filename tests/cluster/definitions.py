"""Custom resource definitions and other files of other projects, out of their Go modules.

The versions stand in the go.mod of tests/cluster/crds, or of the program that serves them, their
hashes in its go.sum. The files stay in Go's module cache.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import run
from cluster.control_plane import ControlPlane
from cluster.errors import ClusterError
from cluster.paths import SOURCES

__all__ = ["GATEWAY_API", "KEDA", "LEADER_WORKER_SET", "Definitions", "installed"]

_TIMEOUT = 600.0  # seconds; the larger module has 40 MB


@dataclass(frozen=True)
class Definitions:
    """A project's definitions, or other files of it.

    Attributes:
        module: Its Go module.
        place: The file or folder in it.
        pinned: The folder of tests/cluster whose go.mod has its version.
    """

    module: str
    place: str
    pinned: str = "crds"

    def path(self) -> Path:
        """The file or folder; the module is fetched when it is not there yet."""
        go = shutil.which("go")
        if go is None:
            raise ClusterError(f"go: not on PATH; it fetches {self.module}: install Go 1.24")
        command = [go, "-C", str(SOURCES / self.pinned), "mod", "download", "-json", self.module]
        return Path(json.loads(run(command, timeout=_TIMEOUT))["Dir"]) / self.place


_ROUTE = "gateway.networking.k8s.io_httproutes.yaml"

GATEWAY_API = Definitions("sigs.k8s.io/gateway-api", f"config/crd/standard/{_ROUTE}")
KEDA = Definitions(
    "github.com/kedacore/keda/v2", "config/crd/bases/keda.sh_scaledobjects.yaml", pinned="keda"
)

_GROUPS = "leaderworkerset.x-k8s.io_leaderworkersets.yaml"

LEADER_WORKER_SET = Definitions(
    "sigs.k8s.io/lws", f"config/crd/bases/{_GROUPS}", pinned="lws-controller"
)


@contextlib.contextmanager
def installed(plane: ControlPlane, *definitions: Definitions) -> Iterator[None]:
    """The definitions are there, and served, until the end."""
    files = [f"--filename={part.path()}" for part in definitions]
    plane.kubectl("apply", "--server-side", *files)
    plane.kubectl("wait", *files, "--for=condition=Established", "--timeout=60s")
    yield
    plane.kubectl("delete", *files)
