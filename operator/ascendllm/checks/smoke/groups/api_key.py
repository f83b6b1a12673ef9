"""9. With a key, /v1 is closed without it, and /health stays open for the probes."""

from __future__ import annotations

from ascendllm.checks.smoke.context import Context
from ascendllm.checks.smoke.findings import NotApplicableError, WrongError

__all__ = ["api_key"]


async def api_key(context: Context) -> None:
    """401 without the key and with another; 200 with it."""
    if context.http.endpoint.api_key is None:
        raise NotApplicableError("no API key is used")
    for key, name in (("", "no key"), ("not-the-key", "another key")):
        answer = await context.http.send("GET", "/v1/models", key=key)
        if answer.status != 401:
            raise WrongError(f"HTTP 401 with {name}", f"HTTP {answer.status}")
    for path, key in (("/health", ""), ("/v1/models", context.http.endpoint.api_key)):
        answer = await context.http.send("GET", path, key=key)
        if answer.status != 200:
            raise WrongError(f"HTTP 200 from {path}", f"HTTP {answer.status}")
