"""Which run starts, goes on, is sealed, is stopped, is forgotten.

A run is a ConfigMap; its Job is a means. So a lost Job is made again and goes on from the run's
checkpoint, and a finished Job is deleted only after its result was sealed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ascendllm.api.spec import DataSource, Spec
from ascendllm.checks.result import TERMINATION_BYTES, CheckResult, read_result
from ascendllm.decide.checks import CheckState, Standing, run_hash
from ascendllm.decide.plan import Plan, Ref, earliest
from ascendllm.decide.rollout import Rollout
from ascendllm.desired import names
from ascendllm.desired.job import CONTAINER, validation_job
from ascendllm.desired.owner import Owner
from ascendllm.desired.run import run_access, run_config_map
from ascendllm.exceptions import CheckError
from ascendllm.state.observed import Object, Observed
from ascendllm.state.runs import LOAD, Run, operator_result
from ascendllm.state.times import format_time, parse_time

__all__ = ["Context", "go_on", "seal_finished", "seal_missed_deadline", "sweep"]

_LOST_JOBS = 3
_KEPT_PER_CHECK = 10
_ACCESS = ("ServiceAccount", "Role", "RoleBinding")


@dataclass(frozen=True)
class Context:
    """What the steps of a run are made from."""

    owner: Owner
    spec: Spec
    observed: Observed
    validator_image: str
    mmlu_data: DataSource | None


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
    plan = Plan()
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
            plan += Plan(apply=(_started(context, run), *_access(context, run)))
    if busy or not rollout.available or images is None:
        return plan
    for state in states:
        if state.standing is Standing.RUNNING and state.unfinished is not None:
            return plan + _again(context, state.unfinished, rollout, has_traffic)
        if state.standing is Standing.DUE or (
            state.standing is Standing.RETRYING
            and (state.retry_at is None or state.retry_at <= observed.now)
        ):
            return plan + _start(context, state, revision, rollout, images, has_traffic)
    return plan + Plan(wake_at=earliest(state.retry_at for state in states))


def seal_finished(context: Context) -> Plan:
    """Seal every run whose job is over: its result can't change any more."""
    plan = Plan()
    for run in context.observed.runs:
        if run.finished or run.check == LOAD:
            continue
        job = context.observed.find("Job", run.name)
        ended = _ended(job)
        if ended is None and not (job is None and run.result_text is not None):
            continue
        outcome = _outcome(context, run, ended)
        plan += Plan(apply=(_sealed(context, run, outcome),))
    return plan


def seal_missed_deadline(context: Context, revision: str, rollout: Rollout) -> Plan:
    """Put down that a revision missed its progress deadline, so that it isn't raised again."""
    if not rollout.overdue or rollout.stage is None:
        return Plan()
    started = format_time(context.observed.now)
    inputs_hash = names.digest({"check": LOAD, "revision": revision})
    record = {
        "check": LOAD,
        "run": run_hash(inputs_hash, 1),
        "revision": revision,
        "inputsHash": inputs_hash,
        "startedAt": started,
        "attempt": 1,
    }
    outcome = operator_result(
        LOAD,
        rollout.stage.reason,
        f"not ready within {context.spec.rollout.progress_deadline} "
        f"(spec.rollout.progressDeadline): {rollout.stage.message}",
        started_at=started,
        finished_at=started,
    )
    sealed = outcome.to_json()
    return Plan(apply=(run_config_map(context.owner, record, job_state=None, sealed=sealed),))


def sweep(context: Context, keep_revisions: Collection[str], loaded: str | None) -> Plan:
    """Delete what is over: old runs and revisions, spent jobs, the rights of jobs that ended.

    Args:
        context: What the steps are made from.
        keep_revisions: The spec's, the served and the last proven ones.
        loaded: The revision whose pods are ready now: a missed deadline holds it up no more.
    """
    observed = context.observed
    kept = _kept(observed.runs, keep_revisions)
    newest = {run.check: run.name for run in reversed(observed.runs)}
    unfinished = {run.name for run in observed.runs if not run.finished}
    delete = [
        Ref("ConfigMap", run.name)
        for run in observed.runs
        if run.name not in kept or (run.check == LOAD and run.revision == loaded)
    ]
    for job in observed.of("Job"):
        name = job["metadata"]["name"]
        # The newest job of a check stays for `kubectl logs`.
        if name not in unfinished and name not in newest.values():
            delete.append(Ref("Job", name))
    for kind in _ACCESS:
        for item in observed.of(kind):
            name = item["metadata"]["name"]
            if names.RUN in item["metadata"].get("labels", {}) and name not in unfinished:
                delete.append(Ref(kind, name))
    for revision in observed.revisions:
        if revision.hash not in keep_revisions:
            delete.append(Ref("ControllerRevision", names.child(context.owner.name, revision.hash)))
    return Plan(delete=tuple(delete))


def _kept(runs: Sequence[Run], revisions: Collection[str]) -> set[str]:
    """The runs to keep, of runs that are given newest first.

    Of each kept revision and check every unfinished run, the newest finished and the newest Passed
    one; beyond these the last ten of each check.
    """
    kept: set[str] = set()
    seen: set[tuple[str, str, str]] = set()
    count: Counter[str] = Counter()
    for run in runs:
        marks = {(run.revision, run.check, "finished")}
        if run.outcome is not None and run.outcome.result == "Passed":
            marks.add((run.revision, run.check, "passed"))
        if run.revision in revisions and (not run.finished or marks - seen):
            kept.add(run.name)
        elif count[run.check] < _KEPT_PER_CHECK:
            count[run.check] += 1
            kept.add(run.name)
        if run.finished:
            seen |= marks
    return kept


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
    record = {
        "check": state.check,
        "run": run_hash(state.inputs_hash, state.attempt),
        "revision": revision,
        "inputsHash": state.inputs_hash,
        "imageIDs": list(images),
        "measures": dict(state.measures),
        "attempt": state.attempt,
        "startedAt": format_time(context.observed.now),
        "pods": _restarts(rollout),
        "lostJobs": 0,
        **({"launchSeconds": max(launched)} if launched else {}),
    }
    run = Run("", record, None, None, None, "started")
    return _with_job(context, run, has_traffic)


def _again(context: Context, run: Run, rollout: Rollout, has_traffic: bool) -> Plan:
    """A wanted run without a job: it was lost, or stopped by the operator, or never came to be."""
    if run.job_state != "started":
        if run.job_state == "stopped" or run.lost_jobs == 0:
            # No job asks now: the run goes on with the pods that serve now, of the same images.
            run = replace(run, record={**run.record, "pods": _restarts(rollout)})
        return _with_job(context, run, has_traffic)
    lost = run.lost_jobs + 1
    if lost >= _LOST_JOBS:
        outcome = operator_result(
            run.check,
            "JobLost",
            f"the job of this run went away {lost} times without a result: see who deletes jobs in "
            "this namespace",
            started_at=run.started_at,
            finished_at=format_time(context.observed.now),
        )
        return Plan(apply=(_sealed(context, run, outcome),))
    return _with_job(context, replace(run, record={**run.record, "lostJobs": lost}), has_traffic)


def _restarts(rollout: Rollout) -> dict[str, int]:
    return {pod.uid: pod.restarts for pod in rollout.pods if pod.ready}


def _with_job(context: Context, run: Run, has_traffic: bool) -> Plan:
    owner = context.owner
    job = validation_job(
        owner,
        context.spec,
        check=run.check,
        run=run.run,
        revision=run.revision,
        image=context.validator_image,
        mmlu_data=context.mmlu_data,
        has_traffic=has_traffic,
    )
    # Not `started` yet: a job that the API server refuses to make is not a lost one.
    return Plan(
        apply=(
            run_config_map(owner, run.record, job_state=None),
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
        Ref(kind, run.name) for kind in _ACCESS if context.observed.find(kind, run.name) is not None
    )
    return Plan(apply=apply, delete=tuple(rights))


def _sealed(context: Context, run: Run, outcome: CheckResult) -> dict[str, Any]:
    return run_config_map(
        context.owner, run.record, job_state=run.job_state, sealed=outcome.to_json()
    )


@dataclass(frozen=True)
class _Ended:
    complete: bool
    reason: str
    message: str


def _ended(job: Object | None) -> _Ended | None:
    for condition in ((job or {}).get("status") or {}).get("conditions") or []:
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            return _Ended(
                condition["type"] == "Complete",
                str(condition.get("reason", "")),
                str(condition.get("message", "")),
            )
    return None


def _outcome(context: Context, run: Run, ended: _Ended | None) -> CheckResult:
    """What a run came to: the job's result, unless it cannot be believed."""
    finished_at = format_time(context.observed.now)

    def error(reason: str, message: str) -> CheckResult:
        return operator_result(
            run.check, reason, message, started_at=run.started_at, finished_at=finished_at
        )

    result = None
    unreadable = None
    for text, limit in _texts(context, run):
        try:
            result = read_result(text, limit) if limit else read_result(text)
            break
        except CheckError as problem:
            unreadable = problem
    if result is None:
        if unreadable is not None:
            return error(unreadable.reason, unreadable.message)
        reason = "Timeout" if ended and ended.reason == "DeadlineExceeded" else "JobFailed"
        told = f"{ended.reason}: {ended.message}" if ended is not None else "it is gone"
        return error(
            reason,
            f"the job ended without a result ({told}); see kubectl logs job/{run.name}",
        )
    if result.check != run.check:
        return error(
            "ResultUnreadable", f"the result is of check {result.check!r}, not {run.check!r}"
        )
    changed = _server_changed(context, run)
    if changed is not None and result.result in ("Passed", "Failed"):
        return error("ServerChanged", changed)
    return _in_time(result, run, context.observed.now)


def _in_time(result: CheckResult, run: Run, now: datetime) -> CheckResult:
    """The result with times that can be: the job's clock may be another machine's."""
    finished = parse_time(result.finished_at)
    finished = now if finished is None or finished > now else finished
    started = parse_time(result.started_at)
    started_at = run.started_at if started is None or started > finished else format_time(started)
    return replace(result, started_at=started_at, finished_at=format_time(finished))


def _texts(context: Context, run: Run) -> list[tuple[str, int | None]]:
    """Where a result may stand: the run's ConfigMap, then the job's pods."""
    texts: list[tuple[str, int | None]] = []
    if run.result_text is not None:
        texts.append((run.result_text, None))
    for pod in context.observed.of("Pod"):
        if pod["metadata"].get("labels", {}).get(names.RUN) != run.run:
            continue
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            ended = (status.get("state") or {}).get("terminated") or {}
            if status.get("name") == CONTAINER and ended.get("message"):
                texts.append((str(ended["message"]), TERMINATION_BYTES))
    return texts


def _server_changed(context: Context, run: Run) -> str | None:
    """Whether other containers answered at the run's end than at its start."""
    now_there = {pod.uid: pod for pod in context.observed.pods_of(run.revision)}
    restarted = [pod.name for uid, pod in now_there.items() if pod.restarts != run.pods.get(uid, 0)]
    if restarted:
        return f"pod {restarted[0]} was restarted while the check ran: its figures are of no server"
    gone = sum(uid not in now_there for uid in run.pods)
    wanted = 0 if context.spec.suspend else context.spec.replicas
    if gone > max(0, len(run.pods) - wanted):
        return "a serving pod went away while the check ran: its figures are of no server"
    images = {pod.image_id for pod in now_there.values() if pod.image_id}
    if not images <= set(run.image_ids):
        return f"the serving image changed while the check ran, to {', '.join(sorted(images))}"
    return None
