"""A model, or an adapter, from its source into its folder."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ascendllm.download.choice import chosen, is_weights
from ascendllm.download.fetching import Fetching, is_listed_anew
from ascendllm.download.folder import Folder
from ascendllm.download.listing import Listing, RemoteFile, checked
from ascendllm.download.numbers import adapter_numbers, numbers
from ascendllm.download.progress import Progress
from ascendllm.download.source import COPIED, Source
from ascendllm.download.sources import open_remote
from ascendllm.download.verify import verify, verify_adapter
from ascendllm.exceptions import DownloadError

__all__ = ["Tell", "download"]

logger = logging.getLogger(__name__)

Tell = Callable[[Progress], object]

_LOCK_SECONDS = 1800.0
_RELISTINGS = 2
_SPARE_BYTES = 16 * 1024 * 1024
"""Room for what a file system keeps of the files themselves."""


def download(
    source: Source, root: Path, environment: Mapping[str, str], tell: Tell, interval: float = 10.0
) -> dict[str, Any]:
    """Bring a model, or an adapter, into `root/model`, going on from what is there of it.

    Args:
        source: Where it is.
        root: Its own folder.
        environment: Where tokens and keys are.
        tell: Called every `interval` seconds with the progress.
        interval: Seconds.

    Returns:
        What came: `revision`, `bytes`, `files`, `weightBytes`, `digest` (of all paths, sizes and
        hashes), `config` (`numbers`, `adapter_numbers`), `verified` (files whose SHA-256 was
        compared) and `fetchedBytes` (of this call; 0 where all was there).

    Raises:
        DownloadError: With the remedy; what came is kept to go on from.
        SpecError: An address cannot be read.
    """
    folder = Folder(root, f"{source.field}.cache")
    with folder.locked(_LOCK_SECONDS, lambda: tell(Progress())), folder.explained():
        manifest = folder.manifest()
        if manifest is not None:
            if _is_whole(folder, manifest):
                return {**_told(manifest), "fetchedBytes": 0}
            logger.warning("%s is not what its manifest says: filled anew", folder.model)
        folder.reopen()
        try:
            listing, fetched = (
                (_on_disk(folder), 0)
                if source.kind == COPIED
                else _fetch(source, folder, environment, tell, interval)
            )
            try:
                if source.adapter:
                    verify_adapter(folder.partial)
                else:
                    verify(folder.partial, weights=source.weights)
            except DownloadError:
                folder.unfix()
                raise
        except BaseException:
            folder.tidy()
            raise
        manifest = _manifest(source, listing, folder.partial)
        folder.complete(manifest)
    return {**_told(manifest), "fetchedBytes": fetched}


def _fetch(
    source: Source, folder: Folder, environment: Mapping[str, str], tell: Tell, interval: float
) -> tuple[Listing, int]:
    remote = open_remote(source, environment)
    for turn in range(_RELISTINGS + 1):
        listing = folder.listing()
        if listing is None:
            tell(Progress())
            found = checked(remote.listing())
            wanted = chosen(found.files, weights=source.weights, adapter=source.adapter)
            listing = Listing(found.revision, wanted)
            if not listing.files:
                raise (
                    DownloadError("NotAnAdapter", f"{source} holds no file of an adapter")
                    if source.adapter
                    else DownloadError("NotAModel", f"{source} holds no file of a model")
                )
            folder.fix(listing)
        fetching = Fetching(remote, listing, folder)
        missing = fetching.missing()
        if missing + _SPARE_BYTES > (free := folder.free()):
            raise folder.full(missing + _SPARE_BYTES - free)
        try:
            fetching.run(tell, interval)
            return listing, missing
        except DownloadError as error:
            if not is_listed_anew(error):
                raise
            folder.unfix()
            if turn == _RELISTINGS:
                raise
    raise AssertionError("the loop returns or raises")


def _on_disk(folder: Folder) -> Listing:
    """The files of a folder that was filled otherwise."""
    if not folder.partial.is_dir():
        raise DownloadError(
            "SourceNotFound", f"{folder.partial} is not there: nothing was copied; look at the path"
        )
    files = [
        RemoteFile(path.relative_to(folder.partial).as_posix(), path.stat().st_size)
        for path in sorted(folder.partial.rglob("*"))
        if path.is_file()
    ]
    return Listing("", tuple(files))


def _manifest(source: Source, listing: Listing, folder: Path) -> dict[str, Any]:
    return {
        "source": str(source),
        "revision": listing.revision,
        "bytes": listing.total,
        "files": [[file.path, file.size, file.sha256 or file.version] for file in listing.files],
        "verified": sum(file.sha256 is not None for file in listing.files),
        "weightBytes": sum(file.size for file in listing.files if is_weights(file.path)),
        "config": adapter_numbers(folder) if source.adapter else numbers(folder),
        "finishedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _told(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest as a ConfigMap holds it: the files' number and one hash for their list."""
    files = manifest["files"]
    text = json.dumps(files, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {**manifest, "files": len(files), "digest": f"sha256:{digest}"}


def _is_whole(folder: Folder, manifest: Mapping[str, Any]) -> bool:
    with suppress(OSError, KeyError, TypeError, ValueError):
        return all(
            (folder.model / path).stat().st_size == size for path, size, _ in manifest["files"]
        )
    return False
