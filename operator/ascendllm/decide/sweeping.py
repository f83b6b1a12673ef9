"""What is over: old runs and revisions, spent jobs, the rights of jobs that ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from ascendllm.decide.context import ACCESS, Context
from ascendllm.decide.plan import Plan, Ref
from ascendllm.decide.sealing import has_ended
from ascendllm.desired import names
from ascendllm.state.runs import LOAD, Run

__all__ = ["sweep"]

_KEPT_PER_CHECK = 10


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
        # The newest job of a check stays for `kubectl logs`, once it has ended.
        logs = name in newest.values() and has_ended(job)
        if name not in unfinished and not logs:
            delete.append(Ref("Job", name))
    for kind in ACCESS:
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
