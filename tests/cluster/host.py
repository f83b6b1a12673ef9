"""What the distribution provides: installed on Debian and Ubuntu, elsewhere asked for by name."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import environment, run
from cluster.errors import ClusterError

__all__ = ["CONTROL_PLANE_TOOLS", "NODE_TOOLS", "Tool", "cni_folder", "require"]

_INSTALL_TIMEOUT = 900.0
_CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))

_CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")


@dataclass(frozen=True)
class Tool:
    """A program, and the Debian package that it comes in."""

    program: str
    package: str

    def found(self) -> bool:
        """Whether `commands.run` would find it."""
        return shutil.which(self.program, path=environment()["PATH"]) is not None


CONTROL_PLANE_TOOLS = (Tool("openssl", "openssl"), Tool("setpriv", "util-linux"))
"""What a control plane alone needs."""

NODE_TOOLS = (
    *CONTROL_PLANE_TOOLS,
    Tool("containerd", "containerd"),
    Tool("ctr", "containerd"),
    Tool("runc", "runc"),
    Tool("iptables", "iptables"),
    Tool("conntrack", "conntrack"),
    Tool("ip", "iproute2"),
    Tool("mount", "mount"),
    Tool("nsenter", "util-linux"),
    Tool("unshare", "util-linux"),
    Tool("tar", "tar"),
)
"""What a bare node runs on, beside the CNI plugins."""

_CNI_PACKAGE = "containernetworking-plugins"


def require(tools: tuple[Tool, ...], *, cni: bool = False) -> None:
    """Make sure that the tools are there; root on Debian or Ubuntu has them installed.

    Args:
        tools: The programs.
        cni: The CNI plugins, too.

    Raises:
        ClusterError: Some are missing; the message names each with its package.
    """
    missing = _missing(tools, cni=cni)
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(sorted(set(missing.values())))
        missing = _missing(tools, cni=cni)
    if missing:
        listed = ", ".join(f"{name} (package {package})" for name, package in missing.items())
        raise ClusterError(f"not on PATH: {listed}; install them, then run this again")


def cni_folder() -> Path:
    """The folder of the CNI plugins.

    Raises:
        ClusterError: There is none in the places that distributions use.
    """
    for folder in _CNI_FOLDERS:
        if all((folder / plugin).exists() for plugin in _CNI_PLUGINS):
            return folder
    places = ", ".join(str(folder) for folder in _CNI_FOLDERS)
    raise ClusterError(f"no CNI plugins in {places}; install package {_CNI_PACKAGE}")


def _missing(tools: tuple[Tool, ...], *, cni: bool) -> dict[str, str]:
    missing = {tool.program: tool.package for tool in tools if not tool.found()}
    if cni:
        try:
            cni_folder()
        except ClusterError:
            missing["CNI plugins"] = _CNI_PACKAGE
    return missing


def _install(packages: list[str]) -> None:
    print(f"installing {' '.join(packages)} ...", file=sys.stderr)
    env = {**environment(), "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    # A stale package list is the usual cause of a failure, and reading it anew the slow part.
    try:
        run(install, timeout=_INSTALL_TIMEOUT, env=env)
    except ClusterError:
        run(["apt-get", "update", "--quiet"], timeout=_INSTALL_TIMEOUT, env=env)
        run(install, timeout=_INSTALL_TIMEOUT, env=env)
