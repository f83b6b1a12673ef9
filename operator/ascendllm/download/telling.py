"""Whom a download's progress and end are told: a person, or the cache's own ConfigMap.

The operator made the ConfigMap; the job's token can get and patch this one object. The job writes
`progress.json` and `result.json`, nothing else.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from ascendllm.checks.run_configmap import ApiServer, Patience, RunConfigMap
from ascendllm.download.progress import Progress
from ascendllm.exceptions import ClusterError

__all__ = ["CacheConfigMap", "Listener", "OnStderr"]


class Listener(Protocol):
    """Who is told."""

    interval: float

    def tell(self, progress: Progress) -> None:
        """How far it is."""

    def end(self, result: Mapping[str, Any]) -> None:
        """What came of it."""


class OnStderr:
    """A line on stderr; on a terminal one that is drawn anew."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self.interval = 0.5 if self._tty else 10.0

    def tell(self, progress: Progress) -> None:
        """Show the line."""
        start, end = ("\r\x1b[2K", "") if self._tty else ("", "\n")
        print(f"{start}{_line(progress)}", end=end, file=self._stream, flush=True)

    def end(self, result: Mapping[str, Any]) -> None:
        """End the line; the result goes to stdout."""
        if self._tty:
            print(file=self._stream, flush=True)


class CacheConfigMap:
    """The cache's ConfigMap.

    Args:
        name: Its name, in the pod's namespace.
        server: The API server.
        attempt: Which of the operator's tries this is; stands in the result.
    """

    interval = 10.0

    def __init__(self, name: str, server: ApiServer, attempt: int) -> None:
        self._running = RunConfigMap(name, server, Patience(end=8.0))
        self._ending = RunConfigMap(name, server)
        self._attempt = attempt

    def tell(self, progress: Progress) -> None:
        """Write the progress; what fails now is written the next time."""
        print(_line(progress), file=sys.stderr, flush=True)
        self._write(self._running, {"progress.json": json.dumps(progress.to_json())})

    def end(self, result: Mapping[str, Any]) -> None:
        """Write the result, for as long as the patience lasts."""
        text = json.dumps({**result, "attempt": self._attempt}, sort_keys=True)
        self._write(self._ending, {"result.json": text})

    def _write(self, config_map: RunConfigMap, data: Mapping[str, str]) -> None:
        try:
            asyncio.run(config_map.write(data))
        except ClusterError as error:
            print(f"ConfigMap not written ({', '.join(data)}): {error}", file=sys.stderr)


def _line(progress: Progress) -> str:
    if not progress.total:
        return "looking at what there is"
    share = 100 * progress.done // progress.total
    left = "" if progress.eta is None else f", {progress.eta} s left"
    return (
        f"{progress.done / 1e6:,.1f} of {progress.total / 1e6:,.1f} MB ({share} %), "
        f"{progress.rate / 1e6:.1f} MB/s{left}"
    )
