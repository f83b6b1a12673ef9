"""A bare node as the host sees it: one process that holds it, and the node's first process.

They are looked for in the process table by their command line, which names the state folder: no
file says that a node runs when it does not, or the other way round.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cluster.errors import ClusterError
from cluster.paths import SOURCES

__all__ = ["RUN_NODE", "end", "first_process", "start"]

RUN_NODE = "run-node"
"""The command of ours that becomes a node's first process."""

_NAMESPACES = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
_END_TIMEOUT = 30.0
_PAUSE = 0.05


def start(state: Path) -> int:
    """Start the node that `state` describes, in namespaces of its own; it outlives us.

    Returns:
        The process id, on the host, of its first process.

    Raises:
        ClusterError: The namespaces were refused.
    """
    command = ["unshare", *_NAMESPACES, sys.executable, str(SOURCES), RUN_NODE, str(state)]
    output = state / "logs" / "node.log"
    with output.open("ab") as log:
        holder = subprocess.Popen(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while (process := first_process(state)) is None:
        if holder.poll() is not None:
            raise ClusterError(f"the node did not start: {output.read_text()}")
        time.sleep(_PAUSE)
    return process


def first_process(state: Path) -> int | None:
    """The process id, on the host, of the node's first process; None while there is none."""
    ours = os.readlink("/proc/self/ns/net")
    for process in _processes(state):
        try:
            inside = os.readlink(f"/proc/{process}/ns/net") != ours
            if inside and not _arguments(process)[0].endswith("unshare"):
                return process
        except (OSError, IndexError):
            continue  # it has ended meanwhile
    return None


def end(state: Path) -> None:
    """Kill the node and wait until nothing of it runs.

    Raises:
        ClusterError: Something of it survived.
    """
    deadline = time.monotonic() + _END_TIMEOUT
    while processes := _processes(state):
        if time.monotonic() > deadline:
            raise ClusterError(f"processes {processes} of {state} did not end when killed")
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(_PAUSE)


def _processes(state: Path) -> list[int]:
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [n for n in numbers if _arguments(n)[-2:] == [RUN_NODE, str(state)]]


def _arguments(process: int) -> list[str]:
    """A process's command line; empty for one that has ended, be it not yet reaped."""
    try:
        content = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return []
    return content.decode(errors="replace").split("\0")[:-1]
