"""What a decision comes to: objects to apply, objects to delete, and when to look again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["Handover", "Plan", "Ref", "earliest"]


@dataclass(frozen=True, order=True)
class Ref:
    """An object of the resource's namespace."""

    kind: str
    name: str
    grace_seconds: int | None = field(default=None, compare=False)
    """How long a pod may take to end; None: as long as it says itself."""

    @classmethod
    def of(cls, item: Mapping[str, Any], kind: str | None = None) -> Ref:
        """The reference of an object; lists leave out the kind of their items."""
        return cls(kind or item["kind"], item["metadata"]["name"])


@dataclass(frozen=True)
class Handover:
    """A new run goes on from an older one's checkpoint, which goes into its ConfigMap.

    Attributes:
        source: The older run's ConfigMap.
        target: The new one's, which the plan applies.
    """

    source: str
    target: str


@dataclass(frozen=True)
class Plan:
    """Steps of one reconcile; they may be cut off anywhere and begun anew.

    Attributes:
        apply: What is wanted; what is there already in that form is left alone.
        delete: What is not wanted any more.
        wake_at: When time alone changes what is to be done.
        handovers: What is copied as a new run's ConfigMap is made.
        release: Shared objects that are not used any more; the last user's go.
    """

    apply: tuple[Mapping[str, Any], ...] = ()
    delete: tuple[Ref, ...] = ()
    wake_at: datetime | None = None
    handovers: tuple[Handover, ...] = ()
    release: tuple[Ref, ...] = ()

    def __add__(self, other: Plan) -> Plan:
        return Plan(
            self.apply + other.apply,
            self.delete + other.delete,
            earliest((self.wake_at, other.wake_at)),
            self.handovers + other.handovers,
            self.release + other.release,
        )


def earliest(moments: Iterable[datetime | None]) -> datetime | None:
    """The first of the moments that are given."""
    return min((moment for moment in moments if moment is not None), default=None)
