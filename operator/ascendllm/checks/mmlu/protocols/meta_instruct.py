r"""metaInstruct: lm-eval v0.4.12, tasks/llama3/instruct/mmlu (_continuation_template_yaml).

Meta's form for Llama 3.1 instruct: no system turn, each shot a user's and an assistant's turn
(`apply_chat_template`, `fewshot_as_multiturn`), the assistant's last turn begun with "The best
answer is" and left open. At most 10 tokens, greedy, ending at ".". Scored by `exact_match` after
`remove_whitespace`, ignoring `\$`, a full stop at the end, case and punctuation.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from ascendllm.checks.mmlu.data import LETTERS, Question
from ascendllm.checks.mmlu.protocols.prompt import Prompt, turn
from ascendllm.checks.mmlu.protocols.protocol import Measures

__all__ = ["MAX_TOKENS", "STOP", "MetaInstruct", "extract"]

MAX_TOKENS = 10
STOP = "."
PREFIX = "The best answer is"
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LETTERS = {letter.lower(): letter for letter in LETTERS}


@dataclass(frozen=True, slots=True)
class MetaInstruct:
    """lm-eval's `mmlu_llama`, for instruct models."""

    name: str = "metaInstruct"
    measures: Measures = "generatedLetter"
    window: int | None = None
    listed: int | None = None

    def head(self, subject: str, shots: Sequence[Question]) -> Prompt:
        """The shots as turns; the subject is not named."""
        turns = (
            said
            for row in shots
            for said in (
                turn("user", _question(row)),
                turn("assistant", f"{PREFIX} {row.answer}."),
            )
        )
        return Prompt(turns=tuple(turns))

    def asked(self, row: Question) -> Prompt:
        """The question's turn, and the assistant's with its beginning."""
        return Prompt(turns=(turn("user", _question(row)), turn("assistant", PREFIX)))


def extract(text: str) -> str | None:
    """The letter that lm-eval would score, None where its `exact_match` fits no letter.

    Args:
        text: What the model wrote behind the prefix, without the stop string.
    """
    left = re.sub(r"\.$", "", re.sub(r"\$", "", text.strip()))
    return _LETTERS.get(left.lower().translate(_PUNCTUATION))


def _question(row: Question) -> str:
    choices = "".join(
        f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, row.choices, strict=True)
    )
    return (
        "Given the following question and four candidate answers (A, B, C and D), choose the best "
        f"answer.\nQuestion: {row.question.strip()}\n{choices}"
        'Your response should end with "The best answer is [the_answer_letter]" where the '
        "[the_answer_letter] is one of A, B, C or D."
    )
