"""The conditions, declared once.

`Ready` is what a pipeline waits on, `Available` and `Validated` say why; `Reconciling` and
`Stalled` are kstatus's and stand in the status only while True. No condition is False in a healthy
or progressing object, since GitOps tools take any False for degraded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ascendllm.status.text import shortened

__all__ = ["AVAILABLE", "READY", "RECONCILING", "STALLED", "VALIDATED", "Condition", "merge"]

READY = "Ready"
AVAILABLE = "Available"
VALIDATED = "Validated"
RECONCILING = "Reconciling"
STALLED = "Stalled"

_REASON_BYTES = 128
"""Some reasons are a kubelet's or an API server's; ours are far shorter."""

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Condition:
    """One condition without its times."""

    type: str
    status: Truth
    reason: str
    message: str


def merge(
    conditions: Iterable[Condition],
    before: Iterable[Mapping[str, Any]],
    *,
    now: str,
    generation: int,
    message_bytes: int = 1000,
) -> list[dict[str, Any]]:
    """The conditions as the status holds them.

    Args:
        conditions: What is the case.
        before: The conditions of the status before; only the times of those with the same status
            are kept.
        now: The time of those that changed.
        generation: The generation that this is said of.
        message_bytes: The longest message.
    """
    times = {
        (item.get("type"), item.get("status")): item.get("lastTransitionTime") for item in before
    }
    return [
        {
            "type": condition.type,
            "status": condition.status,
            "reason": shortened(condition.reason, _REASON_BYTES),
            "message": shortened(condition.message, message_bytes),
            "lastTransitionTime": times.get((condition.type, condition.status)) or now,
            "observedGeneration": generation,
        }
        for condition in conditions
    ]
