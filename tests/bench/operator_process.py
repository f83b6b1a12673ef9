"""`ascendllm operator` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.figures import MeasureError
from bench.installation import NAMESPACE, Installation
from cluster.processes import free_ports
from integration.world import SETTINGS

__all__ = ["OperatorProcess", "run_operator"]

_END_TIMEOUT = 30.0
_HTTP_TIMEOUT = 5.0
_LOG_TAIL = 2000
_PASSES = re.compile(r'^ascendllm_reconcile_total\{result="success"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class OperatorProcess:
    """One that runs.

    Attributes:
        pid: Of the process itself.
        started: Just before it was started.
        port: Of /metrics, on loopback.
    """

    pid: int
    started: datetime
    port: int

    def passes(self) -> int:
        """How many reconciles have succeeded."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        with urllib.request.urlopen(url, timeout=_HTTP_TIMEOUT) as answer:
            found = _PASSES.search(answer.read().decode())
        return int(float(found[1])) if found else 0


@contextmanager
def run_operator(
    installation: Installation, *, resync_seconds: float = 600.0
) -> Iterator[OperatorProcess]:
    """Start it; ended by SIGTERM when left, so that its Lease is free.

    Raises:
        MeasureError: It ended by itself or with an error; the message holds the end of its log.
    """
    [port] = free_ports(1)
    command = [
        *("setpriv", "--pdeathsig", "KILL", "--"),  # it ends with us, whatever ends us
        *(sys.executable, "-m", "ascendllm", "operator"),
        f"--kubeconfig={installation.kubeconfig}",
        f"--namespace={NAMESPACE}",
        f"--port={port}",
        f"--resync={resync_seconds}",
    ]
    with tempfile.TemporaryFile("w+b") as log:
        started = datetime.now(UTC)
        with subprocess.Popen(
            command, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as process:
            try:
                yield OperatorProcess(process.pid, started, port)
                process.send_signal(signal.SIGTERM)
                code = process.wait(_END_TIMEOUT)
            finally:
                process.kill()
        log.seek(0)
        tail = log.read()[-_LOG_TAIL:].decode(errors="replace")
        if code != 0:
            raise MeasureError(f"the operator ended with {code}: {tail}")


def _environment() -> dict[str, str]:
    """Ours, with the settings of the integration tests' world and no others."""
    inherited = {key: value for key, value in os.environ.items() if "ASCENDLLM_" not in key}
    return inherited | {f"ASCENDLLM_{key}": value for key, value in SETTINGS.items()}
