"""What the evaluations with lm-eval are asked to do."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import cel, rules
from ascendllm.api.sources import DataFolder

__all__ = ["Eval", "Evals"]

_WORD = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$"
"""No comma, no slash: it becomes a part of an option, and lm-eval would take a path for a file."""

_UNIQUE = "each task may stand here once: remove the second one, or ask for another metric by hand"


class Eval(ResourceModel):
    """One task of lm-eval."""

    task: Annotated[str, Field(min_length=1, max_length=64, pattern=_WORD)]
    """The task's name in lm-eval, such as gsm8k."""

    shots: Annotated[int, Field(ge=0, le=64)] | None = None
    """Solved examples before each question; the task's own number when unset."""

    filter: Annotated[str, Field(min_length=1, max_length=64, pattern=_WORD)] | None = None
    """Which of the task's filters is judged, such as strict-match; its only one when unset."""

    metric: Annotated[str, Field(min_length=1, max_length=64, pattern=_WORD)] | None = None
    """Which of the task's metrics is judged, such as exact_match; its only one when unset."""

    baseline: Annotated[float, Field(ge=0, le=100)] | None = None
    """The figure in percent to hold the model against; without one, reaching a figure passes."""

    tolerance: Annotated[float, Field(ge=0, le=100)] = 1.0
    """How many percent points below the baseline still pass."""

    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Only the first so many samples; all when unset."""

    data: DataFolder | None = None
    """A folder that holds the task's data sets under their names on the hub, such as
    openai/gsm8k; the job has no other way to them where it has no network."""


def require_unique(evals: list[Eval]) -> list[Eval]:
    """The list, whose tasks differ.

    Raises:
        ValueError: A task stands there twice.
    """
    tasks = [item.task for item in evals]
    twice = sorted({task for task in tasks if tasks.count(task) > 1})
    if twice:
        raise ValueError(f"{_UNIQUE} ({', '.join(twice)})")
    return evals


Evals = Annotated[
    list[Eval],
    Field(
        min_length=1,
        max_length=10,
        json_schema_extra=rules(
            cel("self.all(a, self.exists_one(b, b.task == a.task))", _UNIQUE),
        ),
    ),
]
"""Several tasks, each once."""
