"""Objects that several resources use: each applies them as itself, the last one out deletes them.

An owner reference for each, of which the API server keeps one a field manager; none of them is the
controller.
"""

from __future__ import annotations

from typing import Any

from ascendllm.desired import names
from ascendllm.desired.cache import is_retained
from ascendllm.desired.owner import Owner
from ascendllm.kube.cluster import Object
from ascendllm.kube.kinds import KINDS

__all__ = ["cache_of", "given_up", "is_kept_by_owners", "manager_of"]

_FIXED = ("accessModes", "storageClassName", "resources")
"""What a claim cannot be without; the same for everybody."""


def cache_of(item: Object) -> str | None:
    """The cache that a shared object is of; None for one of ours alone."""
    value = (item["metadata"].get("labels") or {}).get(names.CACHE)
    return value if isinstance(value, str) else None


def manager_of(owner: Owner, item: Object) -> str:
    """As whom an object is applied: what resources share, each applies as itself."""
    if cache_of(item) is not None and item["kind"] in ("ConfigMap", "PersistentVolumeClaim"):
        return names.sharing_manager(owner.name)
    return names.FIELD_MANAGER


def is_kept_by_owners(item: Object, live: Object) -> bool:
    """Whether a claim that is to stay would go with somebody who owns it."""
    return is_retained(item) and bool(live["metadata"].get("ownerReferences"))


def given_up(kind: str, live: Object) -> dict[str, Any]:
    """What one who uses a shared object no more applies: nothing of its own, owner included."""
    metadata = {key: live["metadata"][key] for key in ("name", "namespace", "uid")}
    spec = {key: live["spec"][key] for key in _FIXED if key in live.get("spec", {})}
    return {
        "apiVersion": KINDS[kind].api_version,
        "kind": kind,
        "metadata": metadata,
        **({"spec": spec} if spec else {}),
    }
