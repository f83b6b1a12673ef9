"""Single requests through httpx, with the failures named as everywhere in the checks.

Each request has a connection of its own, unless it asks to keep one: vLLM 0.18.0 closes the
connection behind most refusals without saying so, and the next request on it would be lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from ascendllm.checks.endpoint import ANSWER_BYTES, RETRYABLE, refusal, unreachable
from ascendllm.checks.events import EventReader
from ascendllm.checks.result import compact_json
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.sinks import warn
from ascendllm.checks.smoke.replicas import Replica
from ascendllm.exceptions import CheckError

__all__ = ["Answer", "Http"]

STREAM_BYTES = 4 * ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    what: str
    status: int
    body: bytes


class Http:
    """One server.

    Args:
        client: Without redirects, proxies and headers of its own.
        replica: The server.
        seconds: The time limit of one answer.
    """

    def __init__(self, client: httpx.AsyncClient, replica: Replica, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._replica = replica
        self.endpoint = replica.endpoint
        self.spent = 0.0
        """Seconds since `spent` was last set to 0, waiting for answers."""

    async def get(
        self, path: str, retry: RetryPolicy | None = None, *, kept: bool = False
    ) -> Answer:
        """A GET; tried again on lost connections and throttling where `retry` says so.

        Raises:
            CheckError: No whole answer, a redirect, or a status of 5xx, 401, 403 or 429.
        """
        attempts = retry.attempts if retry else 1
        for attempt in range(1, attempts + 1):
            try:
                answer = await self._whole("GET", path, None, kept=kept)
                if answer.status not in RETRYABLE or attempt == attempts:
                    return self.believable(answer)
            except CheckError as error:
                if error.reason != "ServerUnreachable" or attempt == attempts:
                    raise
                if attempt == 1:
                    warn(f"{error.message}; trying again, up to {attempts} times")
            if retry:
                await asyncio.sleep(retry.pause(attempt))
        raise AssertionError("the last attempt returns or raises")

    async def post(self, path: str, payload: Mapping[str, object], *, kept: bool = False) -> Answer:
        """A POST; `kept` on the connection of the last kept one.

        Raises:
            CheckError: As `get`.
        """
        content = compact_json(payload).encode()
        return self.believable(await self._whole("POST", path, content, kept=kept))

    async def send(
        self, method: str, path: str, content: bytes | None = None, *, key: str | None = None
    ) -> Answer:
        """A request as it is given, whatever is answered; `key` instead of the endpoint's.

        Raises:
            CheckError: No whole answer.
        """
        return await self._whole(method, path, content, key=key)

    async def stream(self, path: str, payload: Mapping[str, object]) -> Answer | list[bytes]:
        """A POST whose answer is streamed: the events' data, or the answer where it is no 200.

        Raises:
            CheckError: As `get`; `StreamCut` where the connection broke.
        """
        what = f"POST {path} (streamed)"
        events: list[bytes] = []
        reader = EventReader(what, events.append)
        begun = time.monotonic()
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._client.stream(
                    "POST",
                    self._replica.url(path),
                    content=compact_json(payload).encode(),
                    headers=self._headers(body=True),
                    extensions=self._replica.extensions,
                ) as response,
            ):
                if response.status_code != 200:
                    body = await _read(response, what)
                    return self.believable(Answer(what, response.status_code, body))
                size = 0
                async for part in response.aiter_bytes():
                    size += len(part)
                    if size > STREAM_BYTES:
                        raise CheckError("BadAnswer", f"{what}: longer than {STREAM_BYTES} bytes")
                    reader.feed(part)
        except httpx.RemoteProtocolError as error:
            raise CheckError(
                "StreamCut", f"{what}: cut after {len(events)} events: {error}"
            ) from None
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise unreachable(what, error) from None
        finally:
            self.spent += time.monotonic() - begun
        return events

    async def _whole(
        self,
        method: str,
        path: str,
        content: bytes | None,
        *,
        key: str | None = None,
        kept: bool = False,
    ) -> Answer:
        what = f"{method} {path}"
        begun = time.monotonic()
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._client.stream(
                    method,
                    self._replica.url(path),
                    content=content,
                    headers=self._headers(body=content is not None, key=key, kept=kept),
                    extensions=self._replica.extensions,
                ) as response,
            ):
                return Answer(what, response.status_code, await _read(response, what))
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise unreachable(what, error) from None
        finally:
            self.spent += time.monotonic() - begun

    def _headers(self, *, body: bool, key: str | None = None, kept: bool = False) -> dict[str, str]:
        own = self.endpoint.headers if key is None else {}
        given = {"Authorization": f"Bearer {key}"} if key else {}
        connection = {} if kept else {"Connection": "close"}
        content = {"Content-Type": "application/json"} if body else {}
        return self._replica.headers | connection | content | own | given

    def believable(self, answer: Answer) -> Answer:
        """An answer that says something about the model, and not about the way to it."""
        status = answer.status
        redirected = 300 <= status < 400
        if status >= 500 or status in (401, 403, 429) or redirected:
            raise refusal(answer.what, status, answer.body, self.endpoint)
        return answer


async def _read(response: httpx.Response, what: str) -> bytes:
    body = b""
    async for part in response.aiter_bytes():
        body += part
        if len(body) > ANSWER_BYTES:
            raise CheckError("BadAnswer", f"{what}: longer than {ANSWER_BYTES} bytes")
    return body
