from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from aiohttp import web

from ascendllm_simulator.behaviour import Behaviour
from ascendllm_simulator.config import ServerConfig
from ascendllm_simulator.server import build_app, build_service
from unit.simulator.running import FAST, Running, Start


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts servers; `await start(behaviour, **fields of ServerConfig)`."""
    async with AsyncExitStack() as stack:

        async def run(behaviour: Behaviour = FAST, **fields: object) -> Running:
            given = {"host": "127.0.0.1", "port": 0, "root": "/m", "names": ("m",), **fields}
            service = build_service(ServerConfig(**given, behaviour=behaviour))  # type: ignore[arg-type]
            runner = web.AppRunner(
                build_app(service), access_log=None, handler_cancellation=True, shutdown_timeout=1
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            client = httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=20)
            await stack.enter_async_context(client)
            return Running(service, client)

        yield run
