"""Signing a request: AWS Signature Version 4, for requests without a body.

Source: Amazon S3 API reference, "Authenticating Requests: Using the Authorization Header (AWS
Signature Version 4)"; OBS and MinIO take the same. Its worked example is a test.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ascendllm.checks.s3.address import quoted
from ascendllm.exceptions import SpecError

__all__ = ["Credentials", "canonical_query", "read_credentials", "signed_headers"]

EMPTY = hashlib.sha256(b"").hexdigest()
_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key pair, and the token of a temporary one; never shown."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def redacted(self, text: str) -> str:
        """A text without them: servers quote the key's name, and what they calculated with."""
        for secret in (self.secret_key, self.token, self.access_key):
            if secret:
                text = text.replace(secret, "***")
        return text


def read_credentials(environment: Mapping[str, str]) -> Credentials | None:
    """The keys that are set; None for anonymous access.

    Raises:
        SpecError: `BadCredentials`: only one of the two is set, or one holds what no header can.
    """
    access, secret, token = (environment.get(name, "").strip() for name in _VARIABLES)
    if not access and not secret and not token:
        return None
    if not access or not secret:
        missing = _VARIABLES[1] if access else _VARIABLES[0]
        raise SpecError(
            "BadCredentials",
            f"{missing} is not set: set both {_VARIABLES[0]} and {_VARIABLES[1]}, or none of the "
            "three for data that anyone may read",
        )
    for name, value in zip(_VARIABLES, (access, secret, token), strict=True):
        if not value.isascii() or not value.isprintable():
            raise SpecError(
                "BadCredentials", f"{name} holds characters that no key has; set it anew"
            )
    return Credentials(access, secret, token or None)


def canonical_query(parameters: Mapping[str, str]) -> str:
    """The query as it is signed and sent: sorted, percent-encoded."""
    pairs = sorted((quoted(name, ""), quoted(value, "")) for name, value in parameters.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def signed_headers(
    credentials: Credentials,
    region: str,
    host: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    now: datetime,
) -> dict[str, str]:
    """The headers of a GET without a body.

    Args:
        credentials: The keys.
        region: The region that the bucket is in.
        host: Host and port as the Host header will say them.
        path: Percent-encoded, with its leading slash.
        query: Of `canonical_query`.
        headers: Further headers, lower case; they are signed too.
        now: UTC.
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {
        **headers,
        "host": host,
        "x-amz-content-sha256": EMPTY,
        "x-amz-date": stamp,
    }
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    canonical = "\n".join(("GET", path, query, lines, names, EMPTY))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, digest))
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope},"
        f"SignedHeaders={names},Signature={signature}"
    )
    return signed
