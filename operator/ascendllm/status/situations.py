"""What the conditions say: a table of situations, of which the first that fits counts.

Each situation is a small pure function that returns its row or None. `Available` is the same for
all of them (`availability`); the rows say the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ascendllm.api.spec import Spec
from ascendllm.decide.checks import CheckState, Standing
from ascendllm.decide.decision import Decision
from ascendllm.desired import names
from ascendllm.desired.services import NOTHING_SERVED
from ascendllm.state.observed import Observed
from ascendllm.state.pods import held_up
from ascendllm.status.conditions import (
    AVAILABLE,
    READY,
    RECONCILING,
    STALLED,
    VALIDATED,
    Condition,
    Truth,
)

__all__ = ["SITUATIONS", "Scene", "conditions_of"]


@dataclass(frozen=True)
class Scene:
    """What the situations look at."""

    spec: Spec
    observed: Observed
    decision: Decision

    @property
    def serves_spec(self) -> bool:
        """Whether the spec's revision is the served one."""
        revision = self.decision.revision
        return revision is not None and revision.hash == self.decision.served

    @property
    def ready_pods(self) -> int:
        """Ready pods that clients reach."""
        return sum(pod.ready for pod in self.observed.pods_of(self.decision.served))

    @property
    def wanted(self) -> int:
        """Pods that are wanted of the spec's revision."""
        return 0 if self.spec.suspend else self.spec.replicas

    def having(self, *standings: Standing) -> list[CheckState]:
        """The checks that stand so."""
        return [state for state in self.decision.states if state.standing in standings]

    @property
    def held_up(self) -> str | None:
        """What keeps the running check's job from starting, and what to do about it."""
        running = {state.unfinished.run for state in self.decision.states if state.unfinished}
        for pod in self.observed.of("Pod"):
            if pod["metadata"].get("labels", {}).get(names.RUN) not in running:
                continue
            cause = held_up(pod)
            if cause is not None:
                return (
                    f"{cause}; see validatorImage in ConfigMap ascendllm-operator and "
                    "spec.validation (job, mmlu.data); a job that is deleted is made again"
                )
        return None

    @property
    def failed(self) -> list[CheckState]:
        """The checks with the verdict Failed."""
        return [state for state in self.decision.states if state.failed]

    @property
    def spent(self) -> list[CheckState]:
        """The checks that reached no verdict and will reach none."""
        return [state for state in self.decision.states if state.spent]


@dataclass(frozen=True)
class Row:
    """What a situation says; `validated` None leaves that condition out."""

    ready: Truth
    reason: str
    message: str
    reconciling: bool = False
    stalled: bool = False
    validated: tuple[Truth, str, str] | None = None


Situation = Callable[[Scene], Row | None]


def suspended(scene: Scene) -> Row | None:
    """No pods are wanted: that is what is asked for, so a pipeline may go on."""
    if scene.decision.problem is not None or scene.wanted > 0:
        return None
    if scene.spec.suspend:
        reason, message = "Suspended", "no pods and no jobs, as spec.suspend asks"
    else:
        reason, message = "ScaledToZero", "no pods, as spec.replicas 0 asks"
    return Row("True", reason, message, validated=_verdict(scene))


def not_to_be_acted_on(scene: Scene) -> Row | None:
    """The spec is refused; what serves goes on serving."""
    problem = scene.decision.problem
    if problem is None:
        return None
    unknown: tuple[Truth, str, str] = ("Unknown", problem.reason, "the spec is not acted on")
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


def coming_up(scene: Scene) -> Row | None:
    """Scheduling, pulling, loading: for the first time, or again while checks wait for it."""
    rollout = scene.decision.rollout
    if rollout is None or rollout.stage is None or rollout.held:
        return None
    waited_for = _under_way(scene) and not scene.having(Standing.RUNNING)
    if rollout.loaded and not waited_for:
        return None
    stage = rollout.stage
    unknown: tuple[Truth, str, str] = ("Unknown", stage.reason, "no pod is ready to be checked")
    return Row(
        "Unknown",
        stage.reason,
        stage.message,
        reconciling=True,
        validated=unknown if scene.decision.states else None,
    )


def a_check_failed(scene: Scene) -> Row | None:
    """A candidate is not what was asked for; or what serves is not, by a new bound or new data."""
    if not scene.failed or _under_way(scene):
        return None
    message = _told(scene.failed)
    reason = "Regression" if scene.serves_spec else "ValidationFailed"
    if scene.serves_spec:
        message += "; it keeps its traffic"
    return Row(
        "False",
        reason,
        message,
        stalled=True,
        validated=("False", "ValidationFailed", _told(scene.failed)),
    )


def validating(scene: Scene) -> Row | None:
    """Checks are running or due."""
    if not _under_way(scene) or scene.having(Standing.RETRYING):
        return None
    running = scene.having(Standing.RUNNING)
    checks = ", ".join(state.check for state in running) or "the next check"
    done = sum(state.standing is Standing.FINISHED for state in scene.decision.states)
    message = f"running {checks}; {done} of {len(scene.decision.states)} checks are finished"
    if scene.held_up is not None:
        message += f"; {scene.held_up}"
    return Row(
        "Unknown",
        "Validating",
        message,
        reconciling=True,
        validated=("Unknown", "Running", message),
    )


def retrying(scene: Scene) -> Row | None:
    """A check reached no verdict and is tried again."""
    again = scene.having(Standing.RETRYING)
    if not again:
        return None
    message = _told(again) + f"; attempt {again[0].attempt} follows"
    return Row(
        "Unknown", "Retrying", message, reconciling=True, validated=("Unknown", "Retrying", message)
    )


def no_verdict(scene: Scene) -> Row | None:
    """A check reached no verdict, and its retries are spent."""
    if not scene.spent:
        return None
    message = _told(scene.spent) + "; change the spec once the cause is mended"
    return Row(
        "False",
        "ValidationError",
        message,
        stalled=True,
        validated=("Unknown", "ValidationError", message),
    )


def pods_lost(scene: Scene) -> Row | None:
    """Everything was proven, and no pod is ready any more."""
    rollout = scene.decision.rollout
    if rollout is None or rollout.ready > 0:
        return None
    told = rollout.stage.message if rollout.stage is not None else "no pod is ready"
    return Row(
        "Unknown",
        "Unavailable",
        f"no serving pod is ready: {told}",
        reconciling=True,
        validated=_verdict(scene),
    )


def scaling(scene: Scene) -> Row | None:
    """Only the number of pods differs."""
    rollout = scene.decision.rollout
    if rollout is None or rollout.available:
        return None
    return Row(
        "True",
        "Scaling",
        f"{rollout.ready} of {rollout.wanted} pods are ready",
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
    coming_up,
    validating,
    retrying,
    a_check_failed,
    no_verdict,
    pods_lost,
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
    if scene.ready_pods > 0:
        return Condition(
            AVAILABLE,
            "True",
            "Serving",
            f"revision {scene.decision.served} serves clients, ready pods: {scene.ready_pods}",
        )
    if scene.decision.served == NOTHING_SERVED:
        reason, message = "NothingProven", "no revision has been proven yet: clients reach nothing"
    else:
        reason = "NoReadyPods"
        message = f"no pod of the served revision {scene.decision.served} is ready"
    return Condition(AVAILABLE, "False" if row.stalled else "Unknown", reason, message)


def _under_way(scene: Scene) -> bool:
    return bool(scene.having(Standing.RUNNING, Standing.DUE, Standing.PENDING, Standing.RETRYING))


def _verdict(scene: Scene) -> tuple[Truth, str, str] | None:
    """What the checks came to, whatever runs or serves now."""
    states = scene.decision.states
    if not states:
        return None
    if scene.failed:
        return "False", "ValidationFailed", _told(scene.failed)
    if all(state.passed for state in states):
        return "True", "Passed", "passed: " + ", ".join(state.check for state in states)
    if scene.spent:
        return "Unknown", "ValidationError", _told(scene.spent)
    return "Unknown", "Unfinished", "not every check has a verdict"


def _told(states: list[CheckState]) -> str:
    return "; ".join(
        f"{state.check}: {state.result.message if state.result is not None else 'no result'}"
        for state in states
    )
