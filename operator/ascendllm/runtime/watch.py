"""What kopf watches. The handlers only say which resource is to be looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from ascendllm.api.crd import GROUP, PLURAL, VERSION
from ascendllm.desired import names
from ascendllm.kube.client import Credentials
from ascendllm.kube.kinds import CHILDREN, KINDS
from ascendllm.reconcile import Key

__all__ = ["registry", "settings"]

_WATCHED = tuple(kind for kind in CHILDREN if kind not in ("Role", "RoleBinding"))
"""A run's rights are looked at with the run; they change with nothing else."""


def registry(
    add: Callable[[Key], None], credentials: Callable[[], Awaitable[Credentials]]
) -> kopf.OperatorRegistry:
    """Handlers that add the resource of every event: its own, and those of its objects.

    Args:
        add: Called with the resource's key.
        credentials: How to log in; asked again when a token has expired.
    """
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        found = await credentials()
        return kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_path,
            insecure=found.insecure,
            scheme="Bearer" if found.token else None,
            token=found.token,
            certificate_path=found.certificate_path,
            private_key_path=found.private_key_path,
        )

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    def on_resource(namespace: str | None, name: str | None, **_: Any) -> None:
        if namespace and name:
            add((namespace, name))

    def on_child(namespace: str | None, labels: Any, **_: Any) -> None:
        name = labels.get(names.NAME)
        if namespace and name:
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


def settings() -> kopf.OperatorSettings:
    """Kopf as a watcher: it writes nothing, elects nobody and posts no events."""
    result = kopf.OperatorSettings()
    result.watching.server_timeout = 300
    result.watching.client_timeout = 330
    result.watching.connect_timeout = 10
    result.watching.chunk_size = 500
    for kind in _WATCHED:
        about = KINDS[kind]
        result.watching.label_selectors[about.group, about.version, about.plural] = names.SELECTOR
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
