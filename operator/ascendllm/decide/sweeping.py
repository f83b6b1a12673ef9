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


def sweep(
    context: Context, keep_revisions: Collection[str], loaded: str | None, wanted: Collection[str]
) -> Plan:
    """Delete what is over: old runs and revisions, spent jobs, the rights of jobs that ended.

    Args:
        context: What the steps are made from.
        keep_revisions: The spec's, the served and the last proven ones.
        loaded: The revision whose pods are ready now: a missed deadline holds it up no more.
        wanted: The runs that are under way, or would go on, and those that verdicts stand on.
    """
    observed = context.observed
    kept = _kept(observed.runs, keep_revisions, wanted)
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


def _kept(runs: Sequence[Run], revisions: Collection[str], wanted: Collection[str]) -> set[str]:
    """The runs to keep, of runs that are given newest first.

    Those that are wanted now; of each kept revision and check the newest unfinished and the newest
    finished one, the newest with a verdict and the newest Passed one; beyond these the last ten of
    each check. Unfinished ones count too: who changes his mind a thousand times in the middle of a
    run leaves ten.
    """
    kept: set[str] = set(wanted)
    seen: set[tuple[str, str, str]] = set()
    count: Counter[str] = Counter()
    for run in runs:
        marks = {(run.revision, run.check, mark) for mark in _marks(run)}
        if run.revision in revisions and marks - seen:
            kept.add(run.name)
        elif run.name not in kept and count[run.check] < _KEPT_PER_CHECK:
            count[run.check] += 1
            kept.add(run.name)
        seen |= marks
    return kept


def _marks(run: Run) -> set[str]:
    if run.outcome is None:
        return {"unfinished"}
    result = run.outcome.result
    verdict = {"verdict"} if result in ("Passed", "Failed") else set()
    return {"finished"} | verdict | ({"passed"} if result == "Passed" else set())
