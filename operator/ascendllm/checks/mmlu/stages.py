"""Which questions are asked, in which steps, and in which order.

One step is the plain case. With a reference a run may be judged after a part of the questions: then
there are several, and after each one `enough` may say that no more are needed.

Within a step the questions go out subject by subject, since a subject's questions share their head
(introduction and shots): the server's prefix cache needs to hold one head at a time. No head is
sent ahead of its questions: vLLM 0.18.0 caches a block when it schedules it, so that sixteen
questions that meet a new head together compute it once (measured with heads of 2,400 tokens: 84.9 %
of all tokens came from the cache, with and without the first question sent ahead).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ascendllm.checks.mmlu.checkpoint import Answers
from ascendllm.checks.mmlu.data import DataSet

__all__ = ["Place", "Plan", "Planner", "Stage", "in_order", "whole"]

Stage = Mapping[str, Sequence[int]]
"""The questions of one step: indices into the subject's test rows, by subject."""

Place = tuple[str, int]
"""A question: its subject and its index."""


def _never(_finished: int) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked.

    Args:
        stages: The steps, at least one; no question in two of them.
        enough: Called with the number of finished steps after each but the last: True ends the
            asking. The answers so far are in the `Answers` that the plan was made with.
    """

    stages: Sequence[Stage]
    enough: Callable[[int], bool] = _never

    @property
    def questions(self) -> int:
        """In all steps."""
        return sum(len(indices) for stage in self.stages for indices in stage.values())


Planner = Callable[[DataSet, Answers], Plan]
"""Makes the plan of a run, of the questions that it may ask and the answers that it fills in."""


def whole(data: DataSet, _answers: Answers) -> Plan:
    """Everything in one step."""
    return Plan([{subject: range(len(rows)) for subject, rows in data.test.items()}])


def in_order(stage: Stage, answers: Answers) -> Iterator[Place]:
    """The unanswered questions of a step, subject by subject."""
    for subject, indices in stage.items():
        for index in indices:
            if not answers.has(subject, index):
                yield subject, index
