"""The status of a resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ascendllm.api.spec import Spec
from ascendllm.checks.result import is_number
from ascendllm.decide.checks import CheckState, Standing
from ascendllm.decide.decision import Decision
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.desired.services import NOTHING_SERVED, url
from ascendllm.desired.template import served_name
from ascendllm.exceptions import SpecError
from ascendllm.state.observed import Observed
from ascendllm.state.runs import LOAD
from ascendllm.state.times import format_time
from ascendllm.status.conditions import (
    AVAILABLE,
    READY,
    RECONCILING,
    STALLED,
    VALIDATED,
    Condition,
    merge,
)
from ascendllm.status.download import download_status
from ascendllm.status.figures import check_status
from ascendllm.status.handled import handled_value
from ascendllm.status.room import Room, fitted
from ascendllm.status.runtime import runtime_status
from ascendllm.status.scene import Scene
from ascendllm.status.situations import conditions_of
from ascendllm.status.text import printable
from ascendllm.status.warnings import warnings_of

__all__ = ["build_status", "failed_status", "phase", "refused_status"]

_HISTORY = 10


def build_status(
    owner: Owner, spec: Spec, observed: Observed, decision: Decision
) -> dict[str, Any]:
    """The status after a decision was carried out."""
    scene = Scene(spec, observed, decision)
    conditions = conditions_of(scene)
    return printable(fitted(lambda room: _status(owner, scene, conditions, room)))


def _status(owner: Owner, scene: Scene, conditions: list[Condition], room: Room) -> dict[str, Any]:
    spec, observed, decision = scene.spec, scene.observed, scene.decision
    served = decision.served
    revision = decision.revision
    candidate = revision.hash if revision is not None and not scene.serves_spec else None
    states = decision.states if decision.problem is None else None
    status: dict[str, Any] = {
        **_head(observed, conditions, room.condition),
        "url": url(owner, spec.service),
        "model": served_name(spec, owner.name),
        "npus": spec.npus * scene.wanted,
        "verdict": verdict(decision.states),
        "replicas": len(observed.replicas_of(served)),
        "readyReplicas": scene.ready_replicas,
        "selector": ",".join(
            f"{key}={value}" for key, value in names.serving_labels(owner.name, served).items()
        ),
        "servedRevision": served if served != NOTHING_SERVED else None,
        "candidateRevision": candidate,
        "lastHandledRevalidate": handled_value(spec, decision.demand, states, observed),
        "download": download_status(decision.downloads),
        "startup": _startup(observed, decision),
        "runtime": runtime_status(observed, decision, room.devices),
        "validation": {state.check: check_status(state, room) for state in decision.states} or None,
        "history": _history(observed) or None,
        "warnings": warnings_of(scene, room) or None,
    }
    return {key: value for key, value in status.items() if value is not None}


def refused_status(observed: Observed, problem: SpecError) -> dict[str, Any]:
    """The status of a resource whose spec cannot even be read: the rest stays as it was said."""
    before = observed.resource.get("status") or {}
    conditions = [
        Condition(READY, "False", problem.reason, problem.message),
        Condition(STALLED, "True", problem.reason, problem.message),
        *_untouched(before),
    ]
    return printable({**before, **_head(observed, conditions)})


def failed_status(observed: Observed, reason: str, message: str) -> dict[str, Any]:
    """The status while the API server refuses or fails: tried again, and said so meanwhile."""
    before = observed.resource.get("status") or {}
    conditions = [
        Condition(READY, "Unknown", reason, message),
        Condition(RECONCILING, "True", reason, message),
        *_untouched(before),
    ]
    return printable({**before, **_head(observed, conditions)})


def verdict(states: tuple[CheckState, ...]) -> str:
    """The checks' results in one word: the first of these that any check has."""
    if not states:
        return "None"
    if any(
        state.standing in (Standing.RUNNING, Standing.DUE, Standing.RETRYING) for state in states
    ):
        return "Running"
    results = {state.result.result for state in states if state.result is not None}
    for word in ("Failed", "Error", "Inconclusive"):
        if word in results:
            return word
    return "Passed" if all(state.passed for state in states) else "None"


def phase(conditions: list[Condition]) -> str:
    """One word for people."""
    by_type = {condition.type: condition for condition in conditions}
    ready = by_type[READY]
    if ready.reason in ("Suspended", "ScaledToZero"):
        return "Suspended"
    if STALLED in by_type:
        return "Failed"
    if ready.status == "True":
        return "Ready"
    return "Validating" if ready.reason in ("Validating", "Retrying") else "Starting"


def _untouched(before: Mapping[str, Any]) -> list[Condition]:
    """What was said of traffic and proof: a pass that came to nothing has changed neither."""
    return [
        Condition(item["type"], item["status"], item["reason"], item["message"])
        for item in before.get("conditions") or []
        if item["type"] in (AVAILABLE, VALIDATED)
    ]


def _head(
    observed: Observed, conditions: list[Condition], message_bytes: int = 1000
) -> dict[str, Any]:
    generation = int(observed.resource["metadata"].get("generation", 0))
    before = (observed.resource.get("status") or {}).get("conditions") or []
    return {
        "observedGeneration": generation,
        "phase": phase(conditions),
        "conditions": merge(
            conditions,
            before,
            now=format_time(observed.now),
            generation=generation,
            message_bytes=message_bytes,
        ),
    }


def _startup(observed: Observed, decision: Decision) -> Mapping[str, Any] | None:
    if decision.revision is None:
        return None
    for run in observed.runs:
        seconds = run.record.get("launchSeconds")
        if run.revision == decision.revision.hash and is_number(seconds):
            return {"launchSeconds": round(cast(float, seconds), 2)}
    return None


def _history(observed: Observed) -> list[dict[str, Any]]:
    """The last verdicts as they were judged when their runs ended; a record is not rewritten."""
    finished = [
        (run, run.outcome) for run in observed.runs if run.outcome is not None and run.check != LOAD
    ]
    newest = sorted(finished, key=lambda item: item[1].finished_at, reverse=True)[:_HISTORY]
    return [
        {
            "check": run.check,
            "revision": run.revision,
            "result": outcome.result,
            "reason": outcome.reason,
            "finishedAt": outcome.finished_at,
            "report": run.name,
        }
        for run, outcome in newest
    ]
