"""Which pods should run.

Recreate: NPUs are scarce, so the old revision's pods are gone, down to the last terminating one,
before the new revision's workload is applied.

BlueGreen: what serves is kept beside the spec's revision until the client Service selects that one,
which is seen on the next look; only then does the old one drain. Any third revision goes first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ascendllm.api.scalars import parse_duration
from ascendllm.api.spec import Spec
from ascendllm.decide.crashes import last_crash
from ascendllm.decide.demand import Demand
from ascendllm.decide.plan import Plan, Ref
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.desired.services import headless_service
from ascendllm.desired.workload import WORKLOADS, workload
from ascendllm.state.observed import Observed
from ascendllm.state.pods import Pod, Stage, refusal, stage
from ascendllm.state.replicas import replicas
from ascendllm.state.revisions import Revision
from ascendllm.state.runs import LOAD, Run
from ascendllm.state.times import format_time, parse_time

__all__ = ["Rollout", "roll_out"]


@dataclass(frozen=True)
class Rollout:
    """The spec's revision on its way.

    Attributes:
        plan: Its workload and headless Service; what the other revisions still have is deleted.
        wanted: Replicas wanted; 0 while suspended.
        pods: The pods of the revision.
        available: Every wanted replica is ready.
        loaded: It was available since its workload was last raised from 0.
        stage: What it waits for; None when available.
        missed: The sealed run that says that it missed its deadline, as long as it isn't available.
        overdue: It misses its deadline now, and no run says so yet.
        held: It stays at 0 pods, since it would only fail again.
        beside: The served revision that is kept meanwhile; None where nothing is.
        vacant: Pods are wanted, and none is there, nor one of another revision: what is to be done
            before they start can be done.
        crash: What groups crashed of that are made anew; None where none is.
    """

    plan: Plan
    wanted: int
    pods: tuple[Pod, ...]
    available: bool
    loaded: bool
    stage: Stage | None
    missed: Run | None
    overdue: bool
    held: bool
    vacant: bool = False
    beside: str | None = None
    crash: str | None = None

    @property
    def ready(self) -> int:
        """Replicas that are ready."""
        return sum(replica.ready for replica in replicas(self.pods))


def roll_out(
    owner: Owner,
    spec: Spec,
    revision: Revision,
    observed: Observed,
    *,
    refuted: bool,
    demand: Demand | None = None,
    before: Stage | None = None,
    rehearsed: bool = True,
) -> Rollout:
    """The plan for the pods, and how far they are.

    Args:
        owner: Whose pods.
        spec: What is wanted.
        revision: The spec's revision.
        observed: What is there.
        refuted: A check of a revision without clients has failed or reached no verdict, by the
            present bounds, and nothing stands that asks for it again.
        demand: What stands; a new revalidate value has what missed its deadline raised again.
        before: What must be there before a workload that is not there, or at 0, takes NPUs, such
            as the model's files; None where nothing is missing.
        rehearsed: Nothing else needs the NPUs first, such as a check with random weights.
    """
    wanted = spec.wanted
    pods = observed.pods_of(revision.hash)
    ready = sum(replica.ready for replica in observed.replicas_of(revision.hash))
    available = wanted > 0 and ready >= wanted
    live = observed.workload(revision.hash)
    annotations = _annotations(live)
    raised = observed.raised(revision.hash)
    missed = _missed(revision.hash, annotations if raised else None, demand or Demand(), observed)
    beside = _beside(spec, revision, observed)
    staying = {revision.hash, beside}
    others = _others(staying, observed)
    still_there = [
        pod
        for pod in observed.pods
        if (pod.revision not in staying or observed.inherited(pod)) and not pod.finished
    ]

    # What missed its deadline or failed would do so again: raising it anew would only loop.
    held = not raised and (missed is not None or refuted)
    raised_to = 0 if held or not (raised or rehearsed) else wanted
    started_at, loaded_at = _moments(revision.hash, raised_to, available, observed)
    crash = last_crash(revision.hash, observed, available=available) if raised_to else None
    waiting = (live is None and bool(before or others or still_there or not rehearsed)) or (
        not raised and before is not None
    )
    apply = [*_kept(owner, spec, beside, observed), headless_service(owner, revision.hash)]
    if not waiting:
        apply.append(
            workload(
                owner,
                revision.hash,
                revision.template,
                replicas=raised_to,
                started_at=started_at,
                loaded_at=loaded_at,
                progress_deadline=parse_duration(spec.rollout.progress_deadline),
                last_crash=crash,
            )
        )
    deadline = _deadline(spec, None if waiting else started_at)
    late = deadline is not None and observed.now >= deadline and loaded_at is None
    vacant = wanted > 0 and not (held or raised or before or others or still_there)
    return Rollout(
        plan=Plan(
            tuple(apply),
            # What serves goes on serving while something else is still missing.
            () if waiting and before is not None else tuple(others),
            deadline if deadline is not None and loaded_at is None and not late else None,
        ),
        wanted=wanted,
        pods=pods,
        available=available,
        loaded=loaded_at is not None,
        held=held and wanted > 0,
        vacant=vacant,
        beside=beside,
        stage=None
        if available or (vacant and not rehearsed)
        else _stage(spec, pods, live, *((before, still_there) if waiting else ())),
        missed=None if available else missed,
        overdue=late and missed is None,
        crash=crash,
    )


def _missed(
    revision: str, raised: Mapping[str, str] | None, demand: Demand, observed: Observed
) -> Run | None:
    """The run that says that the revision missed its deadline; None where it is another time's.

    Args:
        revision: The revision.
        raised: The annotations of its workload; None while that is at 0.
        demand: What stands.
        observed: What is there.
    """
    for run in observed.runs:
        if run.check == LOAD and run.revision == revision:
            again = demand.supersedes(run)
            if raised is None:
                return None if again else run
            started_at = raised.get(names.STARTED_AT, "")
            earlier = run.started_at < started_at or (again and run.started_at == started_at)
            return None if earlier else run
    return None


def _beside(spec: Spec, revision: Revision, observed: Observed) -> str | None:
    """The served revision that is kept beside the spec's."""
    if spec.rollout.strategy != "BlueGreen" or observed.served in (None, revision.hash):
        return None
    return observed.served


def _kept(
    owner: Owner, spec: Spec, beside: str | None, observed: Observed
) -> Iterator[dict[str, Any]]:
    """What the kept revision runs by, as it was recorded; without a record it is left alone."""
    record = next((known for known in observed.revisions if known.hash == beside), None)
    if record is None:
        return
    wanted = spec.wanted
    ready = sum(replica.ready for replica in observed.replicas_of(record.hash))
    available = wanted > 0 and ready >= wanted
    started_at, loaded_at = _moments(record.hash, wanted, available, observed)
    yield headless_service(owner, record.hash)
    yield workload(
        owner,
        record.hash,
        record.template,
        replicas=wanted,
        started_at=started_at,
        loaded_at=loaded_at,
        progress_deadline=parse_duration(spec.rollout.progress_deadline),
        last_crash=last_crash(record.hash, observed, available=available),
    )


def _moments(
    revision: str, raised_to: int, available: bool, observed: Observed
) -> tuple[str | None, str | None]:
    """When a revision's workload was raised from 0, and when it was first available since."""
    if raised_to == 0:
        return None, None
    now = format_time(observed.now)
    noted = _annotations(observed.workload(revision)) if observed.raised(revision) else {}
    started_at = _past(noted.get(names.STARTED_AT), observed) or now
    loaded_at = _past(noted.get(names.LOADED_AT), observed) or (now if available else None)
    return started_at, loaded_at


def _annotations(item: Mapping[str, Any] | None) -> Mapping[str, str]:
    found: Mapping[str, str] = (item or {}).get("metadata", {}).get("annotations") or {}
    return found


def _others(staying: Collection[str | None], observed: Observed) -> list[Ref]:
    """The workloads of other revisions; a headless Service goes with its workload."""
    refs = []
    for kind in (*WORKLOADS, "Service"):
        for item in observed.of(kind):
            other = item["metadata"].get("labels", {}).get(names.REVISION)
            if other is not None and other not in staying:
                refs.append(Ref.of(item, kind))
    return refs


def _past(text: str | None, observed: Observed) -> str | None:
    """A noted moment, unless somebody has made it one that cannot be."""
    moment = parse_time(text)
    return text if moment is not None and moment <= observed.now else None


def _deadline(spec: Spec, started_at: str | None) -> datetime | None:
    started = parse_time(started_at)
    if started is None:
        return None
    return started + parse_duration(spec.rollout.progress_deadline)


def _stage(
    spec: Spec,
    pods: tuple[Pod, ...],
    live: Mapping[str, Any] | None,
    before: Stage | None = None,
    still_there: Sequence[Pod] = (),
) -> Stage:
    if before is not None:
        return before
    if still_there:
        names_ = ", ".join(sorted(pod.name for pod in still_there)[:3])
        return Stage("Recreating", f"waiting for the old revision's pods to end: {names_}")
    refused = refusal(live) if len(pods) < spec.pods else None
    if refused is None and live is not None and not pods and spec.nodes > 1:
        # A LeaderWorkerSet's status says nothing of pods that the API server refuses.
        sets = f"kubectl describe leaderworkerset,statefulset {live['metadata']['name']}"
        return Stage("Creating", f"0 of {spec.pods} pods exist; should none come, see {sets}")
    return refused or stage(pods, spec.pods)
