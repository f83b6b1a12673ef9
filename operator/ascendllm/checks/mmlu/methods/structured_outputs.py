"""structuredOutputs: the answer must be one of four strings (`structured_outputs.choice`).

vLLM masks the logits by the grammar before it takes log-probabilities: they are renormalised over
the tokens that may begin a choice, which shifts all letters by one constant, so their order is that
of the raw ones. The bare space may be sampled as well: what was sampled doesn't count, the largest
of the four does. All four must be there, and of the twenty shown some must be masked, since hardly
five tokens may begin a choice: a server that doesn't know the field ignores it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ascendllm.checks.mmlu.data import LETTERS
from ascendllm.checks.mmlu.methods.first_token import (
    CLAMPED,
    PATH,
    WHAT,
    best_letter,
    first_token,
    one_token,
)
from ascendllm.checks.mmlu.methods.method import Keys, Reading
from ascendllm.checks.mmlu.protocols.prompt import Prompt
from ascendllm.exceptions import CheckError

__all__ = ["StructuredOutputs"]


@dataclass(frozen=True, slots=True)
class StructuredOutputs:
    """Way B: exact, one request a question, slower on the server.

    Args:
        keys: The letters by token id or by text.
    """

    keys: Keys
    name: str = "structuredOutputs"
    path: str = PATH
    most_tokens: int = 1

    def payload(self, model: str, prompt: Prompt) -> Mapping[str, object]:
        """The request."""
        choices = [f" {letter}" for letter in LETTERS]
        return one_token(model, prompt, self.keys) | {"structured_outputs": {"choice": choices}}

    def read(self, body: Mapping[str, object]) -> Reading:
        """The likeliest of the four.

        Raises:
            CheckError: `GrammarNotObeyed` or `MissingLetters`; or as `first_token` and
                `best_letter` raise.
        """
        found = first_token(body, self.keys)
        letters = self.keys.letters
        seen = {letters[key]: value for key, value in found.top.items() if key in letters}
        if min(found.top.values(), default=0.0) > CLAMPED:
            raise CheckError(
                "GrammarNotObeyed",
                f"{WHAT}: none of the {len(found.top)} log-probabilities is masked though four "
                "answers were allowed: the server doesn't know structured_outputs",
            )
        if len(seen) != len(LETTERS):
            raise CheckError(
                "MissingLetters",
                f"{WHAT}: only {''.join(sorted(seen)) or 'none'} of A, B, C, D among the "
                f"{len(found.top)} log-probabilities",
            )
        return Reading(best_letter(seen))
