"""original: hendrycks/test 4450500, evaluate.py and crop.py.

`format_subject` puts a space before each word, so the introduction has two spaces before the
subject; nothing is stripped. A shot is dropped while the prompt has more than 2048 tokens: there
by GPT-2's tokenizer, that of the models under test; here by the server's, without special tokens.
The answer is the arg max over the log-probabilities of " A", " B", " C" and " D", the first letter
winning a tie. A letter that is not among the 100 likeliest counts as -100: the arg max is that of
the four as long as the best of them is among these, and where that can't be told there is no
answer (evaluate.py would say A where none is).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ascendllm.checks.mmlu.data import LETTERS, Question
from ascendllm.checks.mmlu.protocols.prompt import Prompt
from ascendllm.checks.mmlu.protocols.protocol import Measures

__all__ = ["Original"]


@dataclass(frozen=True, slots=True)
class Original:
    """evaluate.py of the paper's authors, for base models."""

    name: str = "original"
    measures: Measures = "letterLogprobs"
    window: int | None = 2048
    listed: int | None = 100

    def head(self, subject: str, shots: Sequence[Question]) -> Prompt:
        """`gen_prompt`."""
        topic = "".join(f" {word}" for word in subject.split("_"))
        intro = f"The following are multiple choice questions (with answers) about {topic}.\n\n"
        return Prompt(intro + "".join(f"{_example(row)} {row.answer}\n\n" for row in shots))

    def asked(self, row: Question) -> Prompt:
        """`format_example` without the answer."""
        return Prompt(_example(row))


def _example(row: Question) -> str:
    choices = "".join(
        f"\n{letter}. {choice}" for letter, choice in zip(LETTERS, row.choices, strict=True)
    )
    return f"{row.question}{choices}\nAnswer:"
