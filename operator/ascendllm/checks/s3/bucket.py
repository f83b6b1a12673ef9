"""A bucket that is read with obstore: its listing, and its objects.

obstore signs the requests, tries them again, and goes on by range where a body was cut. Its calls
block: they belong in a thread. Certificate authorities are the system's, or those of SSL_CERT_FILE
or SSL_CERT_DIR; proxies are those of HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.s3.address import S3Source
from ascendllm.checks.s3.credentials import Credentials
from ascendllm.checks.s3.refusal import is_empty, meaning
from ascendllm.exceptions import CheckError, SpecError

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Store

__all__ = ["Bucket", "Listed", "open_bucket"]

CHUNK_BYTES = 8 * 1024 * 1024
PART_BYTES = 1024 * 1024
PAGE = 1000
"""The most objects in one page of a listing (Amazon S3 API reference, ListObjectsV2)."""

CONNECT = timedelta(seconds=10)
SILENCE = timedelta(seconds=30)
WHOLE_REQUEST = timedelta(minutes=5)
RETRYING = timedelta(minutes=2)
"""No retry begins later than this after a request's begin; a cancelled fetch waits that long."""


class Listed(NamedTuple):
    """An object of a listing.

    Attributes:
        name: Below the prefix.
        size: Bytes.
        tag: Its ETag, where the server tells it.
    """

    name: str
    size: int
    tag: str | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """Reads one bucket; every method blocks.

    Args:
        source: The bucket.
        credentials: None for anonymous requests.
        store: obstore's.
        cancelled: Once it is set, no further range is asked for, and what came is not all.
    """

    source: S3Source
    credentials: Credentials | None
    store: S3Store
    cancelled: threading.Event = field(default_factory=threading.Event)

    def listing(self, prefix: str, most: int) -> list[Listed]:
        """Each object below the prefix.

        A marker of a folder (`folder/`, empty) comes as an empty object without its slash.

        Args:
            prefix: Empty, or with a slash at its end.
            most: The most objects.

        Raises:
            SpecError: `BadData`: there are more, or the name of one is no path.
            CheckError: `DataUnreachable`, `DataRefused`.
        """
        found: list[Listed] = []
        count, last = 0, ""
        with self._errors(str(self.source)):
            for item in self._listed(prefix):
                count, last = count + 1, item["path"]
                if last == prefix.rstrip("/"):
                    continue
                if not last.startswith(prefix):
                    raise self._odd("names an object that was not asked for")
                found.append(Listed(last[len(prefix) :], item["size"], item["e_tag"]))
                if len(found) > most:
                    raise SpecError(
                        "BadData",
                        f"{self.source}: more than {most} objects below it; name the folder of "
                        "the data itself",
                    )
            # obstore takes a full page that names no next one for the last one.
            if count and count % PAGE == 0:
                following = self._listed(prefix, last)
                if any(item["path"] != last for item in following):
                    raise self._odd("is cut short with no way to go on")
        return found

    def read(
        self, key: str, limit: int, *, start: int = 0, tag: str | None = None
    ) -> Iterator[memoryview]:
        """An object's bytes, asked for range by range.

        Args:
            key: The object's key.
            limit: The most bytes; more are refused before they are read.
            start: Bytes to leave out; fewer than the object has.
            tag: The ETag that it must have; None for whichever it has.

        Raises:
            Missing: There is no such object.
            SpecError: `BadData`: it is longer than the limit.
            CheckError: `DataUnreachable`, `DataRefused`, `DataChanged`.
        """
        what = f"s3://{self.source.bucket}/{key}"
        offset, size = start, -1
        with self._errors(what):
            while offset != size and not self.cancelled.is_set():
                options: GetOptions = {"range": (offset, offset + CHUNK_BYTES)}
                if tag is not None:
                    options["if_match"] = tag
                try:
                    answer = self.store.get(key, options=options)
                except Exception as error:
                    if offset == 0 and is_empty(error):
                        return
                    raise
                if size not in (-1, answer.meta["size"]):
                    raise CheckError("DataChanged", f"{what}: its size changed while it was read")
                size, tag = answer.meta["size"], answer.meta["e_tag"]
                if size > limit:
                    del answer  # a traceback would keep it, and the connection with it
                    raise SpecError(
                        "BadData",
                        f"{what:.200}: {size} bytes, at most {limit} are read; is it the right "
                        "object?",
                    )
                end = answer.range[1]
                for part in answer.stream(min_chunk_size=PART_BYTES):
                    offset += len(part)
                    if offset > end:
                        break
                    yield memoryview(part)
                if offset != end:
                    raise CheckError(
                        "DataRefused",
                        f"{what}: the server announced the bytes up to {end} and sent "
                        f"{'more' if offset > end else f'those up to {offset}'}; run again",
                    )

    def _listed(self, prefix: str, after: str | None = None) -> Iterator[ObjectMeta]:
        for page in self.store.list(prefix or None, offset=after, chunk_size=PAGE):
            yield from page

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Turn what obstore raises into what it means."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise meaning(error, what, self.source, self.credentials) from None

    def _odd(self, what: str) -> CheckError:
        return CheckError(
            "DataRefused", f"{self.source}: the server's listing {what}; is it an S3 server?"
        )


def open_bucket(source: S3Source, credentials: Credentials | None, retry: RetryPolicy) -> Bucket:
    """Prepare requests to a bucket; none is made yet.

    Raises:
        CheckError: `NoS3`: obstore is not installed; `DataUnreachable`: no certificate authorities.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError:
        raise CheckError(
            "NoS3",
            "reading s3:// needs the Python package obstore, which is not installed: install "
            "ascendllm[checks], or give a path",
        ) from None
    # All that the address and the keys say is given, so that no AWS_… variable can say otherwise.
    config: S3Config = {
        "endpoint": source.root,
        "aws_endpoint_url_s3": source.root,
        "virtual_hosted_style_request": True,  # the root holds the bucket, in either style
        "region": source.region,
        "skip_signature": credentials is None,
    }
    if credentials is not None:
        config["access_key_id"] = credentials.access_key
        config["secret_access_key"] = credentials.secret_key
        if credentials.token is not None:
            config["session_token"] = credentials.token
    client: ClientConfig = {
        "allow_http": source.root.startswith("http://"),
        "allow_invalid_certificates": False,
        "connect_timeout": CONNECT,
        "read_timeout": SILENCE,
        "timeout": WHOLE_REQUEST,
    }
    tries: RetryConfig = {
        "max_retries": retry.attempts - 1,
        "retry_timeout": RETRYING,
        "backoff": {
            "init_backoff": timedelta(seconds=retry.first),
            "max_backoff": timedelta(seconds=retry.longest),
        },
    }
    try:
        store = S3Store(source.bucket, config=config, client_options=client, retry_config=tries)
    except BaseError as error:
        raise CheckError(
            "DataUnreachable",
            f"{source}: no client for it can be made ({str(error).splitlines()[0]:.200}); let "
            "SSL_CERT_FILE name a file of certificate authorities, or install the system's",
        ) from None
    return Bucket(source, credentials, store)
