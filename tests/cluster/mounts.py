"""What a node puts over the host's folders, in its own mount namespace, before it starts.

What the node writes goes to the state folder or to memory; the host's files stay as they are.
"""

from __future__ import annotations

from pathlib import Path

from cluster.commands import run
from cluster.errors import ClusterError

__all__ = ["set_up"]

_WRITTEN = ("/etc", "/opt", "/var/lib", "/var/log")
"""Host folders that are written to: by kubelet and CNI, by who puts models in /opt, and by who
gives the node an /etc/hccn.conf."""

_KERNEL_SETTINGS = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}
"""What the kubelet sets where it differs (Kubernetes 1.34, pkg/util/sysctl). None is a namespace's
own, so the node is shown files that say so already."""


def set_up(state: Path) -> None:
    """Mount everything; the state folder must be on a file system that can be an overlay's upper.

    Raises:
        ClusterError: A mount was refused.
    """
    run(["mount", "--make-rshared", "/"])
    run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"])
    for folder in _WRITTEN:
        if Path(folder).is_dir():
            _overlay(folder, state / "overlays" / folder.strip("/").replace("/", "-"))
    for name, value in _KERNEL_SETTINGS.items():
        if Path("/proc/sys", name).exists():
            _show_setting(name, value)


def _overlay(folder: str, written: Path) -> None:
    upper, work = written / "upper", written / "work"
    for part in (upper, work):
        part.mkdir(parents=True)
    options = f"lowerdir={folder},upperdir={upper},workdir={work}"
    try:
        run(["mount", "-t", "overlay", "-o", options, "overlay", folder])
    except ClusterError as error:
        raise ClusterError(
            f"{written}: no overlay can write there ({error}); "
            "set XDG_CACHE_HOME to a folder on a local disk (ext4, xfs)"
        ) from error


def _show_setting(name: str, value: str) -> None:
    folder = Path("/run/kernel-settings")
    folder.mkdir(exist_ok=True)
    file = folder / name.replace("/", ".")
    file.write_text(f"{value}\n")
    run(["mount", "--bind", str(file), f"/proc/sys/{name}"])
