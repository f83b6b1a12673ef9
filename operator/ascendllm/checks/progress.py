"""How far a check is: done, rate, time left; shown on stderr when a person runs it.

On a terminal a bar that is redrawn, elsewhere a line every ten seconds.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TextIO

from ascendllm.checks.result import CheckResult, now, rounded
from ascendllm.checks.sinks import Documents, Resume, Snapshot

__all__ = ["Progress", "RateMeter", "StderrProgress", "bar", "line"]

WINDOW_SECONDS = 60.0
BAR_CELLS = 30


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a check is.

    Args:
        done: Requests or questions done, those of an earlier attempt included.
        total: In all; 0 while not yet known.
        rate: Done per second, over the last minute.
        eta: Seconds left at that rate; None where it can't be told.
    """

    done: int
    total: int
    rate: float
    eta: int | None

    def to_json(self) -> dict[str, object]:
        """The object `progress.json` of a run's ConfigMap; no etaSeconds where it is unknown."""
        data: dict[str, object] = {
            "done": self.done,
            "total": self.total,
            "ratePerSecond": rounded(self.rate),
            "updatedAt": now(),
        }
        return data if self.eta is None else data | {"etaSeconds": self.eta}


@dataclass(slots=True)
class RateMeter:
    """The rate over a sliding window; what an earlier attempt did doesn't count."""

    looks: deque[tuple[float, int]] = field(default_factory=deque)

    def look(self, at: float, snapshot: Snapshot) -> Progress:
        """Take note of a snapshot at the monotonic second `at`, and tell the progress."""
        if snapshot.begun is None:
            return Progress(snapshot.done, snapshot.total, 0.0, None)
        if not self.looks:
            self.looks.append(snapshot.begun)
        self.looks.append((at, snapshot.done))
        while len(self.looks) > 2 and self.looks[1][0] <= at - WINDOW_SECONDS:
            self.looks.popleft()
        since, before = self.looks[0]
        rate = max(0, snapshot.done - before) / (at - since) if at > since else 0.0
        left = max(0, snapshot.total - snapshot.done)
        eta = 0 if not left else math.ceil(left / rate) if rate > 0 else None
        return Progress(snapshot.done, snapshot.total, rate, eta)


def line(name: str, progress: Progress) -> str:
    """One line, such as `mmlu 1200/14042 (8%) 310.0/s, 42s left`."""
    if not progress.total:
        return f"{name}: starting"
    share = 100 * progress.done // progress.total
    left = "" if progress.eta is None else f", {_span(progress.eta)} left"
    return f"{name} {progress.done}/{progress.total} ({share}%) {progress.rate:.1f}/s{left}"


def bar(name: str, progress: Progress) -> str:
    """The same with a bar, for a terminal."""
    if not progress.total:
        return line(name, progress)
    cells = BAR_CELLS * min(progress.done, progress.total) // progress.total
    return f"[{'#' * cells}{'.' * (BAR_CELLS - cells)}] {line(name, progress)}"


class StderrProgress:
    """The sink that shows progress to the person who runs the check."""

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._drawn = False
        self.interval = 0.5 if self._tty else 10.0
        self._meter = RateMeter()

    async def resume(self) -> Resume:
        """Nothing is kept on a terminal."""
        return Resume()

    async def tell(self, snapshot: Snapshot) -> None:
        """Redraw the bar, or write a line."""
        progress = self._meter.look(time.monotonic(), snapshot)
        if self._tty:
            print(f"\r\x1b[2K{bar(self._name, progress)}", end="", file=self._stream, flush=True)
            self._drawn = True
        else:
            print(line(self._name, progress), file=self._stream, flush=True)

    async def leave(self, snapshot: Snapshot) -> None:
        """End the bar's line."""
        if self._drawn:
            await self.tell(snapshot)
            print(file=self._stream, flush=True)
            self._drawn = False

    async def finish(self, result: CheckResult, documents: Documents) -> None:
        """The result goes to stdout, not here."""


def _span(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{left:02d}s" if minutes else f"{left}s"
