"""The files of a data set, whatever holds them: a folder, a tar or a zip archive.

Nothing is ever unpacked to a disk: only the files that are wanted are read, to memory, so that no
name in an archive leads anywhere. All sizes are bounded, those after decompression too.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, Self, cast

from ascendllm.exceptions import SpecError

__all__ = ["FILE_BYTES", "is_data_file", "named_files"]

FILE_BYTES = 32 * 1024 * 1024
"""The longest file that is read; MMLU's longest is 7 MB (the test set's parquet)."""

TOTAL_BYTES = 256 * 1024 * 1024
"""All files that are read together."""

ARCHIVE_BYTES = 1024 * 1024 * 1024
"""The longest archive, and the most that is decompressed of one; the published one has 166 MB."""

MEMBERS = 20_000
EXTRA_HEADER_BYTES = 1024 * 1024

_CSV = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}_(dev|test)\.csv")
_PARQUET = re.compile(r"(dev|test)(-\d{5}-of-\d{5})?\.parquet")
_BROKEN = (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


def is_data_file(name: str) -> bool:
    """Whether a file of this name (with its folders, `/` between) may be a part of the set.

    `dev/X_dev.csv` and `test/X_test.csv`; `GROUP/test-00000-of-00001.parquet` or `test.parquet`.
    Hidden names are none: a mounted ConfigMap has everything twice, macOS adds `._X` to archives.
    """
    place = PurePosixPath(name)
    if any(part.startswith(".") for part in place.parts):
        return False
    matched = _CSV.fullmatch(place.name)
    if matched is not None:
        return place.parent.name == matched.group(1)
    return _PARQUET.fullmatch(place.name) is not None


def named_files(path: Path, shown: str) -> Iterator[tuple[str, bytes]]:
    """The name (with its folders) and the bytes of each file that may be a part of the set.

    Args:
        path: A folder, a tar archive (also compressed by gzip, bzip2 or xz) or a zip archive.
        shown: How messages name it.

    Raises:
        SpecError: `BadData`: it can't be read, or is longer than the limits.
    """
    total = 0
    for name, raw in _files(path, shown):
        total += len(raw)
        if total > TOTAL_BYTES:
            raise _bad(shown, f"more than {TOTAL_BYTES} bytes of questions; is it MMLU?")
        yield name, raw


def _files(path: Path, shown: str) -> Iterator[tuple[str, bytes]]:
    try:
        if path.is_dir():
            yield from _folder(path, shown)
        elif not path.is_file():
            raise _bad(shown, "there is no such folder or file")
        elif path.stat().st_size > ARCHIVE_BYTES:
            raise _bad(shown, f"the archive is longer than {ARCHIVE_BYTES} bytes")
        elif zipfile.is_zipfile(path):
            yield from _zip(path, shown)
        else:
            yield from _tar(path, shown)
    except _BROKEN as error:
        raise _bad(
            shown,
            f"can't be read: {error}; it must be a folder, a tar archive (.tar, .tar.gz, .tgz) or "
            "a zip archive",
        ) from None


def _folder(path: Path, shown: str) -> Iterator[tuple[str, bytes]]:
    """Two levels of folders below the top: `data/test/X_test.csv`, `mmlu/all/test….parquet`."""
    found = [file for depth in ("*", "*/*", "*/*/*") for file in path.glob(depth)]
    if len(found) > MEMBERS:
        raise _bad(shown, f"more than {MEMBERS} files; name the folder of the data itself")
    for file in sorted(found):
        name = file.relative_to(path).as_posix()
        if is_data_file(name) and stat.S_ISREG(file.stat().st_mode):
            with file.open("rb") as opened:
                yield name, _read(opened, name, shown)


def _zip(path: Path, shown: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MEMBERS:
            raise _bad(shown, f"more than {MEMBERS} files in it")
        for member in members:
            if member.is_dir() or not is_data_file(member.filename):
                continue
            if member.flag_bits & 0x1:
                raise _bad(shown, f"{member.filename} is encrypted; pack it without a password")
            try:
                with archive.open(member) as opened:
                    yield member.filename, _read(opened, member.filename, shown)
            except NotImplementedError as error:
                raise _bad(shown, f"{member.filename}: {error}; pack it with deflate") from None


def _tar(path: Path, shown: str) -> Iterator[tuple[str, bytes]]:
    members = 0
    with path.open("rb") as file, _Bounded(_decompressed(file), shown) as bounded:
        source = cast("IO[bytes]", bounded)
        with tarfile.open(fileobj=source, mode="r|", tarinfo=_BoundedHeader) as archive:
            for member in archive:
                members += 1
                if members > MEMBERS:
                    raise _bad(shown, f"more than {MEMBERS} files in it")
                # A sparse file's holes are no bytes of the archive: no bound would see them.
                if not member.isreg() or member.issparse() or not is_data_file(member.name):
                    continue
                content = archive.extractfile(member)
                if content is not None:
                    yield member.name, _read(content, member.name, shown)
        # tarfile takes an archive that is cut between two members, or in a header, for a whole one.
        if not bounded.ends_in_zeros():
            raise _bad(shown, "the archive is cut short; fetch it again")


class _Readable(Protocol):
    """What a decompressor is."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes."""
        ...

    def close(self) -> None:
        """Give up what it holds."""
        ...


def _decompressed(file: IO[bytes]) -> _Readable:
    """The archive without its compression, which the first bytes tell."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if start == b"\xfd7zXZ\x00":
        return lzma.LZMAFile(file)
    return file


class _Bounded:
    """A reader that refuses to give more than the archive may hold."""

    def __init__(self, source: _Readable, shown: str) -> None:
        self._source = source
        self._shown = shown
        self._left = ARCHIVE_BYTES
        self._last = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        part = self._source.read(size)
        self._left -= len(part)
        if self._left < 0:
            raise _bad(self._shown, f"it holds more than {ARCHIVE_BYTES} bytes; is it MMLU?")
        self._last = (self._last + part[-tarfile.BLOCKSIZE :])[-tarfile.BLOCKSIZE :]
        return part

    def ends_in_zeros(self) -> bool:
        """Whether the last block is the one that ends a tar archive; reads to the end."""
        while self.read(1 << 20):
            pass
        return self._last == bytes(tarfile.BLOCKSIZE)


class _BoundedHeader(tarfile.TarInfo):
    """A member's header; long names and extended headers are read to memory, so they are short."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header block."""
        found = super().frombuf(buf, encoding, errors)
        extra = found.type in (
            tarfile.XHDTYPE,
            tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        )
        if extra and found.size > EXTRA_HEADER_BYTES:
            raise OSError(f"an extended header of {found.size} bytes")
        return found


def _read(opened: IO[bytes], name: str, shown: str) -> bytes:
    raw = opened.read(FILE_BYTES + 1)
    if len(raw) > FILE_BYTES:
        raise _bad(shown, f"{name[:200]} is longer than {FILE_BYTES} bytes; is it MMLU?")
    return raw


def _bad(shown: str, why: str) -> SpecError:
    return SpecError("BadData", f"{shown}: {why}")
