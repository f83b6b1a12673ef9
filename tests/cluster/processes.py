"""Processes that end with the one who started them, whatever ends it."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cluster.errors import ClusterError

__all__ = ["ChildProcess", "free_ports"]

_LOG_TAIL = 2000  # characters of a log that go into an error
_END_TIMEOUT = 10.0

# Below 32768, where Linux begins to take ports for outgoing connections: a client that keeps
# dialling a dead server in that range ends up connected to itself, and the server can't come back.
_PORTS = range(20000, 32000)


class ChildProcess:
    """One program in the background, its output in a file.

    The kernel kills it when the thread that started it ends, be it by SIGKILL: so start it from
    a thread that lives as long as it is wanted, such as the main one.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.name = Path(command[0]).name
        self._command = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, once more after a kill; its log goes on in the same file."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def kill(self) -> None:
        """End it by SIGKILL and wait for its end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(_END_TIMEOUT)
            self._process = None

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            ClusterError: It has ended; the message holds the end of its log.
        """
        if self._process is None or self._process.poll() is not None:
            raise ClusterError(f"{self.name} ended: {self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        return self._log.read_text(errors="replace")[-_LOG_TAIL:].strip()


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nothing listens on now."""
    ports: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(ports) == count:
            return ports
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
    raise ClusterError(f"loopback: no {count} free ports between {_PORTS.start} and {_PORTS.stop}")
