"""Finds engines that hang, by the metrics of serving pods.

It only finds them; a pass over the resource decides what to do. A pod that does not answer, or that
answers with something else, proves nothing: its network may be closed to the operator.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ascendllm.api.scalars import parse_duration
from ascendllm.engine.arguments import PORT
from ascendllm.kube.findings import Findings
from ascendllm.reconcile import Key
from ascendllm.runtime.metrics import Metrics
from ascendllm.runtime.sampling import Sample, Sampler
from ascendllm.settings import Settings
from ascendllm.state.pulse import Pulse, felt
from ascendllm.state.times import format_time

__all__ = ["Watchdog"]

logger = logging.getLogger(__name__)

_PERIOD = 10.0


@dataclass(frozen=True)
class _Watched:
    """A pod's server since it was started.

    Attributes:
        pulse: Its engines over the samples so far.
        still: For how many seconds an engine had made no step at the last sample.
    """

    pulse: Pulse = field(default_factory=Pulse)
    still: float = 0.0

    def after(self, sample: Sample) -> _Watched:
        pulse = felt(self.pulse, sample.engines, sample.moment)
        # Not the time since then: while nobody looked, the engine may have made steps.
        return _Watched(pulse, pulse.hung_seconds(sample.moment))


class Watchdog:
    """Finds engines that have requests and make no step.

    Args:
        findings: Which pods exist, and where those that hang are recorded.
        wake: Called with each resource whose pod hangs, or does not hang any more.
        settings: For `hangTimeout`.
        metrics: Counts the looks.
        port: Where servers listen.
        period: Seconds from one look to the next.
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
        period: float = _PERIOD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._findings = findings
        self._wake = wake
        self._metrics = metrics
        self._limit = parse_duration(settings.hang_timeout).total_seconds()
        self._period = min(period, self._limit / 5)
        self._sampler = Sampler(port, self._period, clock)
        self._watched: dict[tuple[str, int], _Watched] = {}
        self._since: dict[str, str] = {}

    async def run(self) -> None:
        """Looks until cancelled."""
        if self._limit == 0:
            return
        while True:
            started = time.monotonic()
            try:
                await self.look()
            except Exception:  # one strange answer must not end the looks
                logger.exception("the look failed")
            await asyncio.sleep(max(0.0, started + self._period - time.monotonic()))

    async def look(self) -> None:
        """Looks once, within the period, at every pod that is ready and answers clients."""
        targets = [
            (key, pod)
            for key, pod in self._findings.pods()
            if pod.ready and pod.address and not pod.worker
        ]
        samples = await self._sampler.sample(targets)
        watched: dict[tuple[str, int], _Watched] = {}
        since: dict[str, str] = {}
        news: set[Key] = set()
        for key, pod in targets:
            mark = pod.uid, pod.restarts
            sample, server = samples.get(pod.uid), self._watched.get(mark, _Watched())
            if sample is not None and sample.engines:
                server = server.after(sample)
            watched[mark] = server
            hangs = server.still >= self._limit
            if hangs:
                began = datetime.now(UTC) - timedelta(seconds=server.still)
                since[pod.uid] = self._since.get(pod.uid, format_time(began))
            if hangs != (pod.uid in self._since):
                news.add(key)
            self._metrics.observe_look(_result(sample, hangs))
        # A pod that is gone is forgotten with its samples.
        self._watched, self._since = watched, since
        self._metrics.hung.set(len(since))
        self._findings.set_hung(since)
        for key in news:
            logger.warning("hung", extra={"namespace": key[0], "name_": key[1]})
            self._wake(key)


def _result(sample: Sample | None, hangs: bool) -> str:
    if sample is None:
        return "skipped"
    if not sample.engines:
        return "unknown"
    return "hung" if hangs else "alive"
