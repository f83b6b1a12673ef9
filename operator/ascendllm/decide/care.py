"""Pods that can't go on though they run: an engine that hangs, an NPU that fails.

Kubernetes sees neither. Such a pod is deleted, and its workload makes another, which finds healthy
NPUs, since the device plugin offers no others. Within limits, since a model takes minutes to load
and what is broken may be the model:

- At most three an hour, or as many as there are replicas.
- What came in the place of a replaced pod waits: 5 minutes, then 15.
- A server whose NPU fails but that still answers is moved only where enough healthy NPUs are free,
  one at a time.
- With Volcano a failing NPU is only told: Volcano's own rescheduling moves the pod.

The record of a replacement is written before the pod is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ascendllm.decide.context import Context
from ascendllm.decide.needs import CapacityNeeded
from ascendllm.decide.plan import Plan, Ref, earliest
from ascendllm.desired.replaced import replaced_config_map, replaced_name
from ascendllm.state.capacity import Wants, fits_anywhere
from ascendllm.state.device_faults import SET_ASIDE, Fault, ends_work, unhealthy_devices
from ascendllm.state.pods import Pod
from ascendllm.state.replacements import KEY, Replacement, dump, read_replacements
from ascendllm.state.times import format_time, parse_time

__all__ = ["DEVICE_UNHEALTHY", "HUNG", "Care", "Ill", "take_care"]

HUNG = "Hung"
DEVICE_UNHEALTHY = "DeviceUnhealthy"

_HOUR = timedelta(hours=1)
_PER_HOUR = 3
_PAUSES = (timedelta(), timedelta(minutes=5), timedelta(minutes=15))
_INTENDED = timedelta(minutes=10)
"""How long a recorded replacement is carried out, whatever is known by then."""

_LOOK_AGAIN = timedelta(seconds=30)
_HUNG_GRACE_SECONDS = 30
"""A hung engine finishes no request: nobody waits for it as long as for one that drains."""

_VOLCANO = "volcano"


@dataclass(frozen=True)
class Ill:
    """A pod that can't go on, or not for long.

    Attributes:
        pod: The pod.
        reason: `Hung` or `DeviceUnhealthy`.
        message: What is the matter.
        waits: Why it is not replaced now; "" where it is.
    """

    pod: Pod
    reason: str
    message: str
    waits: str = ""


@dataclass(frozen=True)
class Care:
    """What is done about pods that can't go on.

    Attributes:
        plan: The record, and the pods that are deleted.
        ill: Pods that are not replaced now.
        now: Replacements that begin with this pass.
        last: The newest replacement of the last hour.
        told: Faults that end no work, and those that others see to.
    """

    plan: Plan = field(default_factory=Plan)
    ill: tuple[Ill, ...] = ()
    now: tuple[Replacement, ...] = ()
    last: Replacement | None = None
    told: tuple[str, ...] = ()


def take_care(context: Context) -> Care:
    """Which pods are replaced, and what is said of the others.

    Raises:
        CapacityNeeded: The nodes must be looked at first.
    """
    observed = context.observed
    records = read_replacements(observed.find("ConfigMap", replaced_name(context.owner.name)))
    pods = [p for p in observed.pods if not p.terminating and not observed.inherited(p)]
    if context.spec.suspend:
        pods = []
    items = {item["metadata"].get("uid", ""): item for item in observed.of("Pod")}
    intended = {
        record.uid
        for record in records
        if record.moment is not None and observed.now - record.moment < _INTENDED
    }
    told: list[str] = []
    ill: list[Ill] = []
    delete = [_ref(pod, records) for pod in pods if pod.uid in intended]
    moved = len(delete)
    now: list[Replacement] = []
    wakes: list[datetime | None] = []
    for pod in pods:
        if pod.uid in intended:
            continue
        found = _illness(pod, items.get(pod.uid, {}), context, told)
        if found is None:
            continue
        allowed = _allowed(pod, [*records, *now], context)
        if allowed > observed.now:
            wakes.append(allowed)
            waits = f"it is not replaced before {format_time(allowed)}, as others were lately"
        elif found.reason == DEVICE_UNHEALTHY and pod.ready:
            waits = _stays(pod, items[pod.uid], pods, moved, context)
            wakes.append(observed.now + _LOOK_AGAIN if waits else None)
        else:
            waits = ""
        if waits:
            ill.append(Ill(pod, found.reason, found.message, waits))
            continue
        moved += 1
        at = format_time(observed.now)
        now.append(Replacement(at, pod.name, pod.uid, pod.revision, found.reason, found.message))
        delete.append(_ref(pod, now))
    recent = [r for r in (*records, *now) if _age(r, observed.now) < _HOUR]
    apply: tuple[Mapping[str, Any], ...] = ()
    if records or now:
        apply = (replaced_config_map(context.owner, KEY, dump((*records, *now))),)
    return Care(
        plan=Plan(apply=apply, delete=tuple(delete), wake_at=earliest(wakes)),
        ill=tuple(ill),
        now=tuple(now),
        last=recent[-1] if recent else None,
        told=tuple(told),
    )


def _illness(pod: Pod, item: Mapping[str, Any], context: Context, told: list[str]) -> Ill | None:
    """What keeps a pod from going on; faults that don't are added to `told`."""
    since = context.observed.hung.get(pod.uid)
    if since is not None and pod.ready:
        message = (
            f"the engine of pod {pod.name} has requests and has made no step since {since}, while "
            "/health answers 200"
        )
        return Ill(pod, HUNG, message)
    faults = _faults_of(pod, item, context)
    for fault in faults:
        where = f"pod {pod.name} on node {pod.node}: {fault.told}"
        # A card set aside for later lets what runs go on, but nobody who crashes on it.
        crashes = fault.handling == SET_ASIDE and not pod.ready and pod.restarts > 0
        if not (crashes or ends_work(fault, across_nodes=pod.size > 1)):
            told.append(f"{where}; what runs goes on")
        elif (item.get("spec") or {}).get("schedulerName") == _VOLCANO:
            told.append(f"{where}; Volcano sees to it where the pod's label fault-scheduling says")
        else:
            return Ill(pod, DEVICE_UNHEALTHY, f"an NPU of {where}")
    return None


def _faults_of(pod: Pod, item: Mapping[str, Any], context: Context) -> list[Fault]:
    faults = [
        fault
        for fault in context.observed.faults.get(pod.node, ())
        if fault.device in pod.devices or (fault.kind == "node" and pod.devices)
    ]
    known = {fault.device for fault in faults}
    return faults + [
        Fault(device, "card", "Unhealthy", "")
        for device in unhealthy_devices(item)
        if device not in known
    ]


def _stays(
    pod: Pod, item: Mapping[str, Any], pods: Sequence[Pod], moved: int, context: Context
) -> str:
    """Why a pod that still answers stays where it is; "" where it is to be moved."""
    if moved or any(other.uid != pod.uid and not other.ready for other in pods):
        return "it still answers, and another pod is on its way: one at a time"
    resource = context.spec.npu.resource
    if resource not in context.observed.capacity:
        raise CapacityNeeded(resource)
    wants = Wants.of(item, resource)
    if not fits_anywhere(wants, context.observed.capacity[resource], leaving=pod.uid):
        return (
            f"it still answers, and no node has {wants.count} healthy {resource} free to move it "
            "to: it is moved once there are, or once it does not answer any more"
        )
    return ""


def _allowed(pod: Pod, records: Sequence[Replacement], context: Context) -> datetime:
    """From when on the pod may be replaced."""
    now = context.observed.now
    recent = sorted(now - _age(r, now) for r in records if _age(r, now) < _HOUR)
    most = max(_PER_HOUR, context.spec.replicas)
    allowed = now
    if len(recent) >= most:
        allowed = max(allowed, recent[-most] + _HOUR)
    born = parse_time(pod.created) or now
    before = [moment for moment in recent if moment <= born]
    if before:
        pause = _PAUSES[min(len(before), len(_PAUSES) - 1)]
        allowed = max(allowed, before[-1] + pause)
    return allowed


def _ref(pod: Pod, records: Sequence[Replacement]) -> Ref:
    reason = next((r.reason for r in reversed(records) if r.uid == pod.uid), "")
    return Ref("Pod", pod.name, _HUNG_GRACE_SECONDS if reason == HUNG else None)


def _age(record: Replacement, now: datetime) -> timedelta:
    """How long ago; a moment that is still to come counts as now."""
    moment = record.moment
    return max(timedelta(), now - moment) if moment is not None else _HOUR
