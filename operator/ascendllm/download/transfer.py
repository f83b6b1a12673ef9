"""One file on its way: hashed as it comes, on the disk before it counts, and only then its name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from ascendllm.download.listing import RemoteFile
from ascendllm.exceptions import DownloadError

__all__ = ["Part", "part_of"]

_BLOCK = 4 * 1024 * 1024
_WRITEBACK = 32 * 1024 * 1024
"""Bytes after which the disk is set to work."""


def part_of(target: Path) -> Path:
    """Where a file's bytes are until all of them are there."""
    return target.with_name(f"{target.name}.part")


class Part:
    """What came of a file so far, open to be gone on with; of a file object, what is used of it.

    Hashing as the bytes come costs no time of its own while the network is the slower one.

    Args:
        file: Which.
        target: Where it will be.
    """

    def __init__(self, file: RemoteFile, target: Path) -> None:
        self._file = file
        self._target = target
        self._path = part_of(target)
        self._open = self._path.open("a+b", buffering=0)
        self._size = self._open.seek(0, os.SEEK_END)
        if self._size > file.size:
            self._size = self._open.truncate(0)
        self._digest = hashlib.sha256() if file.sha256 else None
        self._begun = self._size
        self._hash_what_is_there()

    def tell(self) -> int:
        """Bytes that are there."""
        return self._size

    def write(self, block: bytes | memoryview) -> int:
        """Go on."""
        rest = memoryview(block)
        while rest:
            rest = rest[self._open.write(rest) :]
        if self._digest is not None:
            self._digest.update(block)
        self._size += len(block)
        if self._size - self._begun >= _WRITEBACK:
            self._begin_writeback()
        return len(block)

    def seek(self, position: int) -> int:
        """Go back, to be truncated: the server did not go on where it was asked to."""
        self._size = position
        return position

    def truncate(self) -> int:
        """Drop what lies behind."""
        self._open.truncate(self._size)
        if self._digest is not None:
            self._digest = hashlib.sha256()
            self._hash_what_is_there()
        return self._size

    def finish(self) -> None:
        """Give the file its name, once its size and, where it is known, its SHA-256 are right.

        Raises:
            DownloadError: `WrongContent`: it is dropped, to be fetched anew.
        """
        file = self._file
        seen = self._digest.hexdigest() if self._digest is not None else None
        if self._size != file.size or seen != file.sha256:
            self._path.unlink()
            raise DownloadError(
                "WrongContent",
                f"{file.path}: {self._size} bytes of SHA-256 {seen or 'untold'} came, listed are "
                f"{file.size} of {file.sha256 or 'untold'}: it is fetched anew; where this goes "
                "on, the server, or a proxy before it, hands out wrong bytes",
                again=True,
            )
        os.fsync(self._open.fileno())
        self._path.replace(self._target)

    def _begin_writeback(self) -> None:
        """Have the kernel write to the disk meanwhile what the end would else wait for.

        What is dirty is not dropped by this, it is set on its way (Linux, mm/fadvise.c).
        """
        start, self._begun = self._begun, self._size
        if hasattr(os, "posix_fadvise"):  # not on macOS
            file = self._open.fileno()
            os.posix_fadvise(file, start, self._size - start, os.POSIX_FADV_DONTNEED)

    def _hash_what_is_there(self) -> None:
        if self._digest is None or not self._size:
            return
        block = bytearray(min(_BLOCK, self._size))
        view = memoryview(block)
        self._open.seek(0)
        left = self._size
        while left and (count := self._open.readinto(view[: min(left, len(view))])):
            self._digest.update(view[:count])
            left -= count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
