"""What the evaluations found."""

from __future__ import annotations

from ascendllm.api.model import ResourceModel
from ascendllm.api.status.check import CheckOutcome, CheckStatus

__all__ = ["EvalRow", "EvalsStatus"]


class EvalRow(ResourceModel):
    """A task's figure under one filter and one metric."""

    task: str
    """The task's name in lm-eval."""
    version: str | None = None
    """The task's version."""
    filter: str | None = None
    """How answers were read out of the text."""
    metric: str | None = None
    """What was counted."""
    value: float | None = None
    """The figure, in percent where it is a share."""
    unit: str | None = None
    """raw, where the figure is no share: lm-eval's own number."""
    standard_error: float | None = None
    """Its standard error; shown, never added."""
    shots: int | None = None
    """Solved examples before each question."""
    samples: int | None = None
    """Questions asked."""
    questions: int | None = None
    """Questions of the data set, where they are more."""
    task_hash: str | None = None
    """lm-eval's hash over the task's questions."""
    baseline: float | None = None
    """The figure that this one is held against; in the row that is judged alone."""
    delta: float | None = None
    """This figure less the baseline, in percent points."""
    tolerance: float | None = None
    """How far below the baseline still passes."""
    result: CheckOutcome | None = None
    """What the row that is judged comes to."""


class EvalsStatus(CheckStatus):
    """Tasks of lm-eval."""

    lm_eval_version: str | None = None
    """lm-eval's version."""
    tasks: list[EvalRow] | None = None
    """A row for each task, filter and metric."""
