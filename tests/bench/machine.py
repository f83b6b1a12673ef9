"""What it is measured on, and what a process takes of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import MeasureError

__all__ = ["Memory", "cores", "describe", "load", "memory", "peak_megabytes"]

_KIBIBYTE = 1024
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Memory:
    """What a process holds, in MB.

    Attributes:
        resident: Pages in memory, those that it shares counted whole (VmRSS).
        proportional: The same, shared ones counted by their share (PSS).
    """

    resident: float
    proportional: float


def load() -> float:
    """How many processes ran or waited to run, over the last minute."""
    return os.getloadavg()[0]


def describe() -> dict[str, object]:
    """The machine, without its name."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


@contextmanager
def cores(most: int) -> Iterator[None]:
    """Let this process, and those that it starts, run on no more than so many cores."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:most])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def memory(pid: int) -> Memory:
    """What a process holds now."""
    rollup = _fields(Path(f"/proc/{pid}/smaps_rollup"))
    return Memory(rollup["Rss"], rollup["Pss"])


def peak_megabytes(pid: int) -> float | None:
    """The most that a process has ever held (VmHWM); None once it has ended."""
    try:
        return _fields(Path(f"/proc/{pid}/status")).get("VmHWM")
    except MeasureError:
        return None


def _fields(file: Path) -> dict[str, float]:
    """The fields in kB (which are KiB), as MB."""
    try:
        lines = file.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise MeasureError(f"{file}: the process has ended") from error
    found = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(number) * _KIBIBYTE / _MEGABYTE for name, number, _ in found}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
