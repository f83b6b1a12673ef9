"""The resource as its objects see it: name, namespace, and the reference that owns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ascendllm.api.crd import GROUP, KIND, VERSION

__all__ = ["Owner"]


@dataclass(frozen=True)
class Owner:
    """Whose objects are built."""

    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, resource: Mapping[str, Any]) -> Owner:
        """The owner from an AscendLLM as the API server has it."""
        metadata = resource["metadata"]
        return cls(metadata["namespace"], metadata["name"], metadata["uid"])

    @property
    def reference(self) -> dict[str, Any]:
        """The owner reference: deleting the resource deletes the object, operator or no operator.

        `blockOwnerDeletion` stays out, since it needs a permission on the resource's finalizers and
        buys nothing here.
        """
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
        }

    @property
    def share(self) -> dict[str, Any]:
        """The reference of one of several owners; the object goes with the last of them."""
        return {key: value for key, value in self.reference.items() if key != "controller"}

    def metadata(
        self, name: str, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The metadata of an object that this resource owns."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": dict(labels),
            **({"annotations": dict(annotations)} if annotations else {}),
            "ownerReferences": [self.reference],
        }
