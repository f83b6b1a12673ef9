"""What asks for the checks to run again though nothing has changed.

Two things do: a new value of the annotation `ascendllm.io/revalidate`, and a slot of the cron
schedule `spec.validation.schedule`. Both stand, they are not events: each run records the value and
the slot that stood when it started, and a check whose newest run lacks one of them is due. So an
operator that was away over many slots makes up for them with one run.

A slot counts only from when its schedule came into force, which is noted on the revision's
ControllerRevision: adding or changing a schedule runs nothing by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

from ascendllm.state.observed import REVALIDATE, Object
from ascendllm.state.runs import Run
from ascendllm.state.times import format_time, parse_time

__all__ = ["SCHEDULE", "SINCE", "Demand", "next_slot", "schedule_notes", "standing_demand"]

SCHEDULE = "ascendllm.io/schedule"
"""Annotation of a ControllerRevision: the schedule that is in force."""
SINCE = "ascendllm.io/schedule-since"
"""Annotation of a ControllerRevision: since when it is."""

_LONGEST_VALUE = 253
"""Bytes of a value that are recorded and echoed as they are."""


@dataclass(frozen=True)
class Demand:
    """What stands now.

    Attributes:
        value: The annotation's value, or the hash that stands for a long one; "" for none.
        slot: The last moment of the schedule, as Kubernetes writes it; "" for none.
    """

    value: str = ""
    slot: str = ""

    def is_met_by(self, run: Run) -> bool:
        """Whether the run bears what stands; an absent value or slot asks for nothing."""
        return self.value in ("", run.revalidate) and not self._came_after(run)

    def supersedes(self, run: Run) -> bool:
        """Whether an unfinished run is not to go on.

        A new value does that, since who sets it wants what is there now. A slot doesn't: a check
        that takes longer than from one slot to the next would never end.
        """
        return self.value not in ("", run.revalidate)

    def without_slot(self) -> Demand:
        """The same without the schedule's part."""
        return replace(self, slot="")

    def _came_after(self, run: Run) -> bool:
        return self.slot > run.slot and self.slot > run.started_at


def standing_demand(resource: Object, notes: Mapping[str, str], now: datetime) -> Demand:
    """What asks for the checks now.

    Args:
        resource: The AscendLLM, whose annotation is input.
        notes: As `schedule_notes` gives them.
        now: The moment.
    """
    slot = _last_slot(notes.get(SCHEDULE), parse_time(notes.get(SINCE)), now)
    return Demand(_recorded(_annotation(resource)), slot)


def schedule_notes(schedule: str | None, record: Object | None, now: datetime) -> dict[str, str]:
    """The annotations that say which schedule is in force, and since when.

    Args:
        schedule: `spec.validation.schedule`.
        record: The revision's ControllerRevision as it is there.
        now: Since when a schedule is in force that was not noted before.
    """
    if schedule is None:
        return {}
    noted: Mapping[str, str] = (record or {}).get("metadata", {}).get("annotations") or {}
    since = parse_time(noted.get(SINCE))
    if noted.get(SCHEDULE) != schedule or since is None or since > now:
        since = now
    return {SCHEDULE: schedule, SINCE: format_time(since)}


def next_slot(schedule: str | None, now: datetime) -> datetime | None:
    """The schedule's next moment; None where there is none."""
    return None if schedule is None else _slot(schedule, now.astimezone(UTC))


def _annotation(resource: Object) -> str:
    annotations = resource["metadata"].get("annotations") or {}
    return str(annotations.get(REVALIDATE, ""))


def _recorded(value: str) -> str:
    """A value in bounded size: it is recorded with each run and echoed in the status."""
    encoded = value.encode(errors="replace")
    if len(encoded) <= _LONGEST_VALUE:
        return encoded.decode()
    return f"sha256:{hashlib.sha256(encoded).hexdigest()}"


def _last_slot(schedule: str | None, since: datetime | None, now: datetime) -> str:
    if schedule is None or since is None:
        return ""
    # A slot that is just now counts; going backwards starts before the given moment.
    moment = _slot(schedule, now.astimezone(UTC) + timedelta(seconds=1), backwards=True)
    return format_time(moment) if moment is not None and moment > since else ""


def _slot(schedule: str, start: datetime, *, backwards: bool = False) -> datetime | None:
    try:
        return next(CronSim(schedule, start.replace(microsecond=0), reverse=backwards), None)
    except (CronSimError, OverflowError, ValueError):
        return None
