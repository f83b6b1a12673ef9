"""Looks at the metrics of serving pods, to find engines that hang.

It only finds; a pass over the resource decides. A pod that does not answer, or answers with
something else, tells nothing: its network may be closed to the operator.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import aiohttp

from ascendllm.api.scalars import parse_duration
from ascendllm.engine.arguments import PORT
from ascendllm.kube.findings import Findings
from ascendllm.reconcile import Key
from ascendllm.runtime.metrics import Metrics
from ascendllm.settings import Settings
from ascendllm.state.pods import Pod
from ascendllm.state.pulse import Beat, Pulse, felt, read_beats
from ascendllm.state.times import format_time

__all__ = ["Watchdog"]

logger = logging.getLogger(__name__)

_PERIOD = 10.0
_TIMEOUT = aiohttp.ClientTimeout(total=5.0)
_AT_ONCE = 16
_LONGEST = 4 * 1024 * 1024


class Watchdog:
    """Finds engines that have requests and make no step.

    Args:
        findings: Which pods there are, and where it is put down which of them hang.
        wake: Called with each resource of which a pod hangs, or does no more.
        settings: For `hangTimeout`.
        metrics: Counts the looks.
        port: Where servers listen.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        findings: Findings,
        wake: Callable[[Key], object],
        settings: Settings,
        metrics: Metrics,
        *,
        port: int = PORT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._findings = findings
        self._wake = wake
        self._metrics = metrics
        self._port = port
        self._clock = clock
        self._limit = parse_duration(settings.hang_timeout).total_seconds()
        self._pulses: dict[tuple[str, int], Pulse] = {}
        self._since: dict[str, str] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        if self._limit == 0:
            return
        period = min(_PERIOD, self._limit / 5)
        # No proxy of the environment: pods are reached directly.
        async with aiohttp.ClientSession(
            timeout=_TIMEOUT, connector=aiohttp.TCPConnector(limit=_AT_ONCE), trust_env=False
        ) as session:
            while True:
                await asyncio.sleep(period)
                try:
                    await self.look(session)
                except Exception:  # one strange answer must not end the others' looks
                    logger.exception("the look failed")

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Look once at every pod that is ready and answers clients."""
        targets = [
            (key, pod)
            for key, pod in self._findings.pods()
            if pod.ready and pod.address and not pod.worker
        ]
        beats = await asyncio.gather(*(self._beats(session, pod) for _, pod in targets))
        now = self._clock()
        pulses: dict[tuple[str, int], Pulse] = {}
        since: dict[str, str] = {}
        news: set[Key] = set()
        for (key, pod), found in zip(targets, beats, strict=True):
            mark = pod.uid, pod.restarts
            pulse = self._pulses.get(mark, Pulse())
            if found:
                pulse = felt(pulse, found, now)
            pulses[mark] = pulse
            still = pulse.hung_seconds(now)
            hangs = still >= self._limit
            if hangs:
                began = datetime.now(UTC) - timedelta(seconds=still)
                since[pod.uid] = self._since.get(pod.uid, format_time(began))
            if hangs != (pod.uid in self._since):
                news.add(key)
            self._metrics.observe_look("hung" if hangs else "alive" if found else "unknown")
        # A pod that is gone is forgotten with its pulse.
        self._pulses, self._since = pulses, since
        self._metrics.hung.set(len(since))
        self._findings.set_hung(since)
        for key in news:
            logger.warning("hung", extra={"namespace": key[0], "name_": key[1]})
            self._wake(key)

    async def _beats(self, session: aiohttp.ClientSession, pod: Pod) -> dict[str, Beat]:
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        try:
            async with session.get(
                f"http://{host}:{self._port}/metrics", allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    return {}
                chunks = bytearray()
                async for chunk in answer.content.iter_chunked(65536):
                    chunks += chunk
                    if len(chunks) > _LONGEST:
                        return {}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            logger.debug("pod %s tells nothing: %s", pod.name, error)
            return {}
        return read_beats(chunks.decode(errors="replace"))
