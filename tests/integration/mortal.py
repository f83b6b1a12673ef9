"""The real API server behind an operator whose writes are counted, and which may die of one."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ascendllm.kube.client import ApiServer

__all__ = ["Killed", "Mortal"]

Object = Mapping[str, Any]


class Killed(BaseException):
    """The operator's process is gone; no handler of its own sees this."""


class Mortal:
    """Passes every request on; dies after its `life`-th write, which is still done."""

    def __init__(self, api: ApiServer, life: int = sys.maxsize) -> None:
        self._api = api
        self._life = life
        self.writes = 0
        self.gets = 0

    async def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        self.gets += 1
        return await self._api.get(kind, namespace, name)

    async def list(self, *about: Any, **form: Any) -> tuple[Object, ...]:
        return await self._api.list(*about, **form)

    async def each(self, *about: Any, **form: Any) -> AsyncIterator[Object]:
        async for item in self._api.each(*about, **form):
            yield item

    async def log(self, *about: Any, **form: Any) -> str:
        return await self._api.log(*about, **form)

    async def apply(self, item: Object, *manager: str) -> Object:
        return self._counted(await self._alive().apply(item, *manager))

    async def apply_status(self, item: Object) -> Object:
        return self._counted(await self._alive().apply_status(item))

    async def create(self, item: Object) -> Object:
        return self._counted(await self._alive().create(item))

    async def replace(self, item: Object) -> Object:
        return self._counted(await self._alive().replace(item))

    async def merge(self, kind: str, namespace: str, name: str, patch: Object) -> Object:
        return self._counted(await self._alive().merge(kind, namespace, name, patch))

    async def delete(self, *about: Any, **form: Any) -> None:
        self._counted(await self._alive().delete(*about, **form))

    def _alive(self) -> ApiServer:
        if self.writes >= self._life:
            raise Killed
        return self._api

    def _counted(self, answer: Any) -> Any:
        self.writes += 1
        if self.writes >= self._life:
            raise Killed
        return answer
