"""What the resource's autoscaler says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ascendllm.state.observed import Observed
from ascendllm.state.stage import quoted_message

__all__ = ["Autoscaler"]

_TELLING = {"HorizontalPodAutoscaler": "ScalingActive", "ScaledObject": "Ready"}
"""The condition of each kind that says whether it scales."""

_SWITCHED_OFF = "ScalingDisabled"
"""A HorizontalPodAutoscaler's reason at 0 replicas, which is as asked."""


@dataclass(frozen=True)
class Autoscaler:
    """An autoscaler.

    Attributes:
        works: Whether it scales; None before it has said so.
        message: Why it does not; "" where it does.
    """

    kind: str
    works: bool | None
    message: str

    @classmethod
    def of(cls, observed: Observed) -> Autoscaler | None:
        """The resource's; None where it has none."""
        for kind, telling in _TELLING.items():
            for item in observed.of(kind):
                return cls._read(kind, _condition(item, telling))
        return None

    @classmethod
    def _read(cls, kind: str, condition: Mapping[str, Any]) -> Autoscaler:
        status, reason = condition.get("status"), str(condition.get("reason", ""))
        if status == "True" or reason == _SWITCHED_OFF:
            return cls(kind, True, "")
        if status != "False":
            return cls(kind, None, "")
        return cls(kind, False, f"{reason}: {quoted_message(condition)}")


def _condition(item: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})
