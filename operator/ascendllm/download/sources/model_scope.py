"""ModelScope by modelscope_hub, ModelScope's own client.

It goes on behind `FILE.incomplete` and compares SHA-256 with the listing's. Files of more than
500 MB it would fetch in parts that it then copies together, which takes their room twice: so one
stream a file, several files at a time.
"""

from __future__ import annotations

import os

os.environ["MODELSCOPE_DOWNLOAD_PARALLEL_WORKERS"] = "1"
os.environ["MODELSCOPE_DOWNLOAD_INTRA_CLOUD"] = "0"
os.environ["MODELSCOPE_DOWNLOAD_FILE_LOCK"] = "0"
os.environ["TQDM_DISABLE"] = "1"

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from modelscope_hub import HubApi
from modelscope_hub.errors import (
    APIError,
    AuthenticationError,
    FileIntegrityError,
    HubError,
    NotExistError,
    PermissionDeniedError,
)

from ascendllm.download.listing import Listing, RemoteFile
from ascendllm.download.source import Source
from ascendllm.download.sources.refusal import by_status, unreachable
from ascendllm.exceptions import DownloadError

__all__ = ["ModelScope"]


class ModelScope:
    """One repository.

    Args:
        source: Which.
        token: The access token; None for what everybody may read.
    """

    def __init__(self, source: Source, token: str | None) -> None:
        self._source = source
        self._field = f"{source.field}.source.modelScope"
        self._secret = f"{self._field}.tokenSecret (MODELSCOPE_API_TOKEN by hand)"
        self._api = HubApi(endpoint=source.endpoint, token=token or "")

    def listing(self) -> Listing:
        """Every file of the revision; it stays the one asked for, the files' SHA-256 fix it."""
        with self._errors():
            found = self._api.list_repo_files(
                self._source.where, "model", revision=self._source.revision
            )
        files = (
            RemoteFile(item.path, item.size or 0, (item.sha256 or "").lower() or None, item.blob_id)
            for item in found
            if item.type != "tree"
        )
        return Listing(self._source.revision, tuple(files))

    def part_of(self, target: Path) -> Path:
        """Where the client keeps the bytes of a file that has not come whole."""
        return target.with_name(f"{target.name}.incomplete")

    def fetch(self, file: RemoteFile, revision: str, target: Path) -> None:
        """Bring a file, going on behind the bytes that are there of it."""
        folder = target
        for _ in file.path.split("/"):
            folder = folder.parent
        with self._errors():
            self._api.download_file(
                self._source.where,
                "model",
                file.path,
                revision=revision,
                local_dir=folder,
                expected_sha256=file.sha256,
                file_size=file.size,
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the client raises into what it means."""
        source, secret = self._source, self._secret
        try:
            yield
        except FileIntegrityError as error:
            raise DownloadError(
                "SourceChanged",
                f"{source}: {error.message}: the revision has moved on, or the server hands out "
                "wrong bytes; its files are listed anew",
                again=True,
            ) from None
        except NotExistError as error:
            raise DownloadError(
                "RevisionNotFound" if "revision" in error.message.lower() else "SourceNotFound",
                f"{source}: {_line(error)}: there is no such repository or revision, or it is "
                f"private: look at {self._field}.repo and revision, and at a token in {secret}",
            ) from None
        except (AuthenticationError, PermissionDeniedError) as error:
            raise by_status(error.status_code or 403, str(source), "", secret) from None
        except APIError as error:
            raise by_status(error.status_code or 0, str(source), _line(error), secret) from None
        except (HubError, requests.RequestException) as error:
            raise unreachable(str(source), _line(error)) from None


def _line(error: BaseException) -> str:
    text = error.message if isinstance(error, HubError) else str(error)
    return " ".join(text.split())[:300]
