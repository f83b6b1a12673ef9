"""The simulated server, and a proxy before it that spoils what a test wants spoiled."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from ascendllm_simulator.behaviour import Behaviour
from ascendllm_simulator.config import ServerConfig
from ascendllm_simulator.server import build_app, build_service

Before = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse | None]]


@contextlib.asynccontextmanager
async def listening(
    app: web.Application, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """The address of an application on loopback."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        at, chosen = runner.addresses[0][:2]
        yield f"http://{at}:{chosen}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def simulated(
    host: str = "127.0.0.1", port: int = 0, behaviour: Behaviour | None = None, **fields: Any
) -> AsyncIterator[str]:
    """A simulated server in this process; `fields` of ServerConfig."""
    fast = behaviour or Behaviour(load_seconds=0, ttft_ms=0, itl_ms=0)
    given: dict[str, Any] = {"root": "/m", "names": ("m",), "max_model_len": 4096, **fields}
    service = build_service(ServerConfig(host=host, port=port, behaviour=fast, **given))
    async with listening(build_app(service), host, port) as url:
        yield url


@dataclass
class Spoiled:
    """A proxy; `before` may answer in the place of the server, the others change its answers.

    Args:
        before: Sees each request first; None lets it through.
        spoil: Changes the JSON of an answer: (path, request, answer); `...` lets it be.
        stream: Changes the list of events of a stream; None in it cuts the connection there.
        fields: Of the simulated server's ServerConfig.
    """

    before: Before | None = None
    spoil: Callable[[str, dict[str, Any], Any], Any] = lambda _path, _asked, _answer: ...
    stream: Callable[[list[Any]], list[Any]] = lambda events: events
    fields: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    payloads: list[dict[str, Any]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Spoiled]:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        async with (
            simulated(**self.fields) as self._upstream,
            aiohttp.ClientSession() as self._session,
            listening(app) as self.url,
        ):
            yield self

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            asked = json.loads(raw)
        except ValueError:
            asked = {}
        self.seen[request.path] += 1
        self.payloads.append({"path": request.path} | asked)
        if self.before is not None and (answer := await self.before(request, asked)) is not None:
            return answer
        headers = {
            name: request.headers[name]
            for name in ("Authorization", "Content-Type")
            if name in request.headers
        }
        async with self._session.request(
            request.method, self._upstream + request.path, data=raw or None, headers=headers
        ) as answered:
            body = await answered.read()
            if answered.content_type == "text/event-stream":
                return await self._streamed(request, body)
            if answered.content_type == "application/json":
                spoiled = self.spoil(request.path, asked, json.loads(body))
                body = body if spoiled is ... else json.dumps(spoiled).encode()
            return web.Response(
                status=answered.status, body=body, content_type=answered.content_type
            )

    async def _streamed(self, request: web.Request, body: bytes) -> web.StreamResponse:
        texts = [part.removeprefix("data: ") for part in body.decode().split("\n\n") if part]
        events = [text if text == "[DONE]" else json.loads(text) for text in texts]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in self.stream(events):
            if event is None:
                assert request.transport is not None
                request.transport.abort()
                return response
            text = event if isinstance(event, str) else json.dumps(event)
            await response.write(f"data: {text}\n\n".encode())
        await response.write_eof()
        return response
