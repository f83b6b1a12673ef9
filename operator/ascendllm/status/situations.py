"""What the conditions say: a table of situations, of which the first that fits counts.

Each situation is a small pure function that returns its row or None. `Available` is the same for
all of them (`availability`); the rows say the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ascendllm.decide.care import HUNG
from ascendllm.decide.checks import CheckState, Standing
from ascendllm.desired.services import NOTHING_SERVED
from ascendllm.status.care import all_hang, told_of_care
from ascendllm.status.conditions import (
    AVAILABLE,
    READY,
    RECONCILING,
    STALLED,
    VALIDATED,
    Condition,
    Truth,
)
from ascendllm.status.scene import Scene

__all__ = ["SITUATIONS", "conditions_of"]


@dataclass(frozen=True)
class Row:
    """What a situation says; `validated` None leaves that condition out."""

    ready: Truth
    reason: str
    message: str
    reconciling: bool = False
    stalled: bool = False
    validated: tuple[Truth, str, str] | None = None


_REMEDY = (
    "mend the cause, then change the spec or annotate the resource with a new value of "
    "ascendllm.io/revalidate"
)

_NO_WORK = (
    "no pods while there is no work: KEDA starts them again once spec.autoscaling.wakeQuery is "
    "above 0"
)

Situation = Callable[[Scene], Row | None]


def suspended(scene: Scene) -> Row | None:
    """No pods are wanted: that is what is asked for, so a pipeline may go on."""
    if scene.decision.problem is not None or scene.wanted > 0:
        return None
    if scene.spec.suspend:
        reason, message = "Suspended", "no pods and no jobs, as spec.suspend asks"
    elif scene.spec.autoscaling is not None and scene.spec.autoscaling.scale_to_zero:
        reason, message = "ScaledToZero", _NO_WORK
    else:
        reason, message = "ScaledToZero", "no pods, as spec.replicas 0 asks"
    return Row("True", reason, message, validated=_verdict(scene))


def not_to_be_acted_on(scene: Scene) -> Row | None:
    """The spec is refused; what serves goes on serving."""
    problem = scene.decision.problem
    if problem is None:
        return None
    told = "the spec is not acted on"
    if scene.decision.rollout is not None:
        told = "no check runs until this is resolved"
    unknown: tuple[Truth, str, str] = ("Unknown", problem.reason, told)
    return Row("False", problem.reason, problem.message, stalled=True, validated=unknown)


def missed_deadline(scene: Scene) -> Row | None:
    """The revision did not get ready in time."""
    rollout = scene.decision.rollout
    if rollout is None or rollout.missed is None or rollout.missed.outcome is None:
        return None
    outcome = rollout.missed.outcome
    unknown: tuple[Truth, str, str] = ("Unknown", "NotLoaded", "no pod is ready to be checked")
    return Row(
        "False",
        "ProgressDeadlineExceeded",
        f"{outcome.reason}: {outcome.message}; it goes on by itself once its pods are ready",
        stalled=True,
        validated=unknown if scene.spec.validation else None,
    )


def download_failed(scene: Scene) -> Row | None:
    """What the revision reads does not come by itself: what serves goes on serving."""
    rollout = scene.decision.rollout
    if rollout is None or rollout.loaded:
        return None
    for item in scene.decision.downloads:
        if item.stalled and item.stage is not None:
            reason, message = item.stage.reason, item.stage.message
            unknown: tuple[Truth, str, str] = ("Unknown", reason, "no pod is ready to be checked")
            return Row(
                "False",
                reason,
                message,
                stalled=True,
                validated=unknown if scene.decision.states else None,
            )
    return None


def coming_up(scene: Scene) -> Row | None:
    """Scheduling, pulling, loading: for the first time, or again while checks wait for it."""
    rollout = scene.decision.rollout
    if rollout is None or rollout.stage is None or rollout.held:
        return None
    waited_for = scene.changing and scene.under_way and not scene.having(Standing.RUNNING)
    if rollout.loaded and not waited_for:
        return None
    reason, message = told_of_care(scene, rollout.stage.reason, rollout.stage.message)
    unknown: tuple[Truth, str, str] = ("Unknown", reason, "no pod is ready to be checked")
    return Row(
        "Unknown",
        reason,
        message,
        reconciling=True,
        validated=unknown if scene.decision.states else None,
    )


def validating(scene: Scene) -> Row | None:
    """What was changed is being checked."""
    if not (scene.changing and scene.under_way) or scene.having(Standing.RETRYING):
        return None
    message = _progress(scene)
    return Row(
        "Unknown",
        "Validating",
        message,
        reconciling=True,
        validated=("Unknown", "Running", message),
    )


def retrying(scene: Scene) -> Row | None:
    """A check of what was changed reached no verdict and is tried again."""
    again = scene.having(Standing.RETRYING)
    if not (scene.changing and again):
        return None
    message = _told_again(scene)
    return Row(
        "Unknown", "Retrying", message, reconciling=True, validated=("Unknown", "Retrying", message)
    )


def a_check_failed(scene: Scene) -> Row | None:
    """What was changed is not what was asked for."""
    if not scene.failed or scene.under_way or not (scene.changing or not scene.serves_spec):
        return None
    return _failed(scene, scene.failed)


def no_verdict(scene: Scene) -> Row | None:
    """A check of what was changed reached no verdict, and its retries are spent."""
    if not scene.spent or not (scene.changing or not scene.serves_spec):
        return None
    message = f"{_told(scene.spent)}; {_REMEDY}"
    return Row(
        "False",
        "ValidationError",
        message,
        stalled=True,
        validated=("Unknown", "ValidationError", message),
    )


def hung(scene: Scene) -> Row | None:
    """Every pod hangs, and the limits keep them from being replaced now."""
    if not all_hang(scene):
        return None
    _, message = told_of_care(scene, HUNG, "")
    return Row("Unknown", HUNG, message, reconciling=True, validated=_verdict(scene))


def pods_lost(scene: Scene) -> Row | None:
    """Everything was proven, and no pod is ready any more."""
    rollout = scene.decision.rollout
    if rollout is None or rollout.ready > 0:
        return None
    told = rollout.stage.message if rollout.stage is not None else "no pod is ready"
    reason, message = told_of_care(scene, "Unavailable", f"no serving pod is ready: {told}")
    return Row(
        "Unknown",
        reason,
        message,
        reconciling=True,
        validated=_verdict(scene),
    )


def regression(scene: Scene) -> Row | None:
    """What serves has failed a check, run again or judged by a new bound; it keeps its traffic."""
    return _failed(scene, scene.failed) if scene.failed else None


def revalidating(scene: Scene) -> Row | None:
    """What serves is checked again: Ready stays as it was, and so does the verdict."""
    if not scene.under_way:
        return None
    message = _told_again(scene) if scene.having(Standing.RETRYING) else _progress(scene)
    return _as_before(scene, (_truth_before(scene), "Revalidating", message))


def revalidation_without_verdict(scene: Scene) -> Row | None:
    """Checking again what serves reached no verdict: the one before is not taken back by that."""
    if not scene.spent:
        return None
    message = f"{_told(scene.spent)}; {_REMEDY}"
    truth: Truth = "False" if scene.failed_before else "Unknown"
    return _as_before(scene, (truth, "ValidationError", message))


def scaling(scene: Scene) -> Row | None:
    """Only the number of pods differs."""
    rollout = scene.decision.rollout
    if rollout is None or rollout.available:
        return None
    return Row(
        "True",
        "Scaling",
        told_of_care(scene, "", f"{rollout.ready} of {rollout.wanted} pods are ready")[1],
        reconciling=True,
        validated=_verdict(scene),
    )


def proven(scene: Scene) -> Row | None:
    """Served, and everything that was asked for has passed."""
    if not scene.decision.states:
        return Row("True", "NoValidation", "serving; spec.validation asks for no check")
    checks = ", ".join(state.check for state in scene.decision.states)
    return Row("True", "Proven", f"serving; passed: {checks}", validated=_verdict(scene))


SITUATIONS: tuple[Situation, ...] = (
    suspended,
    not_to_be_acted_on,
    missed_deadline,
    download_failed,
    coming_up,
    validating,
    retrying,
    a_check_failed,
    no_verdict,
    hung,
    pods_lost,
    regression,
    revalidating,
    revalidation_without_verdict,
    scaling,
    proven,
)


def conditions_of(scene: Scene) -> list[Condition]:
    """The conditions, in the order in which they are shown."""
    row = next(row for situation in SITUATIONS if (row := situation(scene)) is not None)
    conditions = [Condition(READY, row.ready, row.reason, row.message)]
    if row.reconciling:
        conditions.append(Condition(RECONCILING, "True", row.reason, row.message))
    if row.stalled:
        conditions.append(Condition(STALLED, "True", row.reason, row.message))
    available = _availability(scene, row)
    if available is not None:
        conditions.append(available)
    if row.validated is not None:
        conditions.append(Condition(VALIDATED, *row.validated))
    return conditions


def _availability(scene: Scene, row: Row) -> Condition | None:
    if scene.decision.problem is None and scene.wanted == 0:
        return None
    if scene.ready_replicas > 0:
        return Condition(
            AVAILABLE,
            "True",
            "Serving",
            f"revision {scene.decision.served} serves clients, ready replicas: "
            f"{scene.ready_replicas}",
        )
    if scene.decision.served == NOTHING_SERVED:
        reason, message = "NothingProven", "no revision has been proven yet: clients reach nothing"
    else:
        reason = "NoReadyPods"
        message = f"no pod of the served revision {scene.decision.served} is ready"
    return Condition(AVAILABLE, "False" if row.stalled else "Unknown", reason, message)


def _failed(scene: Scene, states: Sequence[CheckState]) -> Row:
    told = _told(states)
    message = told
    if scene.serves_spec:
        message += "; it keeps its traffic"
    if scene.under_way:
        message += f"; {_progress(scene)}"
    return Row(
        "False",
        "Regression" if scene.serves_spec else "ValidationFailed",
        message,
        stalled=True,
        validated=("False", "ValidationFailed", told),
    )


def _as_before(scene: Scene, validated: tuple[Truth, str, str]) -> Row:
    """Ready as the verdicts in force have it."""
    if scene.failed_before:
        row = _failed(scene, scene.failed_before)
        return replace(row, validated=validated)
    checks = ", ".join(state.check for state in scene.decision.states)
    return Row("True", "Proven", f"serving; passed before: {checks}", validated=validated)


def _progress(scene: Scene) -> str:
    running = scene.having(Standing.RUNNING)
    checks = ", ".join(state.check for state in running) or "the next check"
    done = sum(state.standing is Standing.FINISHED for state in scene.decision.states)
    message = f"running {checks}; {done} of {len(scene.decision.states)} checks are finished"
    return message if scene.held_up is None else f"{message}; {scene.held_up}"


def _verdict(scene: Scene) -> tuple[Truth, str, str] | None:
    """What the checks came to, whatever runs or serves now."""
    states = scene.decision.states
    if not states:
        return None
    if scene.failed:
        return "False", "ValidationFailed", _told(scene.failed)
    if all(state.passed for state in states):
        return "True", "Passed", "passed: " + ", ".join(state.check for state in states)
    if scene.under_way and not scene.changing:
        return _truth_before(scene), "Revalidating", "not every check has its next verdict"
    if scene.spent:
        truth: Truth = "False" if scene.failed_before else "Unknown"
        return truth, "ValidationError", _told(scene.spent)
    return "Unknown", "Unfinished", "not every check has a verdict"


def _truth_before(scene: Scene) -> Truth:
    """What Validated was before the checks began to run again."""
    if scene.failed_before:
        return "False"
    passed = all(state.result_before == "Passed" for state in scene.decision.states)
    return "True" if passed else "Unknown"


def _told(states: Sequence[CheckState]) -> str:
    return "; ".join(
        f"{state.check}: {state.result.message if state.result is not None else 'no result'}"
        for state in states
    )


def _told_again(scene: Scene) -> str:
    again = scene.having(Standing.RETRYING)
    return f"{_told(again)}; attempt {again[0].attempt} follows"
