"""One cgroup of ours in every hierarchy, under which the kubelet puts the pods' cgroups.

The pods are all below it, so it can be removed without touching another kubelet's. With cgroup v2
the root is told to pass its controllers on, which systemd has done already, and keeps doing so.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from cluster.errors import ClusterError
from cluster.paths import INSTANCE

__all__ = ["NAME", "create", "remove"]

NAME = f"ascendllm-{INSTANCE}"

_ROOT = Path("/sys/fs/cgroup")
_REMOVE_TIMEOUT = 10.0
_PAUSE = 0.05


def create() -> None:
    """Make the cgroup in each hierarchy, ready to hold others."""
    for hierarchy in _hierarchies():
        group = hierarchy / NAME
        group.mkdir(exist_ok=True)
        if (group / "cgroup.controllers").exists():
            _pass_controllers_on(hierarchy)
            _pass_controllers_on(group)
        # A new cpuset (cgroup v1) has no CPUs, and takes no process before it has.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / setting).exists():
                (group / setting).write_text((hierarchy / setting).read_text())


def remove() -> None:
    """Remove the cgroup with all below it; whatever ran there must have ended.

    Raises:
        ClusterError: Processes are still in it.
    """
    deadline = time.monotonic() + _REMOVE_TIMEOUT
    for hierarchy in _hierarchies():
        while (hierarchy / NAME).exists():
            try:
                for folder, _, _ in os.walk(hierarchy / NAME, topdown=False):
                    os.rmdir(folder)
            except OSError as error:
                # The kernel lets go of a cgroup a moment after its last process has ended.
                if time.monotonic() > deadline:
                    raise ClusterError(f"{error.filename}: not empty: {error.strerror}") from error
                time.sleep(_PAUSE)


def _hierarchies() -> list[Path]:
    """The mounted hierarchies: one with cgroup v2, one a controller with v1, both in a hybrid."""
    if (_ROOT / "cgroup.procs").exists():
        return [_ROOT]
    return [h for h in sorted(_ROOT.iterdir()) if not h.is_symlink() and _is_hierarchy(h)]


def _is_hierarchy(folder: Path) -> bool:
    return (folder / "cgroup.procs").exists()


def _pass_controllers_on(group: Path) -> None:
    """Let the cgroups in this one have its controllers (cgroup v2)."""
    for controller in (group / "cgroup.controllers").read_text().split():
        try:
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            # Not every controller can be passed on (a real-time one, say); the kubelet names
            # those that it misses.
            continue
