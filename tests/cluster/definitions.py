"""Custom resource definitions of other projects, out of their Go modules.

The versions stand in tests/cluster/crds/go.mod, their hashes in its go.sum. The files stay in Go's
module cache.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import run
from cluster.errors import ClusterError
from cluster.paths import SOURCES

__all__ = ["GATEWAY_API", "KEDA", "Definitions"]

_TIMEOUT = 600.0  # seconds; the larger module has 40 MB


@dataclass(frozen=True)
class Definitions:
    """A project's definitions.

    Attributes:
        module: Its Go module.
        place: The file or folder in it.
    """

    module: str
    place: str

    def path(self) -> Path:
        """The file or folder; the module is fetched when it is not there yet."""
        go = shutil.which("go")
        if go is None:
            raise ClusterError(f"go: not on PATH; it fetches {self.module}: install Go 1.24")
        command = [go, "-C", str(SOURCES / "crds"), "mod", "download", "-json", self.module]
        return Path(json.loads(run(command, timeout=_TIMEOUT))["Dir"]) / self.place


_ROUTE = "gateway.networking.k8s.io_httproutes.yaml"

GATEWAY_API = Definitions("sigs.k8s.io/gateway-api", f"config/crd/standard/{_ROUTE}")
KEDA = Definitions("github.com/kedacore/keda/v2", "config/crd/bases/keda.sh_scaledobjects.yaml")
