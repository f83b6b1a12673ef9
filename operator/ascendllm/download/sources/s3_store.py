"""An S3 store, Huawei's OBS too, by obstore: all objects below a prefix.

An object is read in ranges of one ETag, so that what is gone on with is what was begun with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import obstore  # noqa: F401 - told at once where it is missing

from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.s3.address import parse_uri
from ascendllm.checks.s3.bucket import open_bucket
from ascendllm.checks.s3.credentials import read_credentials
from ascendllm.checks.s3.refusal import Missing, RefusedError
from ascendllm.download.listing import Listing, RemoteFile
from ascendllm.download.source import Source
from ascendllm.download.transfer import Part, part_of
from ascendllm.exceptions import CheckError, DownloadError, SpecError

__all__ = ["S3Store"]

_RETRY = RetryPolicy(attempts=8, first=0.5, longest=15.0)
_OBJECTS = 50_000
_REASONS = {
    "DataUnreachable": "SourceUnreachable",
    "DataRefused": "SourceRefused",
    "DataChanged": "SourceChanged",
    "BadData": "SourceNotFound",
    "NoS3": "NoClient",
}


class S3Store:
    """A prefix of a bucket.

    Args:
        source: Which.
        environment: Where the keys are.

    Raises:
        DownloadError: `BadCredentials`, `SourceNotFound`: the address cannot be read.
    """

    def __init__(self, source: Source, environment: Mapping[str, str]) -> None:
        self._source = source
        self._field = f"{source.field}.source.s3"
        with self._errors():
            address = parse_uri(source.where, source.endpoint, source.region, "source")
            self._bucket = open_bucket(address, read_credentials(environment), _RETRY)
        key = address.key.strip("/")
        self._prefix = f"{key}/" if key else ""

    def listing(self) -> Listing:
        """Every object below the prefix."""
        with self._errors():
            listed = self._bucket.listing(self._prefix, _OBJECTS)
        folders = {str(folder) for item in listed for folder in PurePosixPath(item.name).parents}
        files = tuple(
            RemoteFile(item.name, item.size, None, item.tag)
            for item in listed
            if item.size or item.name not in folders
        )
        if not files:
            raise DownloadError(
                "SourceNotFound",
                f"{self._source}: no object below {self._prefix or 'the bucket'}: look at "
                f"{self._field}.uri",
            )
        return Listing("", files)

    def part_of(self, target: Path) -> Path:
        """Where the bytes of a file that has not come whole are."""
        return part_of(target)

    def fetch(self, file: RemoteFile, revision: str, target: Path) -> None:
        """Bring a file, going on behind the bytes that are there of it."""
        with Part(file, target) as part:
            if part.tell() < file.size:
                with self._errors():
                    for block in self._bucket.read(
                        self._prefix + file.path, file.size, start=part.tell(), tag=file.version
                    ):
                        part.write(block)
            part.finish()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what reading S3 raises into what it means here."""
        try:
            yield
        except Missing as error:
            raise DownloadError(
                "SourceChanged", f"{error}: it was listed and is gone", again=True
            ) from None
        except (CheckError, SpecError) as error:
            reason = _reason(error)
            raise DownloadError(
                reason,
                # Those texts are of the checks, whose options are named otherwise.
                f"{error.message.replace('--data-', '--')} ({self._field})",
                again=reason in ("SourceUnreachable", "SourceChanged"),
            ) from None


def _reason(error: CheckError | SpecError) -> str:
    if isinstance(error, RefusedError):
        if error.denied:
            return "AccessDenied"
        if error.code == "NoSuchBucket":
            return "SourceNotFound"
    return _REASONS.get(error.reason, error.reason)
