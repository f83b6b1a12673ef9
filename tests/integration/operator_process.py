"""`ascendllm operator` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from cluster.processes import free_ports
from integration.world import SETTINGS

__all__ = ["OperatorProcess"]

_SOURCE = Path(__file__).resolve().parents[2] / "operator"


class OperatorProcess:
    """A context manager: started when entered, gone when left.

    Args:
        kubeconfig: Whose rights it has.
        log: The file of its log lines.
        changes: Settings as environment, over the tests' own.
    """

    def __init__(self, kubeconfig: Path, log: Path, **changes: str) -> None:
        (self._port,) = free_ports(1)
        self._log = log
        self._command = [
            *(sys.executable, "-m", "ascendllm", "operator"),
            f"--kubeconfig={kubeconfig}",
            "--namespace=ascendllm-system",
            f"--port={self._port}",
        ]
        settings = {f"ASCENDLLM_{key}": value for key, value in SETTINGS.items()}
        self._environment = os.environ | {"PYTHONPATH": str(_SOURCE)} | settings | changes

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - forks in no time
                self._command, env=self._environment, stderr=log, stdout=log
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            await self.ended()
        except TimeoutError:
            self.process.kill()
            raise

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """The exit code, once it has ended."""
        async with asyncio.timeout(30):
            while self.process.poll() is None:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        return self.process.returncode

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}{path}"

    def peak_memory(self) -> int:
        """The most bytes that were resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    async def get(self, path: str) -> str | None:
        """What it answers with success; None where it does not."""
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                answer = await client.get(self.url(path), timeout=5)
            except httpx.HTTPError:
                return None
        return answer.text if answer.is_success else None

    async def leads(self) -> bool:
        return "ascendllm_leader 1.0" in (await self.get("/metrics") or "")

    async def works(self) -> bool:
        """Whether it leads and watches."""
        return await self.leads() and await self.get("/readyz") is not None

    def lines(self) -> list[dict[str, Any]]:
        """Its log; every line must be JSON."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]
