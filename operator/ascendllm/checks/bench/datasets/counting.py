"""The server's own count of a text's tokens, a bounded number of requests at once."""

from __future__ import annotations

import asyncio

from ascendllm.checks.client import Client
from ascendllm.exceptions import CheckError

__all__ = ["Counter"]

FACTS_SECONDS = 60.0


class Counter:
    """Asks /tokenize.

    Args:
        client: The server.
        concurrency: Requests in flight.
    """

    def __init__(self, client: Client, concurrency: int) -> None:
        self._client = client
        self._gate = asyncio.Semaphore(concurrency)

    async def ids(self, text: str) -> list[int]:
        """The ids of a prompt, with the special tokens that the server adds.

        Raises:
            CheckError: `NoTokenize`, or as the requests raise.
        """
        async with self._gate:
            return await self._client.tokenize(text)

    async def length(self, text: str) -> int:
        """How many tokens a prompt has.

        Raises:
            CheckError: As `ids`.
        """
        return len(await self.ids(text))

    async def generated(self, text: str) -> int:
        """How many tokens a text has without special tokens, as an answer's usage counts.

        Raises:
            CheckError: `BadAnswer`, or as the requests raise.
        """
        payload = {
            "model": self._client.endpoint.model,
            "prompt": text,
            "add_special_tokens": False,
        }
        async with self._gate:
            body = await self._client.post("/tokenize", payload, FACTS_SECONDS)
        count = body.get("count")
        if type(count) is not int or count < 0:
            raise CheckError("BadAnswer", "POST /tokenize answered no count")
        return count
