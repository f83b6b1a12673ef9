"""Where a running check leaves its progress, its checkpoint and its result.

A sink never changes a verdict: what it can't write it says on stderr.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from ascendllm.checks.result import CheckResult, one_line, writable
from ascendllm.exceptions import SpecError

__all__ = [
    "CheckpointFile",
    "Documents",
    "ReportFile",
    "Resume",
    "Sink",
    "Snapshot",
    "warn",
    "write_atomically",
]

CHECKPOINT_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Documents:
    """What belongs to a result beside its figures.

    Args:
        texts: Files by name for a run's ConfigMap, such as `subjects.txt`.
        report: Further keys of the full report (`--output`), such as every question's answer.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    report: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resume:
    """What an earlier attempt left.

    Args:
        checkpoint: To go on from, as that attempt wrote it.
        result: Its result: then nothing is left to do.
    """

    checkpoint: str | None = None
    result: CheckResult | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A look at a running check.

    Args:
        done: Requests or questions done.
        total: In all; 0 while unknown.
        checkpoint: Makes the checkpoint's text; None where there is nothing to go on from.
        begun: When the asking began, in seconds of CLOCK_MONOTONIC, and how many were done then.
    """

    done: int
    total: int
    checkpoint: Callable[[], str] | None
    begun: tuple[float, int] | None = None


class Sink(Protocol):
    """A place to leave things in; a failure to write is the sink's own to report."""

    interval: float
    """Seconds between two `tell`."""

    async def resume(self) -> Resume:
        """What an earlier attempt left; raises SpecError where the place can't be used."""
        ...

    async def tell(self, snapshot: Snapshot) -> None:
        """The check runs; called every `interval` seconds."""
        ...

    async def leave(self, snapshot: Snapshot) -> None:
        """The check stops, finished or not; the checkpoint must be safe after this."""
        ...

    async def finish(self, result: CheckResult, documents: Documents) -> None:
        """The check has a result."""
        ...


class CheckpointFile:
    """`--checkpoint FILE`: rewritten as a whole every ten seconds."""

    interval = 10.0

    def __init__(self, path: Path) -> None:
        self._path = path

    async def resume(self) -> Resume:
        """Read the file where there is one, and make sure that it can be written.

        Raises:
            SpecError: `BadCheckpoint`.
        """
        try:
            if not self._path.exists():
                write_atomically(self._path, "")
                return Resume()
            if self._path.stat().st_size > CHECKPOINT_FILE_BYTES:
                raise OSError(f"it is longer than {CHECKPOINT_FILE_BYTES} bytes")
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(
                "BadCheckpoint", f"--checkpoint {self._path}: {error}; name a writable file"
            ) from None
        if text and not _is_checkpoint(text):
            # It would be overwritten ten seconds from now.
            raise SpecError(
                "BadCheckpoint",
                f"--checkpoint {self._path}: the file holds something else; name another one, or "
                "remove it",
            )
        return Resume(checkpoint=text or None)

    async def tell(self, snapshot: Snapshot) -> None:
        """Write the checkpoint."""
        if snapshot.checkpoint is None:
            return
        try:
            write_atomically(self._path, snapshot.checkpoint())
        except OSError as error:
            warn(f"--checkpoint {self._path}: not written: {error}")

    async def leave(self, snapshot: Snapshot) -> None:
        """Write the last checkpoint."""
        await self.tell(snapshot)

    async def finish(self, result: CheckResult, documents: Documents) -> None:
        """The result goes elsewhere."""


def _is_checkpoint(text: str) -> bool:
    """Whether the file was written by a check, of whatever data and options."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(held, dict) and "identity" in held


class ReportFile:
    """`--output FILE`: the full report, JSON, written once at the end."""

    interval = 3600.0

    def __init__(self, path: Path) -> None:
        self._path = path

    async def resume(self) -> Resume:
        """Make sure that the file can be written, before hours are spent.

        Raises:
            SpecError: `BadOutput`.
        """
        folder = self._path.resolve().parent
        if self._path.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise SpecError("BadOutput", f"--output {self._path}: not a writable file's path")
        return Resume()

    async def tell(self, snapshot: Snapshot) -> None:
        """Nothing to write yet."""

    async def leave(self, snapshot: Snapshot) -> None:
        """Nothing to write yet."""

    async def finish(self, result: CheckResult, documents: Documents) -> None:
        """Write the result and the report's further keys."""
        report = result.to_json() | cast("dict[str, object]", writable(documents.report))
        try:
            text = json.dumps(report, ensure_ascii=False, allow_nan=False, indent=1)
            write_atomically(self._path, text + "\n")
        except OSError as error:
            warn(f"--output {self._path}: not written: {error}")


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content so that a reader, or a kill, never meets half of it."""
    handle, name = tempfile.mkstemp(dir=path.resolve().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(handle, _mode(path))
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, or of a new one (mkstemp's are the owner's)."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        umask = os.umask(0o077)
        os.umask(umask)
        return 0o666 & ~umask


def warn(message: str) -> None:
    """A line for the person or the log."""
    print(f"ascendllm validate: {one_line(message)}", file=sys.stderr, flush=True)
