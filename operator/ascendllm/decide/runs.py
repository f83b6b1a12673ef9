"""Which run starts, goes on, or is stopped.

A run is a ConfigMap; its Job is a means. So a lost Job is made again and goes on from the run's
checkpoint. A run with a reference goes on from that of the run before, where only the tolerance
differs: the same questions are asked in the same order, just more or fewer of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from ascendllm.decide.asked import BEFORE_LOADING, differ_in_tolerance_alone
from ascendllm.decide.checks import CheckState, Standing, run_hash
from ascendllm.decide.context import ACCESS, Context
from ascendllm.decide.demand import next_slot
from ascendllm.decide.job_images import check_image
from ascendllm.decide.plan import Handover, Plan, Ref, earliest
from ascendllm.decide.rollout import Rollout
from ascendllm.decide.sealing import job_lost, start_deadline
from ascendllm.desired import names
from ascendllm.desired.job import validation_job
from ascendllm.desired.run import run_access, run_config_map
from ascendllm.state.observed import Object
from ascendllm.state.pods import runtime_facts
from ascendllm.state.runs import LOAD, Run
from ascendllm.state.times import format_time

__all__ = ["go_on"]

_LOST_JOBS = 3


def go_on(
    context: Context,
    revision: str,
    rollout: Rollout,
    states: Sequence[CheckState],
    images: Sequence[str] | None,
    has_traffic: bool,
) -> Plan:
    """Keep the wanted run under way, or start the next one; never two at a time.

    Runs that are not wanted any more (superseded, or suspended) lose their jobs at once and stay
    unsealed: should they be wanted again, they go on.
    """
    observed = context.observed
    wanted = {state.unfinished.name for state in states if state.unfinished is not None}
    if context.spec.suspend:
        wanted = set()
    plan = Plan(wake_at=_next_slot(context, states))
    # A pod on its way out still asks: what starts beside it would measure both.
    busy = any(_still_asking(pod) for pod in observed.of("Pod"))
    for run in observed.runs:
        if run.finished or run.check == LOAD:
            continue
        job = observed.find("Job", run.name)
        busy = busy or job is not None
        if run.name not in wanted:
            plan += _stop(context, run, job)
        elif job is not None:
            plan += Plan(
                apply=(_started(context, run), *_access(context, run)),
                wake_at=start_deadline(context, run, job),
            )
    if busy:
        return plan
    for state in states:
        before_loading = state.check in BEFORE_LOADING
        if not (rollout.vacant if before_loading else rollout.available and images is not None):
            continue
        if state.standing is Standing.RUNNING and state.unfinished is not None:
            return plan + _again(context, state.unfinished, rollout, has_traffic)
        if state.standing is Standing.DUE or (
            state.standing is Standing.RETRYING
            and (state.retry_at is None or state.retry_at <= observed.now)
        ):
            of_images = () if before_loading or images is None else images
            return plan + _start(context, state, revision, rollout, of_images, has_traffic)
    return plan + Plan(wake_at=earliest(state.retry_at for state in states))


def _next_slot(context: Context, states: Sequence[CheckState]) -> datetime | None:
    validation = context.spec.validation
    if validation is None or not states or context.spec.suspend:
        return None
    return next_slot(validation.schedule, context.observed.now)


def _start(
    context: Context,
    state: CheckState,
    revision: str,
    rollout: Rollout,
    images: Sequence[str],
    has_traffic: bool,
) -> Plan:
    assert state.inputs_hash is not None, "a check that is due has an identity"  # noqa: S101
    launched = [pod.launch_seconds for pod in rollout.pods if pod.launch_seconds is not None]
    demand = context.demand
    run = run_hash(state.inputs_hash, state.serial, demand)
    before = _goes_on_from(context, state, revision, images)
    record = {
        "check": state.check,
        "run": run,
        "revision": revision,
        "inputsHash": state.inputs_hash,
        "imageIDs": list(images),
        "measures": dict(state.measures),
        "attempt": state.attempt,
        "serial": state.serial,
        "revalidate": demand.value,
        "slot": demand.slot,
        "startedAt": format_time(context.observed.now),
        "pods": _restarts(rollout),
        "npus": context.spec.npus * context.spec.wanted,
        "runtime": runtime_facts(rollout.pods),
        "lostJobs": 0,
        **({"launchSeconds": max(launched)} if launched else {}),
        **({"goesOnFrom": before.name} if before is not None else {}),
    }
    name = names.run_name(context.owner.name, state.check, run)
    handovers = () if before is None else (Handover(before.name, name),)
    started = Run(name, record, None, None, None, "started")
    return _with_job(context, started, has_traffic) + Plan(handovers=handovers)


def _goes_on_from(
    context: Context, state: CheckState, revision: str, images: Sequence[str]
) -> Run | None:
    """The newest run whose answers count for this one too: all but the tolerance is alike."""
    if state.finished is not None:
        return None
    for run in context.observed.runs:
        if (
            run.check == state.check
            and run.revision == revision
            and run.image_ids == tuple(images)
            and context.demand.is_met_by(run)
            and differ_in_tolerance_alone(state.measures, run.measures)
        ):
            return run
    return None


def _again(context: Context, run: Run, rollout: Rollout, has_traffic: bool) -> Plan:
    """A wanted run without a job: it was lost, or stopped by the operator, or never came to be."""
    if run.job_state != "started":
        if run.job_state == "stopped" or run.lost_jobs == 0:
            # No job asks now: the run goes on with the pods that serve now, of the same images.
            run = replace(run, record={**run.record, "pods": _restarts(rollout)})
        return _with_job(context, run, has_traffic)
    lost = run.lost_jobs + 1
    if lost >= _LOST_JOBS:
        return job_lost(context, run, lost)
    return _with_job(context, replace(run, record={**run.record, "lostJobs": lost}), has_traffic)


def _restarts(rollout: Rollout) -> dict[str, int]:
    return {pod.uid: pod.restarts for pod in rollout.pods if pod.ready}


def _with_job(context: Context, run: Run, has_traffic: bool) -> Plan:
    owner = context.owner
    image = context.settings.image_of(check_image(run.check))
    assert image is not None, "a check without its image is held back"  # noqa: S101
    job = validation_job(
        owner,
        context.spec,
        check=run.check,
        run=run.run,
        revision=run.revision,
        image=image,
        mmlu_data=context.mmlu_data,
        has_traffic=has_traffic,
        template=context.template,
    )
    # Not `started` yet: a job that the API server refuses to make is not a lost one.
    refused = run.job_started_at if run.job_state is None else None
    record = {**run.record, "jobStartedAt": refused or format_time(context.observed.now)}
    return Plan(
        apply=(
            run_config_map(owner, record, job_state=None),
            *run_access(owner, run.check, run.run),
            job,
        )
    )


def _still_asking(pod: Object) -> bool:
    in_a_run = names.RUN in pod["metadata"].get("labels", {})
    return in_a_run and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _access(context: Context, run: Run) -> tuple[dict[str, Any], ...]:
    return tuple(run_access(context.owner, run.check, run.run))


def _started(context: Context, run: Run) -> dict[str, Any]:
    return run_config_map(context.owner, run.record, job_state="started")


def _stop(context: Context, run: Run, job: Object | None) -> Plan:
    apply: tuple[dict[str, Any], ...] = ()
    if run.job_state != "stopped":
        # First the note, then the deletion: a job that the operator took away is not a lost one.
        apply = (run_config_map(context.owner, run.record, job_state="stopped"),)
    if job is not None:
        return Plan(apply=apply, delete=(Ref("Job", run.name),))
    pods = context.observed.of("Pod")
    if any(_still_asking(pod) and pod["metadata"]["labels"][names.RUN] == run.run for pod in pods):
        # It writes its last checkpoint on its way out, and needs its rights for that.
        return Plan(apply=apply)
    rights = (
        Ref(kind, run.name) for kind in ACCESS if context.observed.find(kind, run.name) is not None
    )
    return Plan(apply=apply, delete=tuple(rights))
