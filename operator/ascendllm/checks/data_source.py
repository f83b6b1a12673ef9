"""Where a check's data lies: a local path, or an object or prefix in S3 (Huawei's OBS too).

What lies in S3 is fetched to a temporary folder for as long as it is used. Both end as a local
path, so that a check's reader knows nothing of it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from ascendllm.checks.s3.address import S3Source, parse_uri
from ascendllm.checks.s3.fetch import Limits, fetch
from ascendllm.exceptions import SpecError

__all__ = ["Source", "at_hand", "parse_source"]

DEFAULT_LIMITS = Limits()

Source = Path | S3Source
"""A local path, or a place in S3."""


def parse_source(
    text: str, endpoint: str | None = None, region: str | None = None, *, option: str = "--data"
) -> Source:
    """Read the options that name data.

    Args:
        text: A path, or `s3://bucket/key`.
        endpoint: `--data-endpoint`: the server's address; unset: Amazon's for the region.
        region: `--data-region`; unset: us-east-1, which servers other than Amazon's mostly ignore.
        option: What the text was given as, for messages.

    Raises:
        SpecError: `BadData`, naming the option, its value, the rule and the remedy.
    """
    if text.startswith("s3://"):
        return parse_uri(text, endpoint, region, option)
    if "://" in text:
        raise SpecError(
            "BadData", f"{option} {text[:200]}: give a path, or s3://bucket/key for S3 and OBS"
        )
    if not text or "\0" in text:
        raise SpecError("BadData", f"{option} {text[:200]!r}: give a path or s3://bucket/key")
    if endpoint is not None or region is not None:
        raise SpecError(
            "BadData",
            f"{option} {text[:200]}: --data-endpoint and --data-region belong to s3://bucket/key; "
            "leave them out for a path",
        )
    return Path(text)


@asynccontextmanager
async def at_hand(
    source: Source,
    wanted: Callable[[str], bool] = lambda name: True,
    limits: Limits = DEFAULT_LIMITS,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Path]:
    """The data as a local path, for as long as the context is open.

    Args:
        source: Of `parse_source`.
        wanted: Of a prefix, which objects are fetched, by their name below the prefix.
        limits: How much may be fetched.
        environment: Where the keys are; unset: the process's.

    Yields:
        The local path itself, or what was fetched: a file for an object, a folder for a prefix.

    Raises:
        SpecError: `BadData`: there is nothing, or too much.
        CheckError: `DataUnreachable`, `DataRefused`: the server's part.
    """
    if isinstance(source, Path):
        yield source
        return
    folder = Path(tempfile.mkdtemp(prefix="ascendllm-data-"))
    try:
        yield await fetch(
            source, folder, wanted, limits, os.environ if environment is None else environment
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
