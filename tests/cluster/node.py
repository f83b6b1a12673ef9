"""The first process of a bare node: makes the node out of its namespaces, then keeps it running.

It starts the components, starts those that end again, and reaps what containers leave behind.
It is killed together with everything in the node by ending the `unshare` that made it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster import mounts, network
from cluster.api import ApiClient
from cluster.errors import ClusterError
from cluster.pki import KeyPair

__all__ = ["Node", "Service"]

_RESTART_PAUSE = 1.0
_API_TIMEOUT = 60.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Service:
    """A program that the node keeps running.

    Attributes:
        name: What it is called, in `logs` and `restart`.
        command: The program and its arguments.
        needs_api: Whether it is started only once the API server is ready.
    """

    name: str
    command: Sequence[str]
    needs_api: bool = False


@dataclass(frozen=True)
class Node:
    """What the node is made from; lies in its state folder as `node.json`.

    Attributes:
        state: The state folder.
        server: The API server's address.
        ca: What its certificate is held against.
        user: Who asks it whether it is ready.
        services: What runs on the node.
    """

    state: Path
    server: str
    ca: Path
    user: KeyPair
    services: tuple[Service, ...]

    def write(self) -> None:
        """Leave it for the process that will be the node."""
        unfinished = self.state / "node.json.new"
        unfinished.write_text(json.dumps(asdict(self), default=str, indent=1))
        unfinished.rename(self._file(self.state))

    @classmethod
    def read(cls, state: Path) -> Node:
        """What `write` left."""
        document = json.loads(cls._file(state).read_text())
        user = KeyPair(**{part: Path(path) for part, path in document["user"].items()})
        services = tuple(
            Service(s["name"], s["command"], s["needs_api"]) for s in document["services"]
        )
        return cls(state, document["server"], Path(document["ca"]), user, services)

    def run(self) -> None:
        """Be the node; returns never.

        Raises:
            ClusterError: It can't be set up; nothing is left running then.
        """
        mounts.set_up(self.state)
        network.set_up_node()
        keeper = _Keeper(self.state)
        for service in self.services:
            if not service.needs_api:
                keeper.start(service.name)
        ApiClient(self.server, self.ca, self.user).wait_for("/readyz", _API_TIMEOUT, keeper.tend)
        for service in self.services:
            if service.needs_api:
                keeper.start(service.name)
        while True:
            signal.sigtimedwait([signal.SIGCHLD], _RESTART_PAUSE)
            keeper.tend()

    def service(self, name: str) -> Service:
        """One of its services.

        Raises:
            ClusterError: There is none of that name.
        """
        for service in self.services:
            if service.name == name:
                return service
        names = ", ".join(service.name for service in self.services)
        raise ClusterError(f"{name}: no service of the node; these are: {names}")

    def process_of(self, name: str) -> int:
        """The process id of a service, as the node counts."""
        return int((self.state / "pids" / self.service(name).name).read_text())

    @staticmethod
    def _file(state: Path) -> Path:
        return state / "node.json"


class _Keeper:
    """Starts services, and again when they end; their process ids are in `pids/NAME`.

    What a service is, is read each time that it is started, so it can be changed in between.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        for folder in (state / "logs", state / "pids"):
            folder.mkdir(exist_ok=True)
        self._running: dict[int, str] = {}
        self._due: dict[str, float] = {}
        # `run` waits for it with a limit, which a handler could not.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])

    def start(self, name: str) -> None:
        """Start it, its output added to `logs/NAME.log`."""
        command = Node.read(self._state).service(name).command
        log = os.open(
            self._state / "logs" / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )
        output = [(os.POSIX_SPAWN_DUP2, log, stream) for stream in (1, 2)]
        environment = {"PATH": _PATH, "HOME": "/run"}
        pid = os.posix_spawn(
            command[0], list(command), environment, file_actions=output, setsigmask=[]
        )
        os.close(log)
        self._running[pid] = name
        (self._state / "pids" / name).write_text(str(pid))

    def tend(self) -> None:
        """Reap whatever has ended, and start services again that ended a while ago."""
        while (pid := _reaped()) is not None:
            if name := self._running.pop(pid, None):
                print(f"{name} ended; it is started again", file=sys.stderr, flush=True)
                self._due[name] = time.monotonic() + _RESTART_PAUSE
        for name, due in list(self._due.items()):
            if time.monotonic() >= due:
                del self._due[name]
                self.start(name)


def _reaped() -> int | None:
    """The process id of a child that has ended, or None while there is none."""
    try:
        pid, _ = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return pid or None
