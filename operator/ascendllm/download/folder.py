"""The place on disk: `model/` is there only once it is whole.

    FOLDER/lock           held by who fills it
    FOLDER/listing.json   what is fetched, as it was fixed at the first try
    FOLDER/previous.json  what was, until it turned out that the source had changed
    FOLDER/partial/       what came so far
    FOLDER/manifest.json  what came in the end; written before the last step
    FOLDER/model/         `partial/`, renamed: the last step

A process may be killed at any line: the next one goes on from what is there.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ascendllm.download.listing import Listing
from ascendllm.exceptions import DownloadError

__all__ = ["Folder"]

MODEL = "model"
_LISTING_BYTES = 32 * 1024 * 1024
_LOOK_SECONDS = 2.0


class Folder:
    """A model's place.

    Args:
        root: FOLDER.
        field: What of a resource gives it its room.
    """

    def __init__(self, root: Path, field: str) -> None:
        self.root = root
        self._field = field
        self.partial = root / "partial"
        self.model = root / MODEL
        self._listing = root / "listing.json"
        self._previous = root / "previous.json"
        self._manifest = root / "manifest.json"

    @contextmanager
    def locked(self, patience: float, waiting: Callable[[], object]) -> Iterator[None]:
        """Hold the folder against another process.

        Args:
            patience: Seconds to wait for one that holds it.
            waiting: Called while it is waited for.

        Raises:
            DownloadError: `FolderBusy`, `VolumeNotWritable`.
        """
        deadline = time.monotonic() + patience
        with self.explained():
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / "lock").open("a")
        with lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise DownloadError(
                            "FolderBusy",
                            f"{self.root}: another download has held it for {patience:.0f} s: it "
                            "is waited for again later",
                            again=True,
                        ) from None
                    waiting()
                    time.sleep(_LOOK_SECONDS)
                except OSError:
                    # A file system without locks; the folder's one Job is then all there is.
                    break
            yield

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say what a volume that cannot be written means."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self.full() from error
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise DownloadError(
                    "VolumeNotWritable",
                    f"{error.filename or self.root} cannot be written by user {os.getuid()}, group "
                    f"{os.getgid()} ({error.strerror}): let the volume's owner grant it, or mount "
                    "it writable",
                ) from error
            if error.errno is None:
                raise
            raise DownloadError(
                "VolumeFailed", f"{error.filename or self.root}: {error.strerror}", again=True
            ) from error

    def full(self, missing: int | None = None) -> DownloadError:
        """What to raise where there is no room; `missing` bytes where that is known."""
        told = f"{missing / 1e9:.1f} GB more are needed" if missing is not None else "it is full"
        return DownloadError(
            "VolumeFull",
            f"the volume has {self.free() / 1e9:.1f} GB free, {told}: raise {self._field}.size "
            "(or enlarge the claim that claimName names), or remove what is not needed from it; "
            "what came is kept",
        )

    def free(self) -> int:
        """Bytes that can still be written."""
        stat = os.statvfs(self.root)
        return stat.f_bavail * stat.f_frsize

    def manifest(self) -> Mapping[str, Any] | None:
        """What came in the end; None as long as the model is not there."""
        if not self.model.is_dir():
            return None
        value = _read(self._manifest)
        return value if isinstance(value, dict) else None

    def listing(self) -> Listing | None:
        """What is fetched; None before that was fixed."""
        return self._kept(self._listing)

    def _kept(self, path: Path) -> Listing | None:
        with suppress(OSError):
            if path.stat().st_size <= _LISTING_BYTES:
                return Listing.from_text(path.read_text(encoding="utf-8"))
        return None

    def fix(self, listing: Listing) -> None:
        """Keep the listing; what came of files that were other ones before is dropped."""
        before = self._kept(self._previous)
        known = {file.path: file for file in before.files} if before is not None else {}
        self.partial.mkdir(exist_ok=True)
        same = {file.path for file in listing.files if known.get(file.path, file) == file}
        for path in known.keys() - same:
            self.drop(path)
        _write(self._listing, listing.to_text())
        self._previous.unlink(missing_ok=True)

    def unfix(self) -> None:
        """Have the files listed anew: what is then listed as before is not fetched again."""
        if self._listing.exists():
            self._listing.replace(self._previous)

    def tidy(self) -> None:
        """Remove the folder where nothing came."""
        with suppress(OSError):
            for empty in sorted(self.partial.rglob("*"), reverse=True):
                empty.rmdir()
            self.partial.rmdir()
        if not self.partial.exists() and not self.model.exists():
            with suppress(OSError):
                for file in (self._listing, self._previous, self._manifest, self.root / "lock"):
                    file.unlink(missing_ok=True)
                self.root.rmdir()

    def drop(self, path: str) -> None:
        """Remove a file, and what came of it."""
        target = self.partial / path
        for leftover in (target, *target.parent.glob(f"{glob.escape(target.name)}.*")):
            if leftover.suffix in (".part", ".incomplete", ".parallel_tmp") or leftover == target:
                leftover.unlink(missing_ok=True)

    def complete(self, manifest: Mapping[str, Any]) -> None:
        """The last step: from here on the model is there."""
        for path in self.partial.rglob("*"):
            # Pods of other users read it, whatever the process's mask was.
            path.chmod(0o755 if path.is_dir() else 0o644)
        self.partial.chmod(0o755)
        self.root.chmod(0o755)
        _write(self._manifest, json.dumps(manifest))
        if self.model.exists():
            shutil.rmtree(self.model)
        self.partial.rename(self.model)
        _sync(self.root)
        for spent in (self._listing, self._previous):
            spent.unlink(missing_ok=True)

    def reopen(self) -> None:
        """Go back behind the last step: what is there did not pass."""
        self._manifest.unlink(missing_ok=True)
        if self.model.is_dir() and not self.partial.exists():
            self.model.rename(self.partial)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Have a folder's names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
