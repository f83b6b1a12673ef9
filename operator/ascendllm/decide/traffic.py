"""Which revision the client Service selects."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ascendllm.api.spec import Spec
from ascendllm.decide.asked import BEFORE_LOADING
from ascendllm.decide.checks import CheckState
from ascendllm.desired.services import NOTHING_SERVED
from ascendllm.state.observed import Observed

__all__ = ["proven_revisions", "served_revision"]


def served_revision(
    spec: Spec,
    revision: str,
    states: Sequence[CheckState],
    available: bool,
    observed: Observed,
) -> str:
    """The revision that gets traffic.

    With the gate, the spec's revision once its every check has passed; without, once its pods are
    ready. Until then what was selected before stays, also where that has no pods left: a revision
    that was never proven gets no traffic because another one is gone.
    """
    if spec.rollout.gate and states:
        if all(state.passed for state in states):
            return revision
    elif available:
        return revision
    selected = observed.served
    if selected is not None:
        return selected
    # The Service was deleted, or never was: the runs say what was proven.
    proven = proven_revisions([state.check for state in states], observed)
    return proven[0] if proven else NOTHING_SERVED


def proven_revisions(checks: Collection[str], observed: Observed) -> list[str]:
    """The kept revisions whose every check has a Passed run, newest first."""
    checks = set(checks) - BEFORE_LOADING
    if not checks:
        return []
    passed = {
        (run.revision, run.check)
        for run in observed.runs
        if run.outcome is not None and run.outcome.result == "Passed"
    }
    return [
        revision.hash
        for revision in observed.revisions
        if all((revision.hash, check) in passed for check in checks)
    ]
