"""lmEval: lm-eval v0.4.12, tasks/mmlu/default (_default_template_yaml, mmlu_<subject>.yaml).

The description with one space, `question.strip()`, the choices untouched, the first rows of dev as
shots, " A" after "Answer:", a blank line between examples. The prompt ends without a space: the
answer's token holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ascendllm.checks.mmlu.data import LETTERS, Question
from ascendllm.checks.mmlu.protocols.prompt import Prompt
from ascendllm.checks.mmlu.protocols.protocol import Measures

__all__ = ["LmEval"]


@dataclass(frozen=True, slots=True)
class LmEval:
    """lm-eval's `mmlu`, for base models."""

    name: str = "lmEval"
    measures: Measures = "letterLogprobs"
    window: int | None = None
    listed: int | None = None

    def head(self, subject: str, shots: Sequence[Question]) -> Prompt:
        """Description and shots."""
        topic = subject.replace("_", " ")
        intro = f"The following are multiple choice questions (with answers) about {topic}.\n\n"
        return Prompt(intro + "".join(f"{_example(row)} {row.answer}\n\n" for row in shots))

    def asked(self, row: Question) -> Prompt:
        """A question, up to where the letter is due."""
        return Prompt(_example(row))


def _example(row: Question) -> str:
    choices = "".join(
        f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, row.choices, strict=True)
    )
    return f"{row.question.strip()}\n{choices}Answer:"
