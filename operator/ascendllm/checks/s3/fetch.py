"""Bringing an object, or what lies below a prefix, to a local folder."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.s3.address import S3Source
from ascendllm.checks.s3.client import Missing, S3Client, open_client_session
from ascendllm.checks.s3.signature import read_credentials
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
    credentials = read_credentials(environment)
    async with open_client_session() as session:
        client = S3Client(session, source, credentials, limits.retry)
        if source.key and not source.key.endswith("/"):
            target = folder / _safe(PurePosixPath(source.key).name, source)
            try:
                await _save(client, source.key, target, limits.object_bytes)
                return target
            except Missing:
                pass
        return await _fetch_prefix(client, folder, wanted, limits)


async def _fetch_prefix(
    client: S3Client, folder: Path, wanted: Callable[[str], bool], limits: Limits
) -> Path:
    source = client.source
    prefix = f"{source.key.rstrip('/')}/" if source.key.strip("/") else ""
    objects = [(n, size) for n, size in await _list(client, prefix, limits) if wanted(n)]
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

    async def save(name: str) -> None:
        async with gate:
            target = root.joinpath(*(_safe(part, source) for part in name.split("/")))
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                await _save(client, prefix + name, target, limits.object_bytes)
            except Missing as error:
                raise CheckError("DataChanged", f"{error}: it was listed a moment ago") from None

    try:
        async with asyncio.TaskGroup() as group:
            for name, _ in objects:
                group.create_task(save(name))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return root


async def _list(client: S3Client, prefix: str, limits: Limits) -> list[tuple[str, int]]:
    """Name below the prefix and size of each object (ListObjectsV2, page by page)."""
    found: list[tuple[str, int]] = []
    token: str | None = None
    while True:
        page = {"list-type": "2", "prefix": prefix}
        if token is not None:
            page["continuation-token"] = token
        try:
            root = _parsed(await client.listing(page), client.source)
        except Missing as error:
            raise CheckError("DataRefused", f"{error}; is this an S3 server?") from None
        for item in root.iter("Contents"):
            key, size = item.findtext("Key", ""), item.findtext("Size", "")
            if not key.startswith(prefix) or not size.isdecimal() or len(size) > 19:
                raise _odd(client.source, "names an object that was not asked for")
            if not key.endswith("/") and key != prefix:
                found.append((key[len(prefix) :], int(size)))
        if len(found) > limits.objects:
            raise SpecError(
                "BadData",
                f"{client.source}: more than {limits.objects} objects below it; name the folder "
                "of the data itself",
            )
        if root.findtext("IsTruncated") != "true":
            return found
        following = root.findtext("NextContinuationToken")
        if not following or following == token:
            raise _odd(client.source, "is cut short with no way to go on")
        token = following


def _parsed(body: bytes, source: S3Source) -> ElementTree.Element:
    """The listing's XML without namespaces; no document type, so no entities to expand."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise _odd(source, "declares a document type")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - bounded, and without entities
    except ElementTree.ParseError as error:
        raise _odd(source, f"is no XML ({error})") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    if root.tag != "ListBucketResult":
        raise _odd(source, f"is a {root.tag[:60]!r}")
    return root


async def _save(client: S3Client, key: str, target: Path, limit: int) -> None:
    try:
        with target.open("wb") as file:
            async with aclosing(client.read(key, limit)) as parts:
                async for part in parts:
                    await asyncio.to_thread(file.write, part)
    except OSError as error:
        raise CheckError(
            "DataUnreachable",
            f"{client.source}: {target} can't be written: {error.strerror}; is there room?",
        ) from None


def _safe(name: str, source: S3Source) -> str:
    """One component of a path that stays where it is put."""
    if name in ("", ".", "..") or "\\" in name or not name.isprintable() or len(name) > 200:
        raise SpecError(
            "BadData", f"{source}: an object's name holds {name[:80]!r}, which is no file's name"
        )
    return name


def _odd(source: S3Source, what: str) -> CheckError:
    return CheckError("DataRefused", f"{source}: the server's listing {what}; is it an S3 server?")
