"""The simulator as a process, started like the real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import ClusterError
from cluster.processes import free_ports

__all__ = ["simulating"]

_BEHAVIOUR = {"loadSeconds": 0, "ttftMs": 0, "itlMs": 0}
_START_SECONDS = 30.0
_END_SECONDS = 10.0
_LOOK_AGAIN = 0.05


@contextmanager
def simulating(model: Path, log: Path, options: Sequence[str]) -> Iterator[str]:
    """Simulate a server of a model until left; yields its address.

    Args:
        model: The model's folder.
        log: The file for what it writes.
        options: Of `vllm serve`, beside the address.

    Raises:
        ClusterError: It ended, or did not answer in time.
    """
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "ascendllm_simulator", str(model), "--host=127.0.0.1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"--port={port}", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "ASCENDLLM_SIMULATE": json.dumps(_BEHAVIOUR)},
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ClusterError(f"the simulator does not answer: {log.read_text()[-2000:]}")
            time.sleep(_LOOK_AGAIN)
        yield url
    finally:
        process.terminate()
        process.wait(_END_SECONDS)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
