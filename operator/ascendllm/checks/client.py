"""HTTP for the load paths: an aiohttp session with limits, and one request with retries.

Why aiohttp here: on two cores against a server without delay it made 8,700 requests/s where
httpx 0.28 made 870.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import aiohttp

from ascendllm.checks.endpoint import (
    ANSWER_BYTES,
    RETRYABLE,
    Endpoint,
    ServerFacts,
    json_object,
    read_models,
    refusal,
    unreachable,
)
from ascendllm.checks.result import compact_json
from ascendllm.checks.retry import FIRST_CONTACT, RetryPolicy
from ascendllm.checks.sinks import warn
from ascendllm.exceptions import CheckError

__all__ = ["Client", "open_session", "read_limited"]

FACTS_TIMEOUT = 30.0
"""Seconds for a request that computes nothing (/v1/models, /tokenize)."""


def open_session(concurrency: int) -> aiohttp.ClientSession:
    """A session of at most `concurrency` connections, with no proxy and no cookies."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency, keepalive_timeout=75, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
    )


class Client:
    """Requests whose answer is one JSON object.

    Args:
        session: From `open_session`.
        endpoint: The server.
        retry: For answers that a healthy server can withhold for a while.
    """

    def __init__(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, retry: RetryPolicy
    ) -> None:
        self.session = session
        self.endpoint = endpoint
        self.retry = retry
        self.requests = 0
        """HTTP requests sent so far, the repeated ones included."""
        self._warned: set[str] = set()

    async def facts(self, first_contact: RetryPolicy = FIRST_CONTACT) -> ServerFacts:
        """Make sure that the wanted model is served.

        Raises:
            CheckError: `ServerUnreachable` and the like, or `WrongModel` with the names served.
        """
        body = await self._tried("GET", "/v1/models", None, FACTS_TIMEOUT, first_contact)
        return read_models(body, self.endpoint)

    async def tokenize(self, prompt: str) -> list[int]:
        """The server's own token ids of a prompt, with the special tokens that it adds itself.

        Raises:
            CheckError: `NoTokenize` where the server has no /tokenize, or as `post` raises.
        """
        return await self.token_ids({"prompt": prompt})

    async def token_ids(self, fields: Mapping[str, object]) -> list[int]:
        """The same of any request that /tokenize takes: a prompt, or the messages of a chat.

        Raises:
            CheckError: As `tokenize` raises.
        """
        payload = {"model": self.endpoint.model, **fields}
        try:
            body = await self.post("/tokenize", payload, FACTS_TIMEOUT)
        except CheckError as error:
            if error.reason in ("WrongServer", "RequestRefused"):
                raise CheckError(
                    "NoTokenize", f"{error.message}; the check needs vLLM's /tokenize"
                ) from None
            raise
        tokens = body.get("tokens")
        if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
            raise CheckError("BadAnswer", "POST /tokenize answered no list of token ids")
        return cast("list[int]", tokens)

    async def post(
        self, path: str, payload: Mapping[str, object], seconds: float
    ) -> dict[str, object]:
        """Ask, try again where that can help, and return the answer's JSON object.

        Args:
            path: Such as `/v1/completions`.
            payload: The request.
            seconds: The time limit of each attempt.

        Raises:
            CheckError: What the last attempt came to.
        """
        data = compact_json(payload).encode()
        return await self._tried("POST", path, data, seconds, self.retry)

    async def _tried(
        self, method: str, path: str, data: bytes | None, seconds: float, retry: RetryPolicy
    ) -> dict[str, object]:
        what = f"{method} {path}"
        for attempt in range(1, retry.attempts + 1):
            self.requests += 1
            retry_after: float | None = None
            try:
                status, headers, body = await self._once(method, path, data, seconds)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                failure = unreachable(what, error)
            else:
                if status == 200:
                    return json_object(body, what)
                failure = refusal(what, status, body, self.endpoint)
                if status not in RETRYABLE:
                    raise failure
                retry_after = _seconds(headers.get("Retry-After"))
            if attempt < retry.attempts:
                if failure.reason not in self._warned:
                    self._warned.add(failure.reason)
                    warn(f"{failure.message}; trying again, up to {retry.attempts} times")
                await asyncio.sleep(retry.pause(attempt, retry_after))
        raise CheckError(failure.reason, f"{failure.message} ({retry.attempts} attempts)")

    async def _once(
        self, method: str, path: str, data: bytes | None, seconds: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        async with (
            asyncio.timeout(seconds),
            self.session.request(
                method,
                self.endpoint.url(path),
                data=data,
                headers=self.endpoint.headers
                | ({"Content-Type": "application/json"} if data is not None else {}),
                allow_redirects=False,
            ) as answer,
        ):
            return answer.status, answer.headers, await read_limited(answer.content.read)


async def read_limited(read: Callable[[int], Awaitable[bytes]], limit: int = ANSWER_BYTES) -> bytes:
    """A whole body of at most `limit` bytes.

    Raises:
        CheckError: `BadAnswer`, where it is longer.
    """
    parts: list[bytes] = []
    size = 0
    while part := await read(256 * 1024):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise CheckError("BadAnswer", f"the server's answer is longer than {limit} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header in seconds; a date is not worth reading here."""
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None
