"""What the operator asks of an API server: a narrow protocol over plain dicts.

Typed models are not used, since reading and writing back through them drops the fields that they do
not know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

__all__ = ["Cluster", "Object"]

Object = Mapping[str, Any]


class Cluster(Protocol):
    """An API server. Every method raises `ClusterError` where it refuses or does not answer."""

    async def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """The object, or None where there is none."""

    async def list(
        self,
        kind: str,
        namespace: str | None = None,
        selector: str = "",
        *,
        fields: str = "",
        metadata_only: bool = False,
        where: Callable[[Object], bool] = ...,
    ) -> tuple[Object, ...]:
        """All objects that a label and a field selector match, of one namespace or of all.

        Args:
            kind: The objects' kind.
            namespace: Where they are; None for all namespaces.
            selector: A label selector; "" for all.
            fields: A field selector; "" for all.
            metadata_only: Whether to go without what is beside `metadata`.
            where: Which of the objects to keep; the rest is dropped page by page.
        """

    def each(
        self,
        kind: str,
        namespace: str | None = None,
        selector: str = "",
        *,
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[Object]:
        """The same objects one by one, of any number: one page is in memory at a time."""

    async def log(
        self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False
    ) -> str:
        """The last lines that a container wrote, or the one before it of the same pod."""

    async def apply(self, item: Object, manager: str = ...) -> Object:
        """Server-side apply, as owner of the given fields; a shared object has several."""

    async def merge(self, kind: str, namespace: str, name: str, patch: Object) -> Object:
        """Merge patch: lists are replaced whole."""

    async def apply_status(self, item: Object) -> Object:
        """Server-side apply of an object's status."""

    async def create(self, item: Object) -> Object:
        """Create; a `ClusterError` of reason AlreadyExists where it exists."""

    async def replace(self, item: Object) -> Object:
        """Replace; a `ClusterError` of reason Conflict where `resourceVersion` has moved on."""

    async def delete(
        self,
        kind: str,
        namespace: str,
        name: str,
        uid: str,
        *,
        grace_seconds: int | None = None,
        version: str | None = None,
    ) -> None:
        """Delete, dependents in the background; nothing where it is gone or another by now."""
