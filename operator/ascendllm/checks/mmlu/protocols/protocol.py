"""What a protocol says, and what all of them need of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from typing import Protocol as Interface

from ascendllm.checks.mmlu.data import DataSet, Question
from ascendllm.checks.mmlu.protocols.prompt import Prompt
from ascendllm.exceptions import SpecError

__all__ = ["Measures", "Protocol", "require_shots"]

Measures = Literal["letterLogprobs", "generatedLetter"]
"""letterLogprobs: the likeliest of the four letters; generatedLetter: the one that is written."""


class Protocol(Interface):
    """How a subject is introduced, a question put, and its answer taken."""

    @property
    def name(self) -> str:
        """As it is written in a resource."""
        ...

    @property
    def measures(self) -> Measures:
        """What the answer is."""
        ...

    @property
    def window(self) -> int | None:
        """The most tokens of a prompt before shots are dropped; None: no shot ever is."""
        ...

    @property
    def listed(self) -> int | None:
        """Among how many of the likeliest tokens a letter counts; None: wherever it stands."""
        ...

    def head(self, subject: str, shots: Sequence[Question]) -> Prompt:
        """What all questions of a subject share: introduction and solved examples."""
        ...

    def asked(self, row: Question) -> Prompt:
        """A question, up to where the letter is due."""
        ...


def require_shots(data: DataSet, shots: int) -> None:
    """Make sure that each subject has as many dev rows as shots are wanted.

    Raises:
        SpecError: `MissingShots`, naming the subject.
    """
    for subject in data.test:
        have = len(data.dev.get(subject, ()))
        if have < shots:
            raise SpecError(
                "MissingShots",
                f"--shots {shots}: {subject} has {have} dev rows; give a whole data set or fewer "
                "shots",
            )
