"""What a run comes to, put down for good.

A job's result counts unless it cannot be believed: it is of another check, or other containers
answered at the run's end than at its start. What prevented a result is an `Error` with its cause.
A verdict is sealed as it is judged at that moment, by bounds that the job does not know too, such
as the run before. A reason why a bound can't be applied is not sealed over the job's figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ascendllm.api.scalars import parse_duration
from ascendllm.checks.result import (
    RESULT_BYTES,
    TERMINATION_BYTES,
    CheckResult,
    compact_json,
    read_result,
)
from ascendllm.decide.asked import BEFORE_LOADING
from ascendllm.decide.checks import run_hash
from ascendllm.decide.context import Context
from ascendllm.decide.demand import Demand
from ascendllm.decide.judging import judged
from ascendllm.decide.plan import Plan
from ascendllm.decide.rollout import Rollout
from ascendllm.decide.stages import phases
from ascendllm.desired import names
from ascendllm.desired.job import CONTAINER
from ascendllm.desired.run import run_config_map
from ascendllm.exceptions import CheckError
from ascendllm.state.observed import Object
from ascendllm.state.pods import held_up, own_server_crash
from ascendllm.state.runs import LOAD, Run, operator_result
from ascendllm.state.times import format_time, parse_time

__all__ = [
    "has_ended",
    "job_lost",
    "seal_finished",
    "seal_missed_deadline",
    "start_deadline",
]

_VERDICTS = ("Passed", "Failed")
_VOLUMES = {"configMap": "ConfigMap", "claimName": "claim", "hostPath": "host path"}
_COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"


def seal_finished(context: Context) -> Plan:
    """Seal every run whose job is over, or never began: its result can't change any more."""
    plan = Plan()
    for run in context.observed.runs:
        if run.finished or run.check == LOAD:
            continue
        job = context.observed.find("Job", run.name)
        ended = _ended(job)
        deadline = start_deadline(context, run, job)
        if deadline is not None and deadline <= context.observed.now:
            outcome = _never_began(context, run)
        elif (crash := _own_server_crashed(context, run)) is not None:
            outcome = crash
        elif ended is not None or (job is None and run.result_text is not None):
            outcome = _outcome(context, run, ended)
        else:
            continue
        plan += Plan(apply=(_sealed(context, run, outcome),))
    return plan


def seal_missed_deadline(context: Context, revision: str, rollout: Rollout) -> Plan:
    """Put down that a revision missed its progress deadline, so that it isn't raised again."""
    if not rollout.overdue or rollout.stage is None:
        return Plan()
    started = format_time(context.observed.now)
    inputs_hash = names.digest({"check": LOAD, "revision": revision})
    of_revision = (r for r in context.observed.runs if r.inputs_hash == inputs_hash)
    serial = 1 + max((run.serial for run in of_revision), default=0)
    record = {
        "check": LOAD,
        "run": run_hash(inputs_hash, serial, Demand(context.demand.value)),
        "revision": revision,
        "inputsHash": inputs_hash,
        "startedAt": started,
        "attempt": 1,
        "serial": serial,
        "revalidate": context.demand.value,
    }
    took = phases(rollout.pods, context.observed)
    outcome = operator_result(
        LOAD,
        rollout.stage.reason,
        f"not ready within {context.spec.rollout.progress_deadline} "
        f"(spec.rollout.progressDeadline{'; ' if took else ''}{took}): {rollout.stage.message}",
        started_at=started,
        finished_at=started,
    )
    sealed = outcome.to_json()
    return Plan(apply=(run_config_map(context.owner, record, job_state=None, sealed=sealed),))


def job_lost(context: Context, run: Run, times: int) -> Plan:
    """Put down that a run's jobs went away too often."""
    outcome = operator_result(
        run.check,
        "JobLost",
        f"the job of this run went away {times} times without a result: see who deletes jobs in "
        "this namespace",
        started_at=run.started_at,
        finished_at=format_time(context.observed.now),
    )
    return Plan(apply=(_sealed(context, run, outcome),))


def has_ended(job: Object) -> bool:
    """Whether the Job controller has called it complete or failed."""
    return _ended(job) is not None


def start_deadline(context: Context, run: Run, job: Object | None) -> datetime | None:
    """Until when a job's pod must have begun; None once one has, or where there is no job."""
    if job is None or _ended(job) is not None or run.progress is not None:
        return None
    phases = {(pod.get("status") or {}).get("phase") for pod in context.pods(run)}
    if phases & {"Running", "Succeeded", "Failed"}:
        return None
    started = parse_time(run.job_started_at)
    limit = parse_duration(context.spec.rollout.progress_deadline)
    return started + limit if started is not None else None


def _sealed(context: Context, run: Run, outcome: CheckResult) -> dict[str, Any]:
    return run_config_map(
        context.owner,
        run.record,
        job_state=run.job_state,
        sealed=_as_judged(context, run, outcome).to_json(),
    )


def _as_judged(context: Context, run: Run, outcome: CheckResult) -> CheckResult:
    """The outcome with the verdict of this moment; its figures stay as they were measured."""
    if outcome.result not in _VERDICTS:
        return outcome
    told = judged(context.spec, replace(run, outcome=outcome), context.observed)
    if told.result not in _VERDICTS or told.result == outcome.result:
        return outcome
    sealed = replace(outcome, result=told.result, reason=told.reason, message=told.message)
    # What could not be read back would be no verdict at all.
    return sealed if len(compact_json(sealed.to_json()).encode()) <= RESULT_BYTES else outcome


def _never_began(context: Context, run: Run) -> CheckResult:
    pods = context.pods(run)
    told = next(filter(None, map(held_up, pods)), None) or _being_set_up(run, pods)
    return operator_result(
        run.check,
        "JobNotStarted",
        f"the job did not begin within {context.spec.rollout.progress_deadline} "
        f"(spec.rollout.progressDeadline): {told}",
        started_at=run.started_at,
        finished_at=format_time(context.observed.now),
    )


def _own_server_crashed(context: Context, run: Run) -> CheckResult | None:
    """The result of a check that brings its own server, where that one ends again and again."""
    if run.check not in BEFORE_LOADING:
        return None
    told = next(filter(None, map(own_server_crash, context.pods(run))), None)
    if told is None:
        return None
    return operator_result(
        run.check,
        "ServerCrashed",
        f"the server does not come up with random weights: {told}",
        started_at=run.started_at,
        finished_at=format_time(context.observed.now),
    )


def _being_set_up(run: Run, pods: Sequence[Object]) -> str:
    """Why a pod that nothing is said of does not start: most often a volume can't be mounted."""
    if not pods:
        return "it has made no pod"
    name = pods[0]["metadata"]["name"]
    mounted = ", ".join(sorted(set(_mounted(run.measures)))) or "its run's token"
    return (
        f"pod {name} is still being set up on its node; it mounts {mounted}: see that this is "
        f"there, and kubectl describe pod {name}"
    )


def _mounted(value: object) -> Iterator[str]:
    """The objects that a check's fields name as volumes."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in _VOLUMES and isinstance(item, str):
                yield f"{_VOLUMES[key]} {item}"
            else:
                yield from _mounted(item)
    elif isinstance(value, list):
        for item in value:
            yield from _mounted(item)


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
    if changed is not None and result.result in _VERDICTS:
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
    for pod in context.pods(run):
        # Of several pods that measure together the first merges; the others know their part.
        if (pod["metadata"].get("annotations") or {}).get(_COMPLETION_INDEX, "0") != "0":
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
    wanted = context.spec.pods
    if gone > max(0, len(run.pods) - wanted):
        return "a serving pod went away while the check ran: its figures are of no server"
    images = {pod.image_id for pod in now_there.values() if pod.image_id}
    if not images <= set(run.image_ids):
        return f"the serving image changed while the check ran, to {', '.join(sorted(images))}"
    return None
