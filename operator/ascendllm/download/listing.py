"""What a source holds: the files of one revision, as they are fixed once for each folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from ascendllm.exceptions import DownloadError

__all__ = ["Listing", "RemoteFile", "checked"]

_FILES = 50_000
_PATH_BYTES = 1024
_PART_BYTES = 200
_LARGEST = 1 << 50


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a source.

    Attributes:
        path: Below the model's folder, with slashes.
        size: Bytes.
        sha256: Hex, where the server tells it.
        version: What changes with the content, where the server tells it: a blob, an ETag.
    """

    path: str
    size: int
    sha256: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of one revision.

    Attributes:
        revision: What the revision was resolved to: a commit where the server tells it.
        files: In the order in which they are fetched.
    """

    revision: str
    files: tuple[RemoteFile, ...]

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def to_text(self) -> str:
        """As it is kept beside what was fetched."""
        return json.dumps({"revision": self.revision, "files": [asdict(f) for f in self.files]})

    @classmethod
    def from_text(cls, text: str) -> Listing | None:
        """The listing of a text; None where it is none, such as one that was cut."""
        try:
            value: Mapping[str, Any] = json.loads(text)
            files = tuple(RemoteFile(**item) for item in value["files"])
            return checked(cls(str(value["revision"]), files))
        except (ValueError, TypeError, KeyError, DownloadError):
            return None


def checked(listing: Listing) -> Listing:
    """The listing, once every path stays below the folder and every number is one.

    Raises:
        DownloadError: `BadListing`: a server must not choose where its bytes are written.
    """
    if len(listing.files) > _FILES:
        raise DownloadError(
            "BadListing", f"the source lists {len(listing.files)} files, at most {_FILES} are read"
        )
    seen: set[str] = set()
    for file in listing.files:
        if not _is_inside(file.path) or file.path in seen or not 0 <= file.size <= _LARGEST:
            raise DownloadError(
                "BadListing",
                f"the source lists {file.path[:200]!r} of {file.size} bytes, which cannot be a "
                "file of the model's folder: look at what the source holds",
            )
        seen.add(file.path)
    return listing


def _is_inside(path: str) -> bool:
    parts = path.split("/")
    return (
        len(path.encode("utf-8", "replace")) <= _PATH_BYTES
        and path.isprintable()
        and "\\" not in path
        and not PurePosixPath(path).is_absolute()
        and all(
            part not in ("", ".", "..") and len(part.encode("utf-8", "replace")) <= _PART_BYTES
            for part in parts
        )
    )
