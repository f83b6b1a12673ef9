"""GET requests to an S3 server: signed, bounded, tried again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.s3.address import S3Source
from ascendllm.checks.s3.signature import Credentials, canonical_query, signed_headers
from ascendllm.exceptions import CheckError, SpecError

__all__ = ["Missing", "S3Client", "open_client_session"]

RETRYABLE = frozenset({429, 500, 502, 503, 504})
CHUNK_BYTES = 8 * 1024 * 1024
BODY_BYTES = 16 * 1024 * 1024
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,80})</Code>")
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_LOST = (aiohttp.ClientError, TimeoutError, OSError)


class Missing(Exception):  # noqa: N818 - not an error: the other reading of the address is tried
    """There is no such object."""


def open_client_session() -> aiohttp.ClientSession:
    """A session for one fetch; no time limit on the whole, one on each silence."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
    return aiohttp.ClientSession(timeout=timeout, auto_decompress=False)


@dataclass(frozen=True, slots=True)
class S3Client:
    """Asks one bucket.

    Args:
        session: Of `open_client_session`.
        source: The bucket.
        credentials: None for anonymous requests.
        retry: For throttling, server errors and lost connections.
    """

    session: aiohttp.ClientSession
    source: S3Source
    credentials: Credentials | None
    retry: RetryPolicy = field(default=RetryPolicy(attempts=6, first=0.5, longest=10.0))

    async def listing(self, parameters: Mapping[str, str]) -> bytes:
        """The answer to ListObjectsV2."""
        for attempt in range(1, self.retry.attempts + 1):
            try:
                async with self._request("", parameters) as answer:
                    if answer.status == 200:
                        return await self._all(answer)
                    await self._refused(answer, attempt, str(self.source))
            except _LOST as error:
                self._lost(error, attempt)
            await asyncio.sleep(self.retry.pause(attempt))
        raise AssertionError("the last attempt raises")

    async def read(self, key: str, limit: int) -> AsyncGenerator[bytes, None]:
        """An object's bytes, in ranges; a lost connection goes on from where it was lost.

        Args:
            key: The object's key.
            limit: The most bytes; more are refused before they are read.

        Raises:
            Missing: There is no such object.
            SpecError: `BadData`: it is longer than the limit.
            CheckError: `DataUnreachable`, `DataRefused`, `DataChanged`.
        """
        offset, tag, size, attempt = 0, "", -1, 1
        while offset != size:
            before = offset
            headers = {"range": f"bytes={offset}-{offset + CHUNK_BYTES - 1}"}
            if tag:
                headers["if-match"] = tag
            try:
                async with self._request(key, {}, headers) as answer:
                    if answer.status == 416 and offset == 0:
                        return
                    if answer.status in (200, 206):
                        size = self._size(answer, offset, size)
                        tag = tag or answer.headers.get("ETag", "")
                        if size > limit:
                            raise self._too_long(key, size, limit)
                        async for part in answer.content.iter_chunked(1 << 18):
                            offset += len(part)
                            if offset > size:
                                raise aiohttp.ClientPayloadError("more came than was announced")
                            yield part
                        if offset == before and offset != size:
                            raise aiohttp.ClientPayloadError("nothing came")
                        attempt = 1
                        continue
                    await self._refused(answer, attempt, f"s3://{self.source.bucket}/{key}")
            except _LOST as error:
                attempt = 1 if offset > before else attempt
                self._lost(error, attempt)
            await asyncio.sleep(self.retry.pause(attempt))
            attempt += 1

    def _request(
        self, key: str, parameters: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> aiohttp.client._RequestContextManager:
        query = canonical_query(parameters)
        address = self.source.url(key)
        parts = urlsplit(address)
        sent = dict(headers or {})
        if self.credentials is not None:
            sent = signed_headers(
                self.credentials,
                self.source.region,
                parts.netloc,
                parts.path,
                query,
                sent,
                datetime.now(UTC),
            )
        url = URL(f"{address}?{query}" if query else address, encoded=True)
        return self.session.get(url, headers=sent, allow_redirects=False)

    async def _refused(self, answer: aiohttp.ClientResponse, attempt: int, what: str) -> None:
        """Raise what the answer means, unless it may be tried again."""
        found = _CODE.search(await answer.content.read(64 * 1024))
        code = found.group(1).decode() if found else "no error code"
        told = f"{what} at {_server(self.source)}: HTTP {answer.status} {code}"
        if answer.status in RETRYABLE and attempt < self.retry.attempts:
            return
        if answer.status in RETRYABLE:
            raise CheckError("DataUnreachable", f"{told}, {attempt} times; try again later")
        if answer.status == 404 and code != "NoSuchBucket":
            raise Missing(told)
        if answer.status == 412:
            raise CheckError("DataChanged", f"{told}: it was changed while it was read; run again")
        if region := answer.headers.get("x-amz-bucket-region"):
            told += f", the bucket is in region {region!r:.80}"
        raise CheckError("DataRefused", f"{told}; {self._remedy(answer.status)}")

    def _remedy(self, status: int) -> str:
        if status in (401, 403) and self.credentials is None:
            return "no key is set: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        if status in (401, 403):
            return "look at the keys, their right to list and get, --data-region and the clock"
        return "look at the bucket's name, --data-endpoint and --data-region"

    def _lost(self, error: BaseException, attempt: int) -> None:
        if attempt >= self.retry.attempts:
            cause = f"{type(error).__name__}: {error}"[:300]
            if self.credentials is not None:
                cause = self.credentials.redacted(cause)
            raise CheckError(
                "DataUnreachable",
                f"{self.source} at {_server(self.source)}: {cause}, {attempt} times; look at "
                "--data-endpoint and at what lies between",
            ) from None

    async def _all(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for part in answer.content.iter_chunked(1 << 16):
            body += part
            if len(body) > BODY_BYTES:
                raise CheckError("DataRefused", f"{self.source}: a listing of over {BODY_BYTES} B")
        return bytes(body)

    def _size(self, answer: aiohttp.ClientResponse, offset: int, size: int) -> int:
        """The object's whole size, by an answer that begins at `offset`."""
        if answer.status == 200 and offset == 0 and answer.content_length is not None:
            return answer.content_length
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if answer.status == 206 and found is not None and int(found.group(1)) == offset:
            total = int(found.group(3))
            if size in (-1, total):
                return total
        raise CheckError(
            "DataRefused",
            f"{self.source} at {_server(self.source)} answered HTTP {answer.status} with range "
            f"{answer.headers.get('Content-Range', 'none')[:80]!r} and no fitting length: this is "
            "no S3 server, or a proxy changes its answers",
        )

    def _too_long(self, key: str, size: int, limit: int) -> SpecError:
        return SpecError(
            "BadData",
            f"s3://{self.source.bucket}/{key[:200]}: {size} bytes, at most {limit} are read; is it "
            "the right object?",
        )


def _server(source: S3Source) -> str:
    return urlsplit(source.root).netloc
