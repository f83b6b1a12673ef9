"""Hugging Face, and servers that speak like it, by huggingface_hub.

`http_get` is the client's own transfer: it goes on by range behind what is there and tries cut
connections again. Around it, `hf_hub_download` of 2.x writes to a file whose name no second process
knows and drops it on failure, so nothing would be gone on with after a kill; the part is therefore
ours. Xet, the hub's chunk store, is left out: mirrors do not have it, and its cache takes room that
a claim is not sized for.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "30")
os.environ.pop("HF_HUB_OFFLINE", None)

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import httpx2
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils._headers import build_hf_headers

from ascendllm.download.listing import Listing, RemoteFile
from ascendllm.download.source import Source
from ascendllm.download.sources.refusal import by_status, unreachable
from ascendllm.download.transfer import Part, part_of
from ascendllm.exceptions import DownloadError

__all__ = ["HuggingFace"]

_METADATA_SECONDS = 30.0


class HuggingFace:
    """One repository.

    Args:
        source: Which.
        token: The access token; None for what everybody may read.
    """

    def __init__(self, source: Source, token: str | None) -> None:
        self._source = source
        self._field = f"{source.field}.source.huggingFace"
        self._secret = f"{self._field}.tokenSecret (HF_TOKEN by hand)"
        self._token = token
        self._endpoint = source.endpoint.rstrip("/") if source.endpoint else None
        self._api = HfApi(endpoint=self._endpoint, token=token or False)
        self._headers = build_hf_headers(token=token or False)
        # The size is the file's, not that of a compressed text.
        self._headers["Accept-Encoding"] = "identity"

    def listing(self) -> Listing:
        """Every file of the commit that the revision is now."""
        with self._errors():
            info = self._api.model_info(
                self._source.where, revision=self._source.revision, timeout=_METADATA_SECONDS
            )
            commit = info.sha or self._source.revision
            tree = self._api.list_repo_tree(self._source.where, revision=commit, recursive=True)
            files = tuple(_remote(item) for item in tree if isinstance(item, RepoFile))
        return Listing(commit, files)

    def part_of(self, target: Path) -> Path:
        """Where the bytes of a file that has not come whole are."""
        return part_of(target)

    def fetch(self, file: RemoteFile, revision: str, target: Path) -> None:
        """Bring a file, going on behind the bytes that are there of it."""
        url = hf_hub_url(self._source.where, file.path, revision=revision, endpoint=self._endpoint)
        with Part(file, target) as part:
            with self._errors():
                http_get(
                    url,
                    cast(BinaryIO, part),
                    resume_size=part.tell(),
                    headers=self._headers,
                    expected_size=file.size,
                    displayed_filename=file.path,
                )
            part.finish()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the client raises into what it means."""
        source, secret = self._source, self._secret
        try:
            yield
        except GatedRepoError:
            raise DownloadError(
                "AccessDenied",
                f"{source} is gated: accept its terms on the hub, and let {secret} hold a token "
                "of the account that did",
            ) from None
        except RepositoryNotFoundError:
            held = "the token in" if self._token else "a token in"
            raise DownloadError(
                "SourceNotFound",
                f"{source}: there is no such repository, or it is private: look at "
                f"{self._field}.repo and endpoint, and at {held} {secret}",
            ) from None
        except RevisionNotFoundError:
            raise DownloadError(
                "RevisionNotFound",
                f"{source}: the repository has no branch, tag or commit {source.revision}: set "
                f"{self._field}.revision to one that it has",
            ) from None
        except EntryNotFoundError as error:
            raise DownloadError(
                "SourceChanged", f"{source}: a file that was listed is not there: {_line(error)}"
            ) from None
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            raise by_status(status, str(source), _line(error), secret) from None
        except httpx2.HTTPError as error:
            raise unreachable(str(source), f"{type(error).__name__}: {error}") from None
        except ValueError as error:
            raise DownloadError("SourceRefused", f"{source}: {_line(error)}") from None
        except OSError as error:
            if error.errno is not None:
                raise
            # Fewer bytes than announced: what came is there to go on with.
            raise unreachable(str(source), _line(error)) from None


def _remote(item: Any) -> RemoteFile:
    sha256 = item.lfs.sha256 if item.lfs is not None else None
    return RemoteFile(item.path, int(item.size), sha256, item.blob_id)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
