"""The API server's side of one ConfigMap: get and merge-patch, with the failures it can have."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from ascendllm.checks.run_configmap import ApiServer

PATH = "/api/v1/namespaces/ns/configmaps/run"


@dataclass
class ConfigMapServer:
    """One ConfigMap `run` in namespace `ns`.

    Args:
        data: Its data.
        fail: Statuses to answer with before anything else, first to last.
        immutable: It is sealed.
    """

    data: dict[str, str] = field(default_factory=lambda: {"run.json": "{}"})
    fail: list[int] = field(default_factory=list)
    immutable: bool = False
    token: str = "secret"
    patches: list[dict[str, str]] = field(default_factory=list)
    requests: int = 0
    url: str = ""

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[ConfigMapServer]:
        app = web.Application(client_max_size=3 * 1024 * 1024)
        app.router.add_get(PATH, self._get)
        app.router.add_patch(PATH, self._patch)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    def api(self, folder: Path) -> ApiServer:
        (folder / "token").write_text(self.token + "\n")
        return ApiServer(self.url, "ns", folder / "token", None)

    def _refused(self, request: web.Request) -> web.Response | None:
        self.requests += 1
        if self.fail:
            return status(self.fail.pop(0), "Failing", "on purpose")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized", "who are you")
        return None

    async def _get(self, request: web.Request) -> web.Response:
        return self._refused(request) or self._shown()

    async def _patch(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        if request.content_type != "application/merge-patch+json":
            return status(415, "UnsupportedMediaType", request.content_type)
        patch: dict[str, Any] = await request.json()
        if self.immutable:
            return status(422, "Invalid", "field is immutable when `immutable` is set")
        assert patch.keys() == {"data"}
        self.patches.append(patch["data"])
        self.data |= patch["data"]
        if sum(len(value.encode()) for value in self.data.values()) > 1024 * 1024:
            return status(422, "Invalid", "Too long: must have at most 1048576 bytes")
        return self._shown()

    def _shown(self) -> web.Response:
        return web.json_response(
            {"kind": "ConfigMap", "metadata": {"name": "run"}, "data": self.data}
        )


def status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message}
    return web.json_response(body | {"code": code}, status=code)
