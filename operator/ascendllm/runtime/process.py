"""The operator's process, start to end: settings, health, lease, watches, work, and back again."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from ascendllm import __version__
from ascendllm.api.crd import KIND
from ascendllm.exceptions import ClusterError
from ascendllm.kube.client import ApiServer, connect
from ascendllm.kube.findings import Findings
from ascendllm.kube.lease import Lease
from ascendllm.reconcile import Reconciler
from ascendllm.runtime import watch
from ascendllm.runtime.device_patrol import DevicePatrol
from ascendllm.runtime.health import serve_health
from ascendllm.runtime.metrics import Metrics
from ascendllm.runtime.queue import WorkQueue
from ascendllm.runtime.watchdog import Watchdog
from ascendllm.settings import Settings

__all__ = ["Options", "run_operator"]

logger = logging.getLogger(__name__)

LEASE = "ascendllm-operator"
_STUCK_SECONDS = 60.0
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Options:
    """How the process runs.

    Attributes:
        kubeconfig: A file; None in a pod.
        namespace: Where the Lease is.
        port: Of /healthz, /readyz and /metrics.
        resync_seconds: Every resource is looked at again after this, whatever was seen or missed.
    """

    kubeconfig: str | None
    namespace: str
    port: int
    resync_seconds: float


async def run_operator(settings: Settings, options: Options) -> None:
    """Run until SIGTERM or SIGINT; the Lease is then given back.

    Raises:
        LeaseLostError: Somebody else took the Lease: the process must end.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics()
    async with await connect(options.kubeconfig, observe=metrics.observe_request) as cluster:
        await _Operator(cluster, settings, options, metrics).run(stop)


class _Operator:
    def __init__(
        self, cluster: ApiServer, settings: Settings, options: Options, metrics: Metrics
    ) -> None:
        self._cluster = cluster
        self._options = options
        self._metrics = metrics
        findings = Findings()
        reconciler = Reconciler(
            cluster, settings, findings=findings, observe_replaced=metrics.observe_replaced
        )
        self._queue = WorkQueue(reconciler.reconcile, observe=metrics.observe_pass)
        self._watchdog = Watchdog(findings, self._queue.add, settings, metrics)
        self._patrol = DevicePatrol(cluster, findings, self._queue.add, metrics)
        metrics.queue.set_function(lambda: len(self._queue))
        self._leading = False
        self._watcher: watch.Watcher | None = None

    async def run(self, stop: asyncio.Event) -> None:
        runner = await serve_health(
            self._options.port, alive=self._alive, ready=self._ready, metrics=self._metrics.text
        )
        identity = f"{os.environ.get('POD_NAME', socket.gethostname())}_{uuid.uuid4().hex[:8]}"
        lease = Lease(self._cluster, self._options.namespace, LEASE, identity)
        logger.info("started", extra={"version": __version__, "identity": identity})
        try:
            if not await _until(stop, lease.acquire()):
                return
            try:
                self._leading = True
                self._metrics.leader.set(1)
                await _until(stop, self._lead(lease))
            finally:
                self._leading = False
                self._metrics.leader.set(0)
                await lease.release()
        finally:
            await runner.cleanup()
            logger.info("stopped")

    async def _lead(self, lease: Lease) -> None:
        async with asyncio.TaskGroup() as group:
            # Only a lost Lease ends the process.
            group.create_task(lease.hold())
            for name, run in (
                ("queue", self._queue.run),
                ("watch", self._watch),
                ("resync", self._resync),
                ("watchdog", self._watchdog.run),
                ("device patrol", self._patrol.run),
            ):
                group.create_task(_restarted(name, run))

    async def _watch(self) -> None:
        """Watch by kopf, in a thread: it takes a whole event loop for its own when it ends."""
        loop = asyncio.get_running_loop()
        watcher = watch.Watcher(
            lambda key: loop.call_soon_threadsafe(self._queue.add, key), self._cluster
        )
        working = loop.run_in_executor(None, watcher.run)
        self._watcher = watcher
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            watcher.stop()
            await working
            raise
        finally:
            self._watcher = None
        raise RuntimeError("the watches have ended")

    async def _resync(self) -> None:
        while True:
            try:
                async for item in self._cluster.each(KIND, metadata_only=True):
                    self._queue.add((item["metadata"]["namespace"], item["metadata"]["name"]))
            except ClusterError as error:
                logger.warning("resync failed: %s", error)
            await asyncio.sleep(self._options.resync_seconds)

    def _alive(self) -> str | None:
        silent = self._queue.silent_seconds
        if self._leading and silent > _STUCK_SECONDS:
            return f"no worker has looked at the queue for {silent:.0f} s"
        return None

    def _ready(self) -> str | None:
        if self._leading and (self._watcher is None or not self._watcher.begun):
            return "the watches have not begun"
        return None


async def _restarted(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Runs a background task for good: one object or one answer must not end the process.

    A task that returns is done. A task that fails is started again after a pause, which grows while
    it goes on failing.
    """
    pause = _FIRST_PAUSE
    while True:
        started = time.monotonic()
        try:
            await run()
            return
        except Exception:
            logger.exception("background task failed: %s", name)
        if time.monotonic() - started > _LONGEST_PAUSE:
            pause = _FIRST_PAUSE
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Run until done or stopped; whether it was done. An error of the work is raised."""
    task = asyncio.create_task(work)
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        await task
        return True
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    except BaseExceptionGroup as group:
        logger.warning("while stopping: %s", group)
    return False
