"""Kubernetes events: one for each transition, for `kubectl describe`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from ascendllm.checks.result import one_line
from ascendllm.desired.names import FIELD_MANAGER

__all__ = ["event"]

_MESSAGE_LIMIT = 1000
_REASON_LIMIT = 128


def event(
    resource: Mapping[str, Any],
    kind: Literal["Normal", "Warning"],
    reason: str,
    message: str,
    now: str,
) -> dict[str, Any]:
    """An event about a resource; its name tells one transition from another.

    Messages quote servers, and end in terminals: only printable characters are left of them.
    """
    reason, message = one_line(reason)[:_REASON_LIMIT], one_line(message)[:_MESSAGE_LIMIT]
    metadata = resource["metadata"]
    mark = hashlib.sha256(f"{metadata['uid']}{reason}{message}{now}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{mark}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": resource["apiVersion"],
            "kind": resource["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
