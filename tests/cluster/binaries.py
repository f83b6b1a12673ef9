"""Go programs of ours, built once and kept outside the checkout.

A build is found again by the hash of everything that goes into it, so a fresh clone on the same
machine builds nothing, and two checkouts that differ do not get in each other's way.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.errors import ClusterError
from cluster.paths import SOURCES, cache_folder

__all__ = [
    "COREDNS",
    "KEDA_ADAPTER",
    "KEDA_OPERATOR",
    "KINDCONFIG",
    "KUBERNETES",
    "LWS_CONTROLLER",
    "NPU_DEVICE_PLUGIN",
    "OTHERS_PROGRAMS",
    "PAUSE",
    "PROBE",
    "PROGRAMS",
    "PROMETHEUS",
    "PROMETHEUS_ADAPTER",
    "TRAEFIK",
    "GoProgram",
]

_KUBERNETES_VERSION = "1.34.4"
_MAJOR, _MINOR, _ = _KUBERNETES_VERSION.split(".")
_VERSION_VARIABLES = "k8s.io/component-base/version"

_FINGERPRINT = 16  # characters
_KEPT_UNUSED = 30 * 24 * 3600  # seconds
_BUILD_TIMEOUT = 3600  # seconds; two cores need 260 for the largest, with an empty build cache


@dataclass(frozen=True)
class GoProgram:
    """One Go module of ours with a `main` at its root, or which requires somebody else's.

    Attributes:
        name: The program's name, and its module's folder in tests/cluster.
        module: That folder, where it holds several programs.
        aliases: Names that the program is called by, where that name chooses what it is.
        variables: Strings set by the linker, `import/path.name` to value.
        package: The import path of the `main`; "." is the module's own root.
        effort: What a build from nothing takes, for the person who waits.
        architecture: Go's name of another machine that it is for, one with Linux; unset: this one.
    """

    name: str
    module: str | None = None
    aliases: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    package: str = "."
    effort: str = "a few seconds"
    architecture: str | None = None

    def for_linux(self, architecture: str) -> GoProgram:
        """The same program for a machine with Linux and Go's name of an architecture."""
        return replace(self, architecture=architecture)

    @property
    def source(self) -> Path:
        """The module's folder."""
        return SOURCES / (self.module or self.name)

    def folder(self) -> Path:
        """The folder that holds the program and its aliases; builds it when it is missing."""
        folder = cache_folder() / "bin" / f"{self.name}-{self._fingerprint()}"
        if not folder.exists():
            with _only_one_builder(self.name):
                if not folder.exists():
                    self._build(folder)
                    self._forget_old_builds(folder.parent)
        os.utime(folder)  # says that it is in use
        return folder

    def path(self, alias: str | None = None) -> Path:
        """The program's file, under its own name or an alias; builds it when it is missing."""
        return self.folder() / (alias or self.name)

    def _fingerprint(self) -> str:
        source = self.source
        target = (platform.system(), platform.machine(), self.architecture)
        digest = hashlib.sha256(repr((self.variables, self.aliases, target)).encode())
        files = [source / "go.mod", source / "go.sum", *source.rglob("*.go")]
        for file in sorted(f for f in files if f.exists() and not f.name.endswith("_test.go")):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(source)} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()[:_FINGERPRINT]

    def _forget_old_builds(self, parent: Path) -> None:
        used_since = time.time() - _KEPT_UNUSED
        for folder in parent.glob(f"{self.name}-{'[0-9a-f]' * _FINGERPRINT}"):
            if folder.stat().st_mtime < used_since:
                shutil.rmtree(folder)

    def _target(self) -> dict[str, str]:
        return {"GOOS": "linux", "GOARCH": self.architecture} if self.architecture else {}

    def _build(self, folder: Path) -> None:
        go = shutil.which("go")
        if go is None:
            raise ClusterError(
                f"go: not on PATH; {self.name} is built from source: install Go 1.24 or newer"
            )
        print(f"building {self.name} ({self.effort} from nothing) ...", file=sys.stderr)
        flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in self.variables)])
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            built = Path(scratch) / "built"
            built.mkdir(mode=0o755)
            command = [go, "build", "-trimpath", "-ldflags", flags, "-o", str(built / self.name)]
            outcome = subprocess.run(
                [*command, self.package],
                cwd=self.source,
                env={**os.environ, "CGO_ENABLED": "0", **self._target()},
                timeout=_BUILD_TIMEOUT,
            )
            if outcome.returncode != 0:
                raise ClusterError(f"{self.name}: go build failed, see its output above")
            for alias in self.aliases:
                (built / alias).symlink_to(self.name)
            built.rename(folder)


@contextmanager
def _only_one_builder(name: str) -> Iterator[None]:
    """Let one process at a time build `name`; the others wait and find it built."""
    parent = cache_folder() / "bin"
    parent.mkdir(parents=True, exist_ok=True)
    with open(parent / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


KINDCONFIG = GoProgram(name="kindconfig")
KUBERNETES = GoProgram(
    name="kubernetes",
    aliases=(
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "kubectl",
        "kubelet",
    ),
    # Without these the API server calls itself v0.0.0, which clients refuse.
    variables=(
        (f"{_VERSION_VARIABLES}.gitVersion", f"v{_KUBERNETES_VERSION}"),
        (f"{_VERSION_VARIABLES}.gitMajor", _MAJOR),
        (f"{_VERSION_VARIABLES}.gitMinor", _MINOR),
    ),
    effort="about 5 minutes on two cores",
)
COREDNS = GoProgram(name="coredns", effort="about a minute")
NPU_DEVICE_PLUGIN = GoProgram(name="npu-device-plugin", effort="half a minute")
LWS_CONTROLLER = GoProgram(
    name="lws-controller", package="sigs.k8s.io/lws/cmd", effort="about 4 minutes on two cores"
)
KEDA_OPERATOR = GoProgram(
    name="keda",
    package="github.com/kedacore/keda/v2/cmd/operator",
    effort="about 5 minutes on two cores",
)
KEDA_ADAPTER = GoProgram(
    name="keda-adapter",
    module="keda",
    package="github.com/kedacore/keda/v2/cmd/adapter",
    effort="a minute, once the other is built",
)
PROMETHEUS = GoProgram(
    name="prometheus",
    package="github.com/prometheus/prometheus/cmd/prometheus",
    effort="about 4 minutes on two cores",
)
PROMETHEUS_ADAPTER = GoProgram(
    name="prometheus-adapter",
    package="sigs.k8s.io/prometheus-adapter/cmd/adapter",
    effort="about 2 minutes on two cores",
)
TRAEFIK = GoProgram(
    name="traefik",
    package="github.com/traefik/traefik/v3/cmd/traefik",
    effort="about 4 minutes on two cores",
)
PAUSE = GoProgram(name="pause")
PROBE = GoProgram(name="probe")

PROGRAMS = (KUBERNETES, COREDNS, NPU_DEVICE_PLUGIN, PAUSE, PROBE, KINDCONFIG)
"""What a cluster consists of."""

OTHERS_PROGRAMS = (
    LWS_CONTROLLER,
    KEDA_OPERATOR,
    KEDA_ADAPTER,
    PROMETHEUS,
    PROMETHEUS_ADAPTER,
    TRAEFIK,
)
"""Programs of other projects, which some end-to-end tests install, and build where they are not."""
