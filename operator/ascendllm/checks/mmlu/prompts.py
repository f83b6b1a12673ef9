"""The text that is sent, protocol by protocol.

lmEval: lm-eval v0.4.12, tasks/mmlu/default/_default_template_yaml: the description with one space,
`question.strip()`, the choices untouched, shots the first ones of dev, " A" after "Answer:", and a
blank line between examples. The prompt ends without a space: the answer's token holds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

from ascendllm.checks.mmlu.data import LETTERS, DataSet, Question
from ascendllm.exceptions import SpecError

__all__ = ["PROTOCOLS", "LmEval", "Protocol", "head", "require_shots"]


class Protocol(Interface):
    """How a subject is introduced and a question is put."""

    @property
    def name(self) -> str:
        """As it is written in a resource."""
        ...

    def introduction(self, subject: str) -> str:
        """What stands before the shots."""
        ...

    def asked(self, row: Question) -> str:
        """A question, up to where the letter is due."""
        ...

    def solved(self, row: Question) -> str:
        """A shot: a question with its letter and what separates it from the next."""
        ...


@dataclass(frozen=True, slots=True)
class LmEval:
    """lm-eval's `mmlu`, for base models."""

    name: str = "lmEval"

    def introduction(self, subject: str) -> str:
        """What stands before the shots."""
        topic = subject.replace("_", " ")
        return f"The following are multiple choice questions (with answers) about {topic}.\n\n"

    def asked(self, row: Question) -> str:
        """A question, up to where the letter is due."""
        choices = "".join(
            f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, row.choices, strict=True)
        )
        return f"{row.question.strip()}\n{choices}Answer:"

    def solved(self, row: Question) -> str:
        """A shot: a question with its letter and what separates it from the next."""
        return f"{self.asked(row)} {row.answer}\n\n"


PROTOCOLS: Mapping[str, Protocol] = {"lmEval": LmEval()}


def head(protocol: Protocol, subject: str, shots: Sequence[Question]) -> str:
    """What all questions of a subject share: it is in the server's prefix cache after the first."""
    return protocol.introduction(subject) + "".join(protocol.solved(row) for row in shots)


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
                f"--shots {shots}: {subject} has {have} rows in dev/{subject}_dev.csv; give a "
                "whole data set or fewer shots",
            )
