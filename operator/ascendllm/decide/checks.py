"""Where each check stands on a revision.

A check's identity, its inputs hash, holds what its figures depend on: the revision, the images
that serve it, the fields that it measures with and its data (`asked`). What only judges stored
figures is not in it (`judging`). A check is due when it has no finished run with its identity, or
when its newest one lacks what stands to be answered (`demand`).

Of a check's finished runs with its identity the newest gives its result. Two more rules:

- A `Skipped` run leaves the verdict before it in force. Where there is none before it, it counts as
  no verdict: nothing is proven by it, and it is tried again as an Error is.
- `Error` and `Inconclusive` are tried again, `validation.retries` times, after a growing pause. Not
  so where measuring again would change nothing: a bound that does not suit the figures
  (`judging.BOUND_REASONS`), a part of the questions (`Subset`), all of them and a difference from
  the reference that is too small to tell (`Undecided`), or a pattern in the spec that does not
  compile (`BadPattern`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from ascendllm.api.spec import Spec
from ascendllm.checks.result import CheckResult
from ascendllm.decide.asked import BEFORE_LOADING, CHECKS, Measures
from ascendllm.decide.demand import Demand
from ascendllm.decide.judging import BOUND_REASONS, judged
from ascendllm.desired import names
from ascendllm.state.observed import Observed
from ascendllm.state.runs import LOAD, Run
from ascendllm.state.times import parse_time

__all__ = [
    "CHECKS",
    "CheckState",
    "Standing",
    "check_states",
    "image_ids",
    "run_hash",
]

_BLOCKING = frozenset({"dummy", "smoke"})
"""Behind one of these that has not passed, the others would only measure a broken server."""

_VERDICTS = frozenset({"Passed", "Failed"})
_FOR_GOOD = frozenset({"Subset", "Undecided", "BadPattern"})
_LASTING = BOUND_REASONS | _FOR_GOOD
"""Why there is no verdict, and would be none after another run."""
_BACKOFF = timedelta(seconds=10)
_BACKOFF_LIMIT = timedelta(minutes=5)


class Standing(Enum):
    """Where a check stands."""

    PENDING = "Pending"
    """It waits: no image runs yet that it could measure, or a check before it must pass first."""
    DUE = "Due"
    """A run should start."""
    RUNNING = "Running"
    """A run is unfinished."""
    RETRYING = "Retrying"
    """No verdict, and another attempt is allowed, now or after a pause."""
    FINISHED = "Finished"
    """A verdict, or no attempts left."""
    BLOCKED = "Blocked"
    """A check before it has not passed and will not be tried again."""


@dataclass(frozen=True)
class CheckState:
    """One check on one revision.

    Attributes:
        check: Its name, of `CHECKS`.
        measures: The fields and data that it measures with.
        inputs_hash: Its identity; None before an image runs.
        standing: Where it stands.
        finished: The newest finished run with this identity.
        unfinished: The run that is under way, or that was stopped and would go on.
        result: What the newest finished run comes to under the present bounds; where that one was
            skipped, the verdict before it.
        measured: The run that `result` is of.
        in_force: The newest verdict, Passed or Failed, that a run with this identity came to.
        before: What it came to before the newest run and the attempts that this is the last of.
        attempt: The number of the next attempt, from 1.
        serial: The number of the next run with this identity, from 1.
        retry_at: When the next attempt may start.
    """

    check: str
    measures: Measures
    inputs_hash: str | None
    standing: Standing
    finished: Run | None = None
    unfinished: Run | None = None
    result: CheckResult | None = None
    measured: Run | None = None
    in_force: CheckResult | None = None
    before: CheckResult | None = None
    attempt: int = 1
    serial: int = 1
    retry_at: datetime | None = None

    @property
    def passed(self) -> bool:
        """Whether its verdict is Passed: nothing else counts as that."""
        return self.result is not None and self.result.result == "Passed"

    @property
    def failed(self) -> bool:
        """Whether its verdict is Failed."""
        return self.result is not None and self.result.result == "Failed"

    @property
    def spent(self) -> bool:
        """Whether no verdict was reached and none will be."""
        return self.standing is Standing.FINISHED and not self.passed and not self.failed

    @property
    def result_before(self) -> str | None:
        """What it had come to before the attempts that are under way now."""
        again = self.standing is Standing.RETRYING or (
            self.unfinished is not None and self.unfinished.attempt > 1
        )
        result = self.before if again else self.result
        return result.result if result is not None else None

    @property
    def under_way(self) -> bool:
        """Whether something is still to come."""
        return self.standing not in (Standing.FINISHED, Standing.BLOCKED)


def image_ids(revision: str, available: bool, observed: Observed) -> tuple[str, ...] | None:
    """The images that serve a revision.

    They are looked at only while all wanted pods are ready; otherwise the newest run's stand, and
    None says that there is none.
    """
    if available:
        return tuple(sorted({pod.image_id for pod in observed.pods_of(revision)}))
    newest = next(
        (
            run
            for run in observed.runs
            if run.revision == revision and run.check != LOAD and run.check not in BEFORE_LOADING
        ),
        None,
    )
    return newest.image_ids if newest is not None else None


def run_hash(inputs_hash: str, serial: int, demand: Demand) -> str:
    """A run's name among its check's runs."""
    return names.digest([inputs_hash, demand.value, demand.slot, serial])


def check_states(
    spec: Spec,
    asked: Mapping[str, Measures],
    revision: str,
    images: Sequence[str] | None,
    demand: Demand,
    observed: Observed,
) -> tuple[CheckState, ...]:
    """Where every asked check stands on the revision.

    What runs before loading is left out where the model has loaded without it.

    Raises:
        LookupNeeded: Something must be looked up before a stored figure can be judged.
    """
    retries = spec.validation.retries if spec.validation else 0
    states: list[CheckState] = []
    held: Standing | None = None
    raised = observed.raised(revision)
    for check, measures in asked.items():
        if check in BEFORE_LOADING:
            state = _with_results(spec, check, measures, revision, (), observed)
            if raised and state.finished is None:
                continue
            asks = Demand() if raised else demand.without_slot()
            state = _standing(state, asks, retries, observed)
        elif images is None:
            state = CheckState(check, measures, None, Standing.PENDING)
        else:
            state = _with_results(spec, check, measures, revision, images, observed)
            state = _standing(state, demand, retries, observed)
        if held is not None and not _stays(state, held, observed):
            state = replace(state, standing=held)
        states.append(state)
        if check in _BLOCKING and state.standing is not Standing.FINISHED:
            held = Standing.PENDING
        elif check in _BLOCKING and not state.passed:
            held = Standing.BLOCKED
    return tuple(states)


def _stays(state: CheckState, held: Standing, observed: Observed) -> bool:
    """Whether a check stands as it does though one before it holds the others up."""
    if state.standing in (held, Standing.FINISHED):
        return True
    # A run goes on that had begun before: the one before it waits for its end.
    return (
        held is Standing.PENDING
        and state.standing is Standing.RUNNING
        and state.unfinished is not None
        and observed.find("Job", state.unfinished.name) is not None
    )


def _with_results(
    spec: Spec,
    check: str,
    measures: Measures,
    revision: str,
    images: Sequence[str],
    observed: Observed,
) -> CheckState:
    """The state as far as the check's runs with its identity tell it."""
    inputs_hash = names.digest(
        {"check": check, "revision": revision, "imageIDs": list(images), "measures": measures}
    )
    runs = sorted(
        (run for run in observed.runs if run.check == check and run.inputs_hash == inputs_hash),
        key=lambda run: run.serial,
        reverse=True,
    )
    finished = [(run, judged(spec, run, observed)) for run in runs if run.finished]
    verdicts = [item for item in finished if item[1].result in _VERDICTS]
    newest = finished[0] if finished else None
    # A Skipped run leaves the verdict before it in force.
    told = verdicts[0] if verdicts and newest and newest[1].result == "Skipped" else newest
    before = _before_attempts(finished)
    return CheckState(
        check,
        measures,
        inputs_hash,
        Standing.DUE,
        finished=newest[0] if newest else None,
        unfinished=runs[0] if runs and not runs[0].finished else None,
        result=told[1] if told else None,
        measured=told[0] if told else None,
        in_force=verdicts[0][1] if verdicts else None,
        before=before,
        serial=runs[0].serial + 1 if runs else 1,
    )


def _before_attempts(finished: Sequence[tuple[Run, CheckResult]]) -> CheckResult | None:
    """What stood before the newest run and the attempts that it is the last of."""
    first = next((n for n, (run, _) in enumerate(finished) if run.attempt == 1), len(finished))
    earlier = [result for _, result in finished[first + 1 :]]
    if not earlier or earlier[0].result != "Skipped":
        return earlier[0] if earlier else None
    return next((result for result in earlier if result.result in _VERDICTS), earlier[0])


def _standing(state: CheckState, demand: Demand, retries: int, observed: Observed) -> CheckState:
    if state.unfinished is not None:
        if demand.supersedes(state.unfinished):
            return replace(state, unfinished=None)
        return replace(state, standing=Standing.RUNNING)
    finished, result = state.finished, state.result
    if finished is None or result is None or not demand.is_met_by(finished):
        return state
    state = replace(state, attempt=finished.attempt + 1)
    lasting = result.reason in _FOR_GOOD or (
        finished.outcome is not None and finished.outcome.reason in _LASTING
    )
    if result.result in _VERDICTS or state.attempt > retries + 1 or lasting:
        return replace(state, standing=Standing.FINISHED)
    return replace(state, standing=Standing.RETRYING, retry_at=_retry_at(state, observed.now))


def _retry_at(state: CheckState, now: datetime) -> datetime | None:
    ended = parse_time(state.result.finished_at) if state.result is not None else None
    if ended is None or ended > now:
        return None
    pause: timedelta = min(_BACKOFF * 2 ** (state.attempt - 2), _BACKOFF_LIMIT)
    return ended + pause
