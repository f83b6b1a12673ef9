"""topLogprobs: nothing but the likeliest tokens, 20 at most.

Certain only where the best letter seen is likelier than the last token shown: every token that is
not shown is at most as likely as that one, so no unseen letter can win or tie. The list must begin
with what was sampled greedily, or it would not be the head of the order. Anything less is no
answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ascendllm.checks.mmlu.data import LETTERS
from ascendllm.checks.mmlu.methods.first_token import (
    PATH,
    WHAT,
    best_letter,
    first_token,
    one_token,
)
from ascendllm.checks.mmlu.methods.method import Keys, Reading
from ascendllm.checks.mmlu.protocols.prompt import Prompt
from ascendllm.exceptions import CheckError

__all__ = ["TopLogprobs"]


@dataclass(frozen=True, slots=True)
class TopLogprobs:
    """Way C: exact where it is certain, an error elsewhere.

    Args:
        keys: The letters by token id or by text.
    """

    keys: Keys
    name: str = "topLogprobs"
    path: str = PATH
    most_tokens: int = 1

    def payload(self, model: str, prompt: Prompt) -> Mapping[str, object]:
        """The request."""
        return one_token(model, prompt, self.keys)

    def read(self, body: Mapping[str, object]) -> Reading:
        """The likeliest letter among those shown.

        Raises:
            CheckError: `LetterUncertain`, or as `first_token` and `best_letter` raise.
        """
        found = first_token(body, self.keys)
        letters = self.keys.letters
        seen = {letters[key]: value for key, value in found.top.items() if key in letters}
        if not seen:
            raise _uncertain(f"no letter is among the {len(found.top)} likeliest tokens")
        best = best_letter(seen)
        if found.logprob < max(found.top.values()):
            raise _uncertain("the sampled token is not the likeliest one")
        last = min(found.top.values())
        if len(seen) < len(LETTERS) and seen[best] <= last:
            raise _uncertain(f"{best} is the last token shown, and a letter that isn't may tie")
        return Reading(best)


def _uncertain(why: str) -> CheckError:
    return CheckError(
        "LetterUncertain",
        f"{WHAT}: {why}: the likeliest tokens alone don't tell the letter here; serve with "
        "vLLM's allowed_token_ids and /tokenize",
    )
