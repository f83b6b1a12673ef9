"""Where each check stands on a revision.

A check's identity, its inputs hash, holds what its figures depend on: the revision, the images
that serve it, the check's measuring fields and its data. Baseline and tolerance are not in it: they
judge stored figures, so changing them runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from ascendllm.api.sources import DataSource
from ascendllm.api.spec import Spec
from ascendllm.checks.judging.mmlu import judge_mmlu
from ascendllm.checks.result import CheckResult
from ascendllm.desired import names
from ascendllm.state.observed import Observed
from ascendllm.state.runs import LOAD, Run
from ascendllm.state.times import parse_time

__all__ = [
    "CHECKS",
    "CheckState",
    "Standing",
    "asked_checks",
    "check_states",
    "image_ids",
    "judged",
    "run_hash",
]

CHECKS = ("smoke", "bench", "mmlu")
"""In the order in which they run."""

_BLOCKING = frozenset({"smoke"})
"""Behind one of these that has not passed, the others would only measure a broken server."""

_NO_VERDICT = frozenset({"Error", "Inconclusive"})
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
        check: smoke, bench or mmlu.
        measures: The fields and data that it measures with.
        inputs_hash: Its identity; None before an image runs.
        standing: Where it stands.
        finished: The newest finished run with this identity.
        unfinished: The run that is under way, or that was stopped and would go on.
        result: What the newest finished run comes to under the present baseline and tolerance.
        attempt: The number of the next attempt.
        retry_at: When the next attempt may start.
    """

    check: str
    measures: Mapping[str, Any]
    inputs_hash: str | None
    standing: Standing
    finished: Run | None = None
    unfinished: Run | None = None
    result: CheckResult | None = None
    attempt: int = 1
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


def asked_checks(spec: Spec, data: DataSource | None) -> dict[str, dict[str, Any]]:
    """The checks that the spec asks for, in order, each with what it measures with.

    Args:
        spec: The spec.
        data: The data set of mmlu, the resource's own or the operator's.
    """
    validation = spec.validation
    if validation is None:
        return {}
    asked: dict[str, dict[str, Any]] = {}
    if validation.smoke is not None:
        asked["smoke"] = {} if spec.model.kind == "base" else {"kind": spec.model.kind}
    if validation.bench is not None:
        asked["bench"] = _given(validation.bench)
    if validation.mmlu is not None:
        fields = _given(validation.mmlu)
        measuring = {key: fields[key] for key in ("shots",) if key in fields}
        asked["mmlu"] = {**measuring, "data": _given(data) if data is not None else {}}
    return asked


def image_ids(revision: str, available: bool, observed: Observed) -> tuple[str, ...] | None:
    """The images that serve a revision.

    They are looked at only while all wanted pods are ready; otherwise the newest run's stand, and
    None says that there is none.
    """
    if available:
        return tuple(sorted({pod.image_id for pod in observed.pods_of(revision)}))
    newest = next(
        (run for run in observed.runs if run.revision == revision and run.check != LOAD), None
    )
    return newest.image_ids if newest is not None else None


def run_hash(inputs_hash: str, attempt: int, *, revalidate: str = "", slot: str = "") -> str:
    """A run's name among its check's runs."""
    return names.digest([inputs_hash, revalidate, slot, attempt])


def check_states(
    spec: Spec,
    asked: Mapping[str, Mapping[str, Any]],
    revision: str,
    images: Sequence[str] | None,
    observed: Observed,
) -> tuple[CheckState, ...]:
    """Where every asked check stands on the revision."""
    retries = spec.validation.retries if spec.validation else 0
    states: list[CheckState] = []
    held: Standing | None = None
    for check, measures in asked.items():
        state = _state(spec, check, measures, revision, images, retries, observed)
        if held is not None and state.standing not in (Standing.PENDING, Standing.FINISHED):
            state = replace(state, standing=held)
        states.append(state)
        if check in _BLOCKING and state.standing is not Standing.FINISHED:
            held = Standing.PENDING
        elif check in _BLOCKING and not state.passed:
            held = Standing.BLOCKED
    return tuple(states)


def judged(spec: Spec, run: Run) -> CheckResult:
    """A finished run's result under the present baseline and tolerance.

    The job judged with what stood when it ran; its figures stay, its verdict is taken anew.
    """
    outcome = run.outcome
    assert outcome is not None, "only finished runs are judged"  # noqa: S101
    mmlu = spec.validation.mmlu if spec.validation else None
    if run.check != "mmlu" or mmlu is None:
        return outcome
    baseline = mmlu.baseline.model_dump(by_alias=True) if mmlu.baseline is not None else None
    judgement = judge_mmlu(
        {**outcome.figures, "result": outcome.result, "reason": outcome.reason}
        | {"message": outcome.message},
        baseline,
        Decimal(str(mmlu.tolerance)),
    )
    measured = {
        key: value
        for key, value in outcome.figures.items()
        if key not in ("baseline", "baselineAverage", "tolerance", "delta")
    }
    return replace(
        outcome,
        result=judgement.result,
        reason=judgement.reason,
        message=judgement.message,
        figures={**measured, **judgement.figures},
    )


def _state(
    spec: Spec,
    check: str,
    measures: Mapping[str, Any],
    revision: str,
    images: Sequence[str] | None,
    retries: int,
    observed: Observed,
) -> CheckState:
    if images is None:
        return CheckState(check, measures, None, Standing.PENDING)
    inputs_hash = names.digest(
        {"check": check, "revision": revision, "imageIDs": list(images), "measures": measures}
    )
    runs = [run for run in observed.runs if run.check == check and run.inputs_hash == inputs_hash]
    finished = max((run for run in runs if run.finished), key=lambda r: r.attempt, default=None)
    unfinished = next((run for run in runs if not run.finished), None)
    state = CheckState(
        check,
        measures,
        inputs_hash,
        Standing.DUE,
        finished,
        unfinished,
        judged(spec, finished) if finished is not None else None,
        attempt=finished.attempt + 1 if finished is not None else 1,
    )
    if unfinished is not None:
        return replace(state, standing=Standing.RUNNING)
    if state.result is None:
        return state
    if state.result.result in _NO_VERDICT and state.attempt <= retries + 1:
        return replace(state, standing=Standing.RETRYING, retry_at=_retry_at(state, observed.now))
    return replace(state, standing=Standing.FINISHED)


def _retry_at(state: CheckState, now: datetime) -> datetime | None:
    ended = parse_time(state.result.finished_at) if state.result is not None else None
    if ended is None or ended > now:
        return None
    pause: timedelta = min(_BACKOFF * 2 ** (state.attempt - 2), _BACKOFF_LIMIT)
    return ended + pause


def _given(model: Any) -> dict[str, Any]:
    fields: dict[str, Any] = model.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude_none=True
    )
    return fields
