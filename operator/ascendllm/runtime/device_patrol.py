"""Looks at what the device plugins say of the NPUs on nodes with serving pods.

One small object a node, asked for by its name; nodes without it are left alone for minutes, so that
a cluster with another plugin costs nearly nothing. A fault counts at the second look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from ascendllm.exceptions import ClusterError
from ascendllm.kube.cluster import Cluster
from ascendllm.kube.findings import Findings
from ascendllm.reconcile import Key
from ascendllm.runtime.metrics import Metrics
from ascendllm.state.device_faults import CONFIG_MAP, NAMESPACE, Fault, device_faults

__all__ = ["DevicePatrol"]

logger = logging.getLogger(__name__)

_PERIOD = 10.0
_ABSENT_SECONDS = 300.0


class DevicePatrol:
    """Finds faulty NPUs.

    Args:
        cluster: The API server.
        findings: Which pods there are, and where it is put down which NPUs are faulty.
        wake: Called with each resource that has a pod on a node where that has changed.
        metrics: Counts the faults.
    """

    def __init__(
        self,
        cluster: Cluster,
        findings: Findings,
        wake: Callable[[Key], object],
        metrics: Metrics,
    ) -> None:
        self._cluster = cluster
        self._findings = findings
        self._wake = wake
        self._metrics = metrics
        self._absent: dict[str, float] = {}
        self._seen: dict[str, frozenset[Fault]] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD)
            try:
                await self.look()
            except Exception:  # one strange answer must not end the others' looks
                logger.exception("the look failed")

    async def look(self) -> None:
        """Look once at every node with a serving pod."""
        keys: dict[str, set[Key]] = {}
        for key, pod in self._findings.pods():
            if pod.node:
                keys.setdefault(pod.node, set()).add(key)
        now = time.monotonic()
        self._absent = {node: until for node, until in self._absent.items() if until > now}
        asked = [node for node in sorted(keys) if node not in self._absent]
        answers = await asyncio.gather(*(self._ask(node) for node in asked))
        before = self._findings.faults
        told: dict[str, tuple[Fault, ...]] = {}
        seen: dict[str, frozenset[Fault]] = {}
        for node, found in zip(asked, answers, strict=True):
            if found is None:  # no answer is no news
                seen[node] = self._seen.get(node, frozenset())
                told[node] = before.get(node, ())
                continue
            seen[node] = frozenset(found)
            lasting = self._seen.get(node, frozenset()) | set(before.get(node, ()))
            told[node] = tuple(fault for fault in found if fault in lasting)
        self._seen = seen
        self._findings.set_faults(told)
        self._metrics.faults.set(sum(len(found) for found in told.values()))
        for node in keys:
            if told.get(node, ()) != before.get(node, ()):
                for key in keys[node]:
                    self._wake(key)

    async def _ask(self, node: str) -> tuple[Fault, ...] | None:
        try:
            found = await self._cluster.get("ConfigMap", NAMESPACE, CONFIG_MAP + node)
        except ClusterError as error:
            logger.warning("the NPUs of node %s are not looked at: %s", node, error)
            return None
        if found is None:
            self._absent[node] = time.monotonic() + _ABSENT_SECONDS
            return ()
        return device_faults(found)
