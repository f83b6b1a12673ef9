"""A small server that answers as vLLM 0.18 does, and whose every answer a test can spoil."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse | None]]

BOS = 1
_PIECE = re.compile(r" ?[A-Za-z]+| ?\d|[^A-Za-z\d]")


@dataclass
class FakeServer:
    """State and faults; `before` may answer in the place of the right answer.

    Args:
        letter: The letter that a prompt is answered with.
        before: Sees each request first; None lets it through.
        spoil: Changes the JSON of a completion.
        stream: Changes the list of events of a stream; None in it cuts the connection there.
        itl: Seconds between two chunks.
    """

    model: str = "m"
    max_model_len: int = 4096
    letter: Callable[[str], str] = lambda _prompt: "A"
    before: Handler | None = None
    spoil: Callable[[dict[str, Any]], Any] = lambda answer: answer
    stream: Callable[[list[Any]], list[Any]] = lambda events: events
    itl: float = 0.0
    url: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    payloads: list[dict[str, Any]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    vocabulary: dict[str, int] = field(default_factory=dict)

    def ids(self, text: str) -> list[int]:
        known = self.vocabulary
        return [BOS] + [known.setdefault(p, 10 + len(known)) for p in _PIECE.findall(text)]

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[FakeServer]:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        payload = json.loads(await request.read() or b"{}")
        self.seen[request.path] += 1
        self.payloads.append({"path": request.path} | payload)
        if self.before is not None and (answer := await self.before(request, payload)) is not None:
            return answer
        match request.path:
            case "/health":
                return web.Response()
            case "/version":
                return web.json_response({"version": "0.18.0"})
            case "/v1/models":
                entry = {"id": self.model, "object": "model", "max_model_len": self.max_model_len}
                return web.json_response({"object": "list", "data": [entry]})
            case "/tokenize":
                ids = self.ids(_prompt(payload))
                ids = ids if payload.get("add_special_tokens", True) else ids[1:]
                return web.json_response({"count": len(ids), "tokens": ids})
            case "/v1/completions" | "/v1/chat/completions":
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    return await self._complete(request, payload)
                finally:
                    self.in_flight -= 1
        return error(404, "NotFoundError", "Not Found")

    async def _complete(self, request: web.Request, payload: dict[str, Any]) -> web.StreamResponse:
        if payload["model"] != self.model:
            message = f"The model `{payload['model']}` does not exist."
            return error(404, "NotFoundError", message)
        chat = "chat" in request.path
        prompt, count = _prompt(payload), payload["max_tokens"]
        if payload.get("stream"):
            return await self._stream(request, payload, chat)
        text = f" {self.letter(prompt)}" if payload.get("allowed_token_ids") else " x" * count
        choice: dict[str, Any] = {"index": 0, "finish_reason": "length"}
        choice |= {"message": {"content": text}} if chat else {"text": text}
        if payload.get("logprobs"):
            choice["logprobs"] = self._logprobs(text)
        return web.json_response(
            self.spoil(
                {
                    "id": "cmpl-1",
                    "model": self.model,
                    "choices": [choice],
                    "usage": usage(len(self.ids(prompt)), count),
                }
            )
        )

    def _logprobs(self, text: str) -> dict[str, Any]:
        token = f"token_id:{self.ids(text)[-1]}"
        top = {f"token_id:{self.ids(f' {letter}')[-1]}": -3.0 for letter in "ABCD"}
        return {"tokens": [token], "token_logprobs": [-0.5], "top_logprobs": [top | {token: -0.5}]}

    async def _stream(
        self, request: web.Request, payload: dict[str, Any], chat: bool
    ) -> web.StreamResponse:
        count = payload["max_tokens"]
        base = {"id": f"cmpl-{self.seen.total()}", "model": self.model}
        events: list[Any] = []
        for number in range(count):
            choice: dict[str, Any] = {"index": 0, "finish_reason": None}
            choice |= {"delta": {"content": " x"}} if chat else {"text": " x"}
            choice["finish_reason"] = "length" if number == count - 1 else None
            events.append(base | {"choices": [choice]})
        numbers = usage(len(self.ids(_prompt(payload))), count)
        events += [base | {"choices": [], "usage": numbers}, "[DONE]"]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in self.stream(events):
            if event is None:
                assert request.transport is not None
                request.transport.abort()
                return response
            data = event if isinstance(event, str) else json.dumps(event)
            await response.write(f"data: {data}\n\n".encode())
            if self.itl:
                await asyncio.sleep(self.itl)
        await response.write_eof()
        return response


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def error(status: int, kind: str, message: str, **headers: str) -> web.Response:
    body = {"error": {"message": message, "type": kind, "param": None, "code": status}}
    return web.json_response(body, status=status, headers=headers)


def _prompt(payload: dict[str, Any]) -> str:
    if "messages" in payload:
        return "".join(f"{m['role']}: {m['content']}\n" for m in payload["messages"])
    return str(payload["prompt"])
