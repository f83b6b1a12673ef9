"""How far a download is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Meter", "Progress"]

_WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is.

    Attributes:
        done: Bytes on disk, those of earlier tries included.
        total: Bytes in all; 0 while not yet known.
        files: Files that have come whole.
        total_files: In all.
        rate: Bytes a second, over the last minute.
        eta: Seconds left at that rate; None where it can't be told.
    """

    done: int = 0
    total: int = 0
    files: int = 0
    total_files: int = 0
    rate: float = 0.0
    eta: int | None = None

    def to_json(self) -> dict[str, int]:
        """The object `progress.json` of a cache's ConfigMap."""
        data = {
            "bytes": self.done,
            "totalBytes": self.total,
            "files": self.files,
            "totalFiles": self.total_files,
            "ratePerSecond": int(self.rate),
        }
        return data if self.eta is None else data | {"etaSeconds": self.eta}


@dataclass(slots=True)
class Meter:
    """The rate over a sliding window; what an earlier try brought doesn't count."""

    looks: deque[tuple[float, int]] = field(default_factory=deque)

    def look(self, at: float, done: int, total: int) -> tuple[float, int | None]:
        """Bytes a second and seconds left, at the monotonic second `at`."""
        self.looks.append((at, done))
        while len(self.looks) > 2 and at - self.looks[0][0] > _WINDOW_SECONDS:
            self.looks.popleft()
        begun, first = self.looks[0]
        rate = max(0.0, (done - first) / (at - begun)) if at > begun else 0.0
        return rate, round((total - done) / rate) if rate > 0 and total else None
