"""What pods wait for, told so that it can be mended.

Which NPUs are missing where, how far a load is, why a server crashed. What it takes is looked up
only while a pod waits, and not any more once the progress deadline was missed: what was put down
then stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from ascendllm.decide.needs import CapacityNeeded, CrashNeeded, LoadingNeeded
from ascendllm.decide.plan import Plan
from ascendllm.decide.rollout import Rollout
from ascendllm.state.capacity import Wants, extended, shortage
from ascendllm.state.diagnosis import ORPHANED_MEMORY, diagnose
from ascendllm.state.observed import Observed
from ascendllm.state.pods import CRASHING, Pod, Stage, telling
from ascendllm.state.stage import cut, quoted
from ascendllm.state.times import parse_time

__all__ = ["explained", "phases", "with_crash"]

_LOOK_AGAIN = timedelta(seconds=10)
"""Neither a load nor an NPU that becomes free brings about an event of the pod."""
_FOR_LONG = timedelta(minutes=15)
_SELDOM = timedelta(minutes=1)
"""Where a pod has waited for long already, as one more replica than there are NPUs does."""

_BESIDE = (
    "what serves keeps its NPUs meanwhile (spec.rollout.strategy BlueGreen): free as many, or set "
    "Recreate"
)


def explained(rollout: Rollout, observed: Observed) -> Rollout:
    """The rollout with a stage that says more, and the moment at which to look again.

    Raises:
        LookupNeeded: A log, or the nodes, must be looked at first.
    """
    pod = telling(rollout.pods)
    if rollout.stage is None or rollout.missed is not None or pod is None:
        return rollout
    if rollout.stage != pod.stage:
        return rollout  # it waits for something else than its pods
    match pod.stage.reason:
        case "Unschedulable":
            stage = _unschedulable(pod, observed)
            if rollout.beside is not None:
                stage = replace(stage, message=cut(f"{stage.message}; {_BESIDE}"))
        case "Loading":
            stage = _loading(pod, observed)
        case reason if reason == CRASHING:
            return replace(rollout, stage=_crashing(pod, observed))
        case _:
            return rollout
    born = parse_time(pod.created)
    waits_long = born is not None and observed.now - born > _FOR_LONG
    pause = _SELDOM if waits_long else _LOOK_AGAIN
    look_again = Plan(wake_at=observed.now + pause)
    return replace(rollout, stage=stage, plan=rollout.plan + look_again)


def with_crash(rollout: Rollout) -> Rollout:
    """The rollout with what a group crashed of before its present pods came."""
    stage, crash = rollout.stage, rollout.crash
    if stage is None or crash is None or stage.reason == CRASHING:
        return rollout
    told = f"{stage.message}; its group is made anew after a crash: {crash}"
    return replace(rollout, stage=Stage(stage.reason, cut(told)))


def phases(pods: Sequence[Pod], observed: Observed) -> str:
    """How long each phase of the pod that tells most has taken; "" where there is none."""
    pod = telling(pods)
    if pod is None:
        return ""
    marks = [
        ("scheduling", parse_time(pod.created)),
        ("set-up and pull", parse_time(pod.scheduled)),
        ("load", parse_time(pod.began)),
    ]
    known = [(name, at) for name, at in marks if at is not None]
    ends = [at for _, at in known[1:]] + [observed.now]
    spans = [
        f"{name} {_span(end - at)}"
        for (name, at), end in zip(known, ends, strict=True)
        if end >= at
    ]
    return ", ".join(spans)


def _unschedulable(pod: Pod, observed: Observed) -> Stage:
    item = next(i for i in observed.of("Pod") if i["metadata"]["name"] == pod.name)
    asked = extended(item)
    if not asked:
        return pod.stage
    resource = max(sorted(asked), key=lambda name: not name.endswith(("-memory", "-core")))
    if resource not in observed.capacity:
        raise CapacityNeeded(resource)
    told = shortage(Wants.of(item, resource), observed.capacity[resource])
    return Stage(pod.stage.reason, cut(f"{told}; {pod.stage.message}"))


def _loading(pod: Pod, observed: Observed) -> Stage:
    if pod.uid not in observed.loading:
        raise LoadingNeeded(pod.name, pod.uid, pod.restarts)
    found = observed.loading[pod.uid]
    return pod.stage if found is None else Stage(found.reason, f"pod {pod.name}: {found.message}")


def _crashing(pod: Pod, observed: Observed) -> Stage:
    cause = diagnose(pod.last_words)
    if cause is None:
        # The kubelet keeps 2 KiB of a log, and the trace of vLLM's front end alone is longer.
        if pod.uid not in observed.crashes:
            raise CrashNeeded(pod.name, pod.uid, pod.restarts)
        cause = observed.crashes[pod.uid]
    if cause is None:
        return pod.stage
    if cause.reason == ORPHANED_MEMORY:
        told = f"pod {pod.name}, tried {pod.restarts} times: {cause.message}"
        return Stage(ORPHANED_MEMORY, cut(told))
    return Stage(
        pod.stage.reason,
        cut(
            f"{cause.reason}: {cause.message}; {pod.stage.message.split(': ', 1)[0]}: "
            f"{quoted(cause.line)}"
        ),
    )


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{seconds % 60}s" if minutes else f"{seconds}s"
