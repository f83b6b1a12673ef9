"""allowedTokens: only the four letters may be sampled (`allowed_token_ids`).

vLLM takes the log-probabilities before it masks, and samples greedily after: the sampled token is
the arg max of the four, whatever the others are. Which ids were obeyed is seen in the answer: a
server that doesn't know the field ignores it. Letters among the 20 likeliest are compared with it,
so that a tie goes to the first letter, as in lm-eval; for letters that tie outside of these the
sampler decides, which takes the lowest id.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ascendllm.checks.mmlu.methods.first_token import (
    LOGPROBS,
    PATH,
    WHAT,
    FirstToken,
    best_letter,
    first_token,
    one_token,
)
from ascendllm.checks.mmlu.methods.method import Keys, Reading
from ascendllm.checks.mmlu.protocols.prompt import Prompt
from ascendllm.exceptions import CheckError

__all__ = ["AllowedTokens"]


@dataclass(frozen=True, slots=True)
class AllowedTokens:
    """Way A: exact, one request a question.

    Args:
        keys: The letters by token id.
        listed: The letter counts only among so many of the likeliest tokens; None: anywhere.
    """

    keys: Keys
    listed: int | None = None
    name: str = "allowedTokens"
    path: str = PATH
    most_tokens: int = 1

    def payload(self, model: str, prompt: Prompt) -> Mapping[str, object]:
        """The request."""
        return one_token(model, prompt, self.keys) | {"allowed_token_ids": list(self.keys.ids)}

    def read(self, body: Mapping[str, object]) -> Reading:
        """The letter that was sampled, or one before it that is as likely.

        Raises:
            CheckError: `LetterNotObeyed` or `LetterUncertain`; or as `first_token` and
                `best_letter` raise.
        """
        found = first_token(body, self.keys)
        letters = self.keys.letters
        chosen = letters.get(found.sampled)
        if chosen is None:
            raise CheckError(
                "LetterNotObeyed",
                f"{WHAT}: {found.sampled} was sampled though only {sorted(self.keys.ids)} were "
                "allowed: the server doesn't know allowed_token_ids",
            )
        seen = {letters[key]: value for key, value in found.top.items() if key in letters}
        best = best_letter(seen | {chosen: found.logprob})
        if any(value > found.logprob for value in seen.values()):
            raise CheckError(
                "LetterNotObeyed",
                f"{WHAT}: {chosen} ({found.logprob}) was sampled though another letter is more "
                f"likely ({seen}): the server doesn't sample greedily",
            )
        if self.listed is not None:
            _require_listed(found, chosen, self.listed)
        return Reading(best)


def _require_listed(found: FirstToken, letter: str, listed: int) -> None:
    """Make sure that the letter is among the likeliest tokens, of which 20 are shown.

    Each token before it has at least its probability, so at most (1 - P) / p of those that are not
    shown come before it: P is what the shown ones before it have together, p what it has itself.

    Raises:
        CheckError: `LetterUncertain`.
    """
    before = [value for value in found.top.values() if value > found.logprob]
    if len(before) < LOGPROBS:
        return
    left = max(0.0, 1.0 - sum(map(math.exp, before)))
    if len(before) + left / math.exp(found.logprob) < listed:
        return
    raise CheckError(
        "LetterUncertain",
        f"{WHAT}: {letter} ({found.logprob}) may not be among the {listed} likeliest tokens, where "
        "the protocol takes A for an answer: the model hardly expects a letter there",
    )
