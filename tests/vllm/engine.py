"""A server of the real vLLM with a tiny model, on loopback.

python tests/vllm serve [FOLDER] [vLLM's options]    # until Ctrl-C; prints its address
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import environment as inherited
from cluster.commands import run
from cluster.errors import ClusterError
from cluster.processes import free_ports
from vllm.environment import IMAGE

__all__ = ["SERVED", "Engine", "command_environment", "make_model", "serving"]

SERVED = "tiny"
"""The served name."""

OPTIONS = (
    "--max-model-len=4096",
    "--max-num-seqs=16",
    "--dtype=float32",
    "--seed=0",
    "--shutdown-timeout=5",
)

_START_SECONDS = 180.0  # 20 on two idle cores
_END_SECONDS = 30.0
_LOOK_AGAIN = 0.2
_LOG_TAIL = 4000  # characters


@dataclass(frozen=True)
class Engine:
    """A running server.

    Attributes:
        url: `http://127.0.0.1:PORT`.
        model: The model's folder.
        name: The served name.
        environment: The folder of vLLM's Python environment.
        log: What it wrote.
    """

    url: str
    model: Path
    name: str
    environment: Path
    log: Path


def make_model(folder: Path, *options: str) -> Path:
    """Make the tiny model (2 s); returns its folder."""
    run([sys.executable, str(IMAGE / "make_model.py"), str(folder), *options])
    return folder


def command_environment(environment: Path) -> dict[str, str]:
    """The process environment in which the image's `vllm` command finds an installation."""
    return {
        **inherited(),
        "ASCENDLLM_VLLM_HOME": str(environment),
        "PATH": f"{environment / 'bin'}:{inherited()['PATH']}",
        "HF_HUB_OFFLINE": "1",
    }


@contextmanager
def serving(
    environment: Path, model: Path, log: Path, options: Sequence[str] = OPTIONS
) -> Iterator[Engine]:
    """Serve a model until left, by the image's own `vllm serve`.

    Args:
        environment: From `environment.install`.
        model: The model's folder.
        log: The file for what the server writes.
        options: Of `vllm serve`, beside address and name.

    Raises:
        ClusterError: It ended, or did not answer in time; the message holds the end of its log.
    """
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [str(IMAGE / "vllm"), "serve", str(model), "--host=127.0.0.1", f"--port={port}"]
    command += [f"--served-model-name={SERVED}", *options]
    setpriv = shutil.which("setpriv", path=inherited()["PATH"])
    if setpriv is not None:  # asked to end, be it that we are killed, it ends its engine too
        command = [setpriv, "--pdeathsig", "TERM", "--", *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=command_environment(environment),
            start_new_session=True,
        )
    try:
        _wait(process, url, log)
        yield Engine(url, model, SERVED, environment, log)
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _healthy(url):
        code = process.poll()
        if code is not None or time.monotonic() > deadline:
            what = f"ended with {code}" if code is not None else "does not answer"
            tail = log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]
            raise ClusterError(f"the real vLLM {what}: {tail}")
        time.sleep(_LOOK_AGAIN)


def _healthy(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    # The engine is a process of its own; none of its session is left.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_END_SECONDS)
