"""What kopf watches. The handlers only say which resource is to be looked at."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import kopf
from kopf._core.engines.peering import Identity

from ascendllm.api.crd import GROUP, KIND, PLURAL, VERSION
from ascendllm.desired import names
from ascendllm.kube.client import ApiServer
from ascendllm.kube.kinds import CHILDREN, KINDS
from ascendllm.reconcile import Key
from ascendllm.runtime.watch_response import reduce_answers

__all__ = ["Watcher", "registry", "settings"]

_WATCHED = tuple(kind for kind in CHILDREN if kind not in ("Role", "RoleBinding"))
"""A run's rights are looked at with the run; they change with nothing else."""


class Watcher:
    """Kopf, with an event loop of its own: when it ends, it cancels all that it finds in its loop.

    Args:
        add: Called, in the watcher's thread, with the key of each resource to be looked at.
        cluster: The API server; asked for another session when a token has expired.
    """

    def __init__(self, add: Callable[[Key], object], cluster: ApiServer) -> None:
        self._registry = registry(add, cluster)
        self._begun = threading.Event()
        self._stopping = threading.Event()
        self._stop: Callable[[], object] | None = None

    @property
    def begun(self) -> bool:
        """Whether kopf has started its watches."""
        return self._begun.is_set()

    def run(self) -> None:
        """Watch until stopped; blocks. Whatever ends a watch for good is raised."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """End `run`, from any thread, also before it has begun."""
        self._stopping.set()
        if self._stop is not None:
            self._stop()

    async def _run(self) -> None:
        # An event of this loop: kopf would wait for one of a thread in a thread that nothing ends.
        loop, flag = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.is_closed() or loop.call_soon_threadsafe(flag.set)
        if self._stopping.is_set():
            return
        await kopf.operator(
            registry=self._registry,
            settings=settings(),
            standalone=True,
            clusterwide=True,
            # Unset, kopf asks for the user's name, and a pod's uid has none.
            identity=Identity("ascendllm"),
            ready_flag=self._begun,
            stop_flag=flag,
        )


def registry(add: Callable[[Key], object], cluster: ApiServer) -> kopf.OperatorRegistry:
    """Handlers that add the resource of every event: its own, and those of its objects.

    Args:
        add: Called with the resource's key.
        cluster: The API server; asked for another session when a token has expired.
    """
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        session = await cluster.session(reduce_answers)
        return kopf.AiohttpSession(server=cluster.server, aiohttp_session=session)

    # Coroutines: kopf would call a plain function in a thread.
    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def on_resource(namespace: str | None, name: str | None, **_: Any) -> None:
        if namespace and name:
            add((namespace, name))

    async def on_child(namespace: str | None, labels: Any, meta: Any, **_: Any) -> None:
        if namespace:
            for name in _users(labels, meta):
                add((namespace, name))

    for kind in _WATCHED:
        about = KINDS[kind]
        kopf.on.event(
            about.group or "",
            about.version,
            about.plural,
            labels={names.MANAGED_BY: names.FIELD_MANAGER},
            registry=handlers,
            id=f"on_{about.plural}",
        )(on_child)
    return handlers


def _users(labels: Any, meta: Any) -> set[str]:
    """The resources that an object is of: one, or those that own a shared one."""
    name = labels.get(names.NAME)
    if name:
        return {str(name)}
    return {
        str(reference.get("name"))
        for reference in meta.get("ownerReferences") or []
        if reference.get("kind") == KIND and reference.get("name")
    }


def settings() -> kopf.OperatorSettings:
    """Kopf as a watcher: it writes nothing, elects nobody and posts no events."""
    result = kopf.OperatorSettings()
    result.watching.server_timeout = 300
    result.watching.client_timeout = 330
    result.watching.connect_timeout = 10
    result.watching.chunk_size = 20
    for kind in _WATCHED:
        about = KINDS[kind]
        result.watching.label_selectors[about.group, about.version, about.plural] = names.SELECTOR
    # A task for each object, which keeps the last event; 5 s of them cost 120 KB a resource.
    result.queueing.idle_timeout = 0.2
    result.networking.request_timeout = 30
    result.networking.connect_timeout = 10
    result.networking.enforce_retry_after = True
    result.scanning.disabled = True
    result.peering.standalone = True
    result.posting.enabled = False
    result.process.ultimate_exiting_timeout = 20
    # Never written in this mode; named so that a stray handler could not write kopf's own.
    result.persistence.finalizer = f"{GROUP}/kopf"
    return result
