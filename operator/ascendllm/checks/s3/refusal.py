"""What it means when obstore could not do what it was asked.

obstore 0.12 says most of it in an error's text: one line, then a debug text of the causes. What is
read out of that only makes a message better; what is not found there is left out.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ascendllm.checks.s3.address import S3Source
from ascendllm.checks.s3.credentials import Credentials
from ascendllm.exceptions import CheckError, SpecError

__all__ = ["Missing", "RefusedError", "is_empty", "meaning"]

TEXT_CHARACTERS = 64 * 1024
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,80})</Code>")
_TOKEN_CODES = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired")
"""HTTP 400 (Amazon S3 API reference, Error responses), though it is the keys that are at fault."""
_RETRIES = re.compile(r"after (\d{1,3}) retries")
_CAUSE = re.compile(r'"([^"\n]{1,120})",?\n|InvalidCertificate\(\s*(\w{1,40})')


class Missing(Exception):  # noqa: N818 - not an error: the other reading of the address is tried
    """There is no such object."""


class RefusedError(CheckError):
    """The server refused (`DataRefused`).

    Attributes:
        code: S3's own, such as NoSuchBucket.
        denied: Whether for the keys, or for there being none.
    """

    def __init__(self, message: str, *, code: str, denied: bool) -> None:
        super().__init__("DataRefused", message)
        self.code = code
        self.denied = denied


def is_empty(error: Exception) -> bool:
    """Whether an object's first range was refused because it holds no byte (HTTP 416)."""
    return _first(_STATUS, str(error)[:TEXT_CHARACTERS]) == "416"


def meaning(
    error: Exception, what: str, source: S3Source, credentials: Credentials | None
) -> Exception:
    """What to raise instead of an error of obstore's.

    Args:
        error: One of `obstore.exceptions`, or its FileNotFoundError.
        what: The object, or the source itself.
        source: Whose server was asked.
        credentials: What may not be shown.

    Returns:
        `Missing`, a SpecError `BadData` or a CheckError `DataUnreachable`, `DataRefused` (a
        `RefusedError` where the server told a code), `DataChanged`.
    """
    text = str(error)[:TEXT_CHARACTERS]
    if credentials is not None:
        text = credentials.redacted(text)
    line, _, debug = text.partition("\n\nDebug source:")
    told = f"{what} at {urlsplit(source.root).netloc}"
    retries = _first(_RETRIES, line)
    times = f", {int(retries) + 1} times" if retries else ""
    if status := _first(_STATUS, line):
        code = _first(_CODE, line) or "no error code"
        return _by_status(int(status), code, f"{told}: HTTP {status} {code}", times, credentials)
    if type(error).__name__ == "InvalidPathError":
        return SpecError("BadData", f"{source}: {_shown(line)}, which is no file's name")
    if " HTTP error: " in line:
        causes = [quoted or name for quoted, name in _CAUSE.findall(debug.partition("inner:")[2])]
        cause = ": ".join([line.rpartition(" HTTP error: ")[2], *causes])
        authority = " and SSL_CERT_FILE" if "InvalidCertificate" in debug else ""
        return CheckError(
            "DataUnreachable",
            f"{told}: {_shown(cause)}{times}; look at --data-endpoint{authority} and at what lies "
            "between",
        )
    if "redirect" in line:
        return CheckError(
            "DataRefused",
            f"{told}: it sends elsewhere, as for a bucket of another region; look at the bucket's "
            "name, --data-endpoint and --data-region",
        )
    return CheckError(
        "DataRefused",
        f"{told}: {_shown(line)}: this is no S3 server, or a proxy changes its answers",
    )


def _by_status(
    status: int, code: str, told: str, times: str, credentials: Credentials | None
) -> Exception:
    if status >= 500 or status in (408, 429):
        return CheckError("DataUnreachable", f"{told}{times}; try again later")
    if status == 404 and code != "NoSuchBucket":
        return Missing(told)
    if status == 412:
        return CheckError("DataChanged", f"{told}: it was changed while it was read; run again")
    denied = status in (401, 403) or code in _TOKEN_CODES
    if denied and credentials is None:
        remedy = "no key is set: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    elif code in _TOKEN_CODES:
        remedy = "set AWS_SESSION_TOKEN anew, with the keys that it was given with"
    elif denied:
        remedy = "look at the keys, their right to list and get, --data-region and the clock"
    else:
        remedy = "look at the bucket's name, --data-endpoint and --data-region"
    return RefusedError(f"{told}; {remedy}", code=code, denied=denied)


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found.group(1) if found else None


def _shown(text: str) -> str:
    """At most 300 printable characters of what a server may have worded."""
    return "".join(c if c.isprintable() else "?" for c in text.removeprefix("Generic S3 error: "))[
        :300
    ]
