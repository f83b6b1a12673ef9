"""The last steps of one file: is it what was listed, is it on the disk, and only then its name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ascendllm.download.listing import RemoteFile
from ascendllm.exceptions import DownloadError

__all__ = ["finish", "part_of"]

_BLOCK = 4 * 1024 * 1024


def part_of(target: Path) -> Path:
    """Where a file's bytes are until all of them are there."""
    return target.with_name(f"{target.name}.part")


def finish(part: Path, file: RemoteFile, target: Path) -> None:
    """Give a file its name, once its size and, where it is known, its SHA-256 are the listed ones.

    Raises:
        DownloadError: `WrongContent`: it is dropped, to be fetched anew.
    """
    with part.open("rb", buffering=0) as written:
        size = os.fstat(written.fileno()).st_size
        seen = _sha256(written.fileno()) if file.sha256 and size == file.size else None
        os.fsync(written.fileno())
    if size != file.size or (file.sha256 and seen != file.sha256):
        part.unlink()
        told = f"{size} bytes, {file.size} were listed" if size != file.size else f"SHA-256 {seen}"
        raise DownloadError(
            "WrongContent",
            f"{file.path}: {told}, listed is {file.sha256 or f'a size of {file.size}'}: it is "
            "fetched anew; where this goes on, the server, or a proxy before it, hands out wrong "
            "bytes",
            again=True,
        )
    part.replace(target)


def _sha256(descriptor: int) -> str:
    digest = hashlib.sha256()
    block = bytearray(_BLOCK)
    view = memoryview(block)
    while count := os.readv(descriptor, [block]):
        digest.update(view[:count])
    return digest.hexdigest()
