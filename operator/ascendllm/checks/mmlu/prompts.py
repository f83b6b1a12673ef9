"""The prompt of each question: its subject's head, then the question.

A head is made once; the questions of a subject share it, so it is in the server's prefix cache.
"""

from __future__ import annotations

from ascendllm.checks.mmlu.data import DataSet
from ascendllm.checks.mmlu.protocols.prompt import Prompt
from ascendllm.checks.mmlu.protocols.protocol import Protocol

__all__ = ["Prompts"]


class Prompts:
    """Makes prompts.

    Args:
        protocol: How they are written.
        data: The questions that are asked, and the solved ones.
        shots: Solved examples before each question.
    """

    def __init__(self, protocol: Protocol, data: DataSet, shots: int) -> None:
        self.protocol = protocol
        self.data = data
        self.shots = shots
        self._heads: dict[tuple[str, int], Prompt] = {}
        self._fewer: dict[tuple[str, int], int] = {}

    def of(self, subject: str, index: int) -> Prompt:
        """The whole prompt of a question."""
        shots = self._fewer.get((subject, index), self.shots)
        return self.head(subject, shots).then(self.question(subject, index))

    def head(self, subject: str, shots: int) -> Prompt:
        """What stands before the questions of a subject."""
        made = self._heads.get((subject, shots))
        if made is None:
            rows = self.data.dev.get(subject, ())[:shots]
            made = self._heads[subject, shots] = self.protocol.head(subject, rows)
        return made

    def question(self, subject: str, index: int) -> Prompt:
        """A question without what stands before it."""
        return self.protocol.asked(self.data.test[subject][index])

    def shorten(self, subject: str, index: int, shots: int) -> None:
        """Put a question behind fewer shots, where its protocol says so."""
        self._fewer[subject, index] = shots

    @property
    def shortened(self) -> int:
        """Questions behind fewer shots than the others."""
        return len(self._fewer)
