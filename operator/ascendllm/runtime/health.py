"""Liveness, readiness and metrics over HTTP.

Alive: the work queue's workers look at it. Ready: the lease is ours and the watches have begun, or
another process holds the lease and this one waits for it.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

__all__ = ["serve_health"]

State = Callable[[], str | None]
"""None where all is well, else what is wrong."""


async def serve_health(
    port: int, *, alive: State, ready: State, metrics: Callable[[], bytes]
) -> web.AppRunner:
    """Serve /healthz, /readyz and /metrics on all addresses until the runner is cleaned up."""

    def answer(state: State) -> Callable[[web.Request], object]:
        async def handle(_: web.Request) -> web.Response:
            wrong = state()
            return web.Response(text=wrong or "ok", status=503 if wrong else 200)

        return handle

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.router.add_get("/healthz", answer(alive))  # type: ignore[arg-type]
    app.router.add_get("/readyz", answer(ready))  # type: ignore[arg-type]
    app.router.add_get("/metrics", show_metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
