"""Bringing an object, or what lies below a prefix, to a local folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.s3.address import S3Source
from ascendllm.checks.s3.bucket import Bucket, open_bucket
from ascendllm.checks.s3.credentials import read_credentials
from ascendllm.checks.s3.refusal import Missing
from ascendllm.exceptions import CheckError, SpecError

__all__ = ["Limits", "fetch"]

IN_FLIGHT = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be fetched.

    Args:
        objects: The most objects that are listed, wanted or not.
        object_bytes: The longest object.
        total_bytes: All of them together.
        retry: For throttling, server errors and lost connections.
    """

    objects: int = 20_000
    object_bytes: int = 1 << 30
    total_bytes: int = 2 << 30
    retry: RetryPolicy = field(default=RetryPolicy(attempts=6, first=0.5, longest=10.0))


async def fetch(
    source: S3Source,
    folder: Path,
    wanted: Callable[[str], bool],
    limits: Limits,
    environment: Mapping[str, str],
) -> Path:
    """Fetch an object, or else what lies below it as a prefix.

    Args:
        source: What is wanted.
        folder: An empty folder.
        wanted: Of a prefix, which objects, by their name below it.
        limits: How much.
        environment: Where the keys are: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
            AWS_SESSION_TOKEN; none of them: anonymous.

    Returns:
        A file for an object, a folder for a prefix.

    Raises:
        SpecError: `BadData`, `BadCredentials`.
        CheckError: `DataUnreachable`, `DataRefused`, `DataChanged`.
    """
    bucket = await asyncio.to_thread(
        open_bucket, source, read_credentials(environment), limits.retry
    )
    try:
        if source.key and not source.key.endswith("/"):
            target = folder / _safe(PurePosixPath(source.key).name, source)
            try:
                await asyncio.to_thread(_save, bucket, source.key, target, limits.object_bytes)
                return target
            except Missing:
                target.unlink()
        return await _fetch_prefix(bucket, folder, wanted, limits)
    finally:
        bucket.cancelled.set()


async def _fetch_prefix(
    bucket: Bucket, folder: Path, wanted: Callable[[str], bool], limits: Limits
) -> Path:
    source = bucket.source
    prefix = f"{source.key.rstrip('/')}/" if source.key.strip("/") else ""
    listed = await asyncio.to_thread(bucket.listing, prefix, limits.objects)
    folders = {str(parent) for item in listed for parent in PurePosixPath(item.name).parents}
    objects = [
        (name, size) for name, size, _ in listed if wanted(name) and (size or name not in folders)
    ]
    if not objects:
        raise SpecError(
            "BadData",
            f"{source}: there is no such object, and no file of the data below it; look at the "
            "bucket and the key",
        )
    total = sum(size for _, size in objects)
    if total > limits.total_bytes:
        raise SpecError(
            "BadData", f"{source}: {total} bytes below it, at most {limits.total_bytes} are read"
        )
    root = folder / "data"
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def save(name: str, size: int) -> None:
        target = root.joinpath(*(_safe(part, source) for part in name.split("/")))
        async with gate:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _unwritable(source, target, error) from None
            try:
                await asyncio.to_thread(
                    _save, bucket, prefix + name, target, limits.object_bytes, size
                )
            except Missing as error:
                raise CheckError("DataChanged", f"{error}: it was listed a moment ago") from None

    try:
        async with asyncio.TaskGroup() as group:
            for name, size in objects:
                group.create_task(save(name, size))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return root


def _save(bucket: Bucket, key: str, target: Path, limit: int, listed: int | None = None) -> None:
    """Write an object to a file, in a thread; `listed` is its size by the listing."""
    try:
        with target.open("wb") as file:
            if listed == 0:
                return  # perhaps the marker of a folder, which has no such key
            for part in bucket.read(key, limit):
                file.write(part)
            size = file.tell()
    except OSError as error:
        raise _unwritable(bucket.source, target, error) from None
    if listed not in (None, size):
        raise CheckError(
            "DataChanged",
            f"s3://{bucket.source.bucket}/{key}: {size} bytes came, {listed} were listed; run "
            "again",
        )


def _safe(name: str, source: S3Source) -> str:
    """One component of a path that stays where it is put."""
    if name in ("", ".", "..") or "\\" in name or not name.isprintable() or len(name) > 200:
        raise SpecError(
            "BadData", f"{source}: an object's name holds {name[:80]!r}, which is no file's name"
        )
    return name


def _unwritable(source: S3Source, target: Path, error: OSError) -> CheckError:
    return CheckError(
        "DataUnreachable", f"{source}: {target} can't be written: {error.strerror}; is there room?"
    )
