"""What servers wrote: read while they load, and once for each crash; nothing of it is kept.

Only what a log tells is remembered, a stage or a cause. A log that can't be read tells nothing: the
kubelet may be away, and what its status says is all that is known then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from ascendllm.desired.template import CONTAINER
from ascendllm.exceptions import ClusterError
from ascendllm.kube.cluster import Cluster
from ascendllm.state.diagnosis import Diagnosis, diagnose
from ascendllm.state.loading import loading_stage
from ascendllm.state.stage import Stage

__all__ = ["PodLogs"]

logger = logging.getLogger(__name__)

_LOADING_LINES = 50
_CRASH_LINES = 400
"""A server with several NPUs prints one trace a process, and the cause stands in the first."""
_TIMEOUT_SECONDS = 5.0
_FRESH_SECONDS = 8.0
_KEPT = 256

_Told = TypeVar("_Told")


class _Known(Generic[_Told]):
    """The last answers by pod, each with the moment until which it counts."""

    def __init__(self) -> None:
        self._items: OrderedDict[tuple[str, int], tuple[float, _Told | None]] = OrderedDict()

    def find(self, key: tuple[str, int]) -> tuple[_Told | None] | None:
        until, told = self._items.get(key, (float("-inf"), None))
        return (told,) if time.monotonic() < until else None

    def put(self, key: tuple[str, int], told: _Told | None, seconds: float) -> None:
        self._items[key] = (time.monotonic() + seconds, told)
        self._items.move_to_end(key)
        while len(self._items) > _KEPT:
            self._items.popitem(last=False)


class PodLogs:
    """Logs of serving pods.

    Args:
        cluster: The API server.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._loading: _Known[Stage] = _Known()
        self._crashes: _Known[Diagnosis] = _Known()

    async def loading(self, namespace: str, pod: str, uid: str, restarts: int) -> Stage | None:
        """How far a server is with loading; asked for at most every few seconds."""
        return await self._told(
            self._loading, (uid, restarts), namespace, pod, loading_stage, _LOADING_LINES, False
        )

    async def crash(self, namespace: str, pod: str, uid: str, restarts: int) -> Diagnosis | None:
        """Why a server crashed that was restarted so often; asked for once."""
        return await self._told(
            self._crashes, (uid, restarts), namespace, pod, diagnose, _CRASH_LINES, True
        )

    async def _told(
        self,
        known: _Known[_Told],
        key: tuple[str, int],
        namespace: str,
        pod: str,
        read: Callable[[str], _Told | None],
        lines: int,
        previous: bool,
    ) -> _Told | None:
        if (found := known.find(key)) is not None:
            return found[0]
        seconds = _FRESH_SECONDS
        told = None
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                text = await self._cluster.log(
                    namespace, pod, CONTAINER, lines=lines, previous=previous
                )
            told = read(text)
            if previous:
                seconds = float("inf")
        except (ClusterError, TimeoutError) as error:
            logger.debug("the log of pod %s/%s is not to be had: %s", namespace, pod, error)
        known.put(key, told, seconds)
        return told
