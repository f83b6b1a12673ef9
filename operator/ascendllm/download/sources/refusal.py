"""What an HTTP status of a source's server means."""

from __future__ import annotations

from ascendllm.exceptions import DownloadError

__all__ = ["by_status", "unreachable"]


def by_status(status: int, source: str, told: str, secret: str) -> DownloadError:
    """What to raise for a refused request.

    Args:
        status: HTTP's.
        source: What was asked for.
        told: The client's words.
        secret: The field that holds the credentials.
    """
    if status in (401, 403):
        return DownloadError(
            "AccessDenied",
            f"{source}: HTTP {status}: the server lets nobody, or not this token, read it: look at "
            f"the token in {secret} and at what its account may read",
        )
    if status == 404:
        return DownloadError(
            "SourceNotFound", f"{source}: HTTP 404: look at the repository, revision and endpoint"
        )
    if status >= 500 or status in (0, 408, 416, 425, 429):
        return unreachable(source, f"HTTP {status}: {told}")
    return DownloadError(
        "SourceRefused", f"{source}: HTTP {status}: {told}: is the endpoint the hub's?"
    )


def unreachable(source: str, told: str) -> DownloadError:
    """No answer, or a server in trouble: it may go on later from where it was cut."""
    return DownloadError(
        "SourceUnreachable",
        f"{source}: {told[:300]}: look at the endpoint, the cluster's DNS, proxy and firewall; "
        "what came already is kept",
        again=True,
    )
