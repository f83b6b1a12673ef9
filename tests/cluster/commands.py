"""Running other programs: always with a limit, and with errors that say what was run."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from typing import IO

from cluster.errors import ClusterError

__all__ = ["environment", "run", "succeeds"]

_TIMEOUT = 120.0
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_LINK_LOCAL = "169.254.0.0/16"


def run(
    command: Sequence[str],
    *,
    text: str | None = None,
    stdin: IO[bytes] | None = None,
    timeout: float = _TIMEOUT,
    env: dict[str, str] | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        command: The program and its arguments.
        text: What it reads on standard input.
        stdin: A file that it reads on standard input instead.
        timeout: Seconds after which it is killed.
        env: Its whole environment; unset: `environment()`.

    Raises:
        ClusterError: It is missing, failed or took too long; the message holds its stderr.
    """
    shown = shlex.join(command)
    try:
        outcome = subprocess.run(
            command,
            input=text.encode() if text is not None else None,
            stdin=None if text is not None else (stdin or subprocess.DEVNULL),
            capture_output=True,
            timeout=timeout,
            env=env or environment(),
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{command[0]}: not found; it is needed for `{shown}`") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{shown}` did not end within {timeout:.0f} s") from error
    if outcome.returncode != 0:
        said = outcome.stderr.decode(errors="replace").strip()
        raise ClusterError(f"`{shown}` ended with {outcome.returncode}: {said}")
    return outcome.stdout.decode(errors="replace")


def environment() -> dict[str, str]:
    """Ours, with administrators' programs on PATH, and no proxy between us and a node."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM_FOLDERS])
    direct = {
        name: ",".join(filter(None, [os.environ.get(name), _LINK_LOCAL]))
        for name in ("NO_PROXY", "no_proxy")
    }
    return {**os.environ, "PATH": path, **direct}


def succeeds(command: Sequence[str], timeout: float = _TIMEOUT) -> bool:
    """Whether a program can be run and ends with 0."""
    try:
        run(command, timeout=timeout)
    except ClusterError:
        return False
    return True
