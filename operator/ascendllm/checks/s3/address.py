"""Where an object lies: bucket, key, and the address of its server.

Two ways of addressing exist. Virtual-hosted, `https://BUCKET.HOST/KEY`, is what Amazon and Huawei's
OBS want ("OBS buckets must be accessed through virtual hosting", OBS developer guide); path style,
`https://HOST/BUCKET/KEY`, is what MinIO serves by default and what works with an IP address. The
host decides: those of Amazon and OBS are addressed virtual-hosted, and so is an endpoint that
already begins with the bucket's name; everything else by path.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ascendllm.exceptions import SpecError

__all__ = ["S3Source", "parse_uri"]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_VIRTUAL_HOSTED = (".amazonaws.com", ".amazonaws.com.cn", ".myhuaweicloud.com")
KEY_BYTES = 1024
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class S3Source:
    """An object or a prefix.

    Args:
        bucket: Its bucket.
        key: Without a leading slash; empty for the whole bucket.
        root: The bucket's address without a trailing slash: `https://BUCKET.HOST` or
            `https://HOST/BUCKET`.
        region: What requests are signed for.
    """

    bucket: str
    key: str
    root: str
    region: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def parse_uri(
    uri: str, endpoint: str | None, region: str | None, option: str = "--data"
) -> S3Source:
    """Read `s3://bucket/key` and the options beside it.

    Raises:
        SpecError: `BadData`, naming the option, its value, the rule and the remedy.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise SpecError(
            "BadData",
            f"{option} {uri[:200]}: {bucket[:80]!r} is no bucket's name (3 to 63 of a-z, 0-9, dot "
            "and dash); write s3://bucket/key",
        )
    if len(key.encode("utf-8", "replace")) > KEY_BYTES or not key.isprintable():
        raise SpecError(
            "BadData",
            f"{option} {uri[:200]}: a key is printable and at most {KEY_BYTES} bytes long",
        )
    if key and any(part in ("", ".", "..") for part in key.removesuffix("/").split("/")):
        raise SpecError(
            "BadData",
            f"{option} {uri[:200]}: between its slashes a key holds a name that is not . or ..",
        )
    wanted = DEFAULT_REGION if region is None else region
    if not _REGION.fullmatch(wanted):
        raise SpecError(
            "BadData",
            f"--data-region {wanted[:80]!r}: give a region's name, such as cn-north-4 or us-east-1",
        )
    return S3Source(bucket, key, _root(bucket, wanted, endpoint), wanted)


def _root(bucket: str, region: str, endpoint: str | None) -> str:
    address = (endpoint or f"https://s3.{region}.amazonaws.com").strip().rstrip("/")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _bad_endpoint(address, str(error)) from None
    if parts.scheme not in ("http", "https") or not host:
        raise _bad_endpoint(address, "it needs http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        # What stands there is a secret: it is not shown.
        raise _bad_endpoint(host, "it may hold no credentials; give them in the environment")
    if parts.query or parts.fragment:
        raise _bad_endpoint(address, "it may hold no query or fragment")
    if host.startswith(f"{bucket}.") and not _is_ip(host):
        return address
    if host.endswith(_VIRTUAL_HOSTED) and not (parts.scheme == "https" and "." in bucket):
        # Not with a dot in the bucket's name: no certificate *.HOST covers a.b.HOST.
        return f"{parts.scheme}://{bucket}.{parts.netloc}{parts.path}"
    return f"{address}/{bucket}"


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _bad_endpoint(address: str, why: str) -> SpecError:
    return SpecError(
        "BadData",
        f"--data-endpoint {address[:200]}: {why}; write for example "
        "https://obs.cn-north-4.myhuaweicloud.com",
    )
