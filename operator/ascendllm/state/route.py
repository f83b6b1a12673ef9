"""What a Gateway's controller says of the resource's HTTPRoute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ascendllm.state.observed import Observed
from ascendllm.state.stage import quoted_message
from ascendllm.state.times import parse_time

__all__ = ["Route"]

_KIND = "HTTPRoute"
_TELLING = ("Accepted", "ResolvedRefs")
"""The conditions that must hold for requests to come through (Gateway API, RouteConditionType)."""

_ANSWERED_WITHIN = timedelta(minutes=1)


@dataclass(frozen=True)
class Route:
    """A route.

    Attributes:
        works: Whether it is taken; None before anybody has said so.
        message: Why it is not; "" where it is, or may yet be.
    """

    works: bool | None
    message: str

    @classmethod
    def of(cls, observed: Observed) -> Route | None:
        """The resource's; None where it has none."""
        for item in observed.of(_KIND):
            told = list(_conditions(item))
            for condition in told:
                if condition.get("status") == "False":
                    reason = condition.get("reason", "")
                    return cls(False, f"{reason}: {quoted_message(condition)}")
            if any(c.get("type") == "Accepted" and c.get("status") == "True" for c in told):
                return cls(True, "")
            made = parse_time(item["metadata"].get("creationTimestamp"))
            unseen = not (item.get("status") or {}).get("parents")
            if unseen and made is not None and observed.now > made + _ANSWERED_WITHIN:
                return cls(None, "no controller has answered for it")
            return cls(None, "")
        return None


def _conditions(route: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Of the parents' conditions those that tell of the route as it is now.

    What was said of a parent that it had before may stay there.
    """
    namespace, generation = route["metadata"]["namespace"], route["metadata"].get("generation", 0)
    parents = [_place(reference, namespace) for reference in route["spec"]["parentRefs"]]
    for parent in (route.get("status") or {}).get("parents") or []:
        if _place(parent.get("parentRef") or {}, namespace) not in parents:
            continue
        for condition in parent.get("conditions") or []:
            current = condition.get("observedGeneration", generation) >= generation
            if condition.get("type") in _TELLING and current:
                yield condition


def _place(reference: Mapping[str, Any], namespace: str) -> tuple[Any, Any, Any]:
    place = reference.get("namespace", namespace)
    return place, reference.get("name"), reference.get("sectionName")
