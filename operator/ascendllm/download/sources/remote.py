"""What a source's server is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ascendllm.download.listing import Listing, RemoteFile

__all__ = ["Remote"]


class Remote(Protocol):
    """A source's server. Every method blocks; each raises DownloadError.

    Reasons: `SourceNotFound`, `RevisionNotFound`, `AccessDenied`, `SourceUnreachable`,
    `SourceChanged`, `SourceRefused`, `WrongContent`.
    """

    def listing(self) -> Listing:
        """Every file of the wanted revision."""

    def part_of(self, target: Path) -> Path:
        """Where the bytes of a file that has not come whole are."""

    def fetch(self, file: RemoteFile, revision: str, target: Path) -> None:
        """Bring a file, going on behind the bytes that are there of it.

        Args:
            file: Of the listing.
            revision: The listing's.
            target: Where to; its folder exists. It is there only once it is whole and verified.
        """
