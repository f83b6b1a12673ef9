"""The ConfigMap `NAME-replaced`: which pods the operator has replaced, and why."""

from __future__ import annotations

from typing import Any

from ascendllm.desired import names
from ascendllm.desired.owner import Owner

__all__ = ["replaced_config_map", "replaced_name"]


def replaced_name(name: str) -> str:
    """The name of a resource's record."""
    return f"{name}-replaced"


def replaced_config_map(owner: Owner, key: str, text: str) -> dict[str, Any]:
    """The ConfigMap, there once a pod was replaced.

    Args:
        owner: Whose pods.
        key: Where the record stands.
        text: The record.
    """
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owner.metadata(replaced_name(owner.name), names.labels(owner.name)),
        "data": {key: text},
    }
