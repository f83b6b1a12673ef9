"""How a letter is asked for and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol as Interface

from ascendllm.checks.endpoint import Endpoint, error_detail, served_model
from ascendllm.checks.mmlu.data import LETTERS
from ascendllm.checks.mmlu.protocols.prompt import Prompt
from ascendllm.checks.result import compact_json
from ascendllm.exceptions import CheckError

__all__ = ["GREEDY", "Keys", "Method", "Reading", "keys_of_ids", "keys_of_texts", "only_choice"]

GREEDY: Mapping[str, object] = {
    "temperature": 0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""vLLM takes what is unset from the model's generation_config.json; a penalty there would change
what is sampled, and no protocol knows one."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says.

    Args:
        letter: A, B, C or D; None where a generated answer names none.
        said: What was generated, for messages.
    """

    letter: str | None
    said: str = ""


class Method(Interface):
    """One way to ask for the letter and to read it."""

    @property
    def name(self) -> str:
        """As the result's `method` says it."""
        ...

    @property
    def path(self) -> str:
        """Where it is asked."""
        ...

    @property
    def most_tokens(self) -> int:
        """The most tokens that an answer may have."""
        ...

    def payload(self, model: str, prompt: Prompt) -> Mapping[str, object]:
        """The request."""
        ...

    def read(self, body: Mapping[str, object]) -> Reading:
        """The letter in an answer whose model and choices were looked at (`only_choice`).

        Raises:
            CheckError: What is wrong with the answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Keys:
    """How log-probabilities name the four letters.

    Args:
        letters: The letter by the key of `tokens` and `top_logprobs`: `token_id:362`, or ` A`.
        ids: The four token ids, A to D; empty where the server can't tell them.
    """

    letters: Mapping[str, str]
    ids: tuple[int, ...] = ()

    @property
    def by_id(self) -> bool:
        """Whether tokens are asked for, and named, by id."""
        return bool(self.ids)


def keys_of_ids(ids: tuple[int, ...]) -> Keys:
    """Letters named by the ids of " A" to " D"."""
    names = (f"token_id:{number}" for number in ids)
    return Keys(dict(zip(names, LETTERS, strict=True)), ids)


def keys_of_texts() -> Keys:
    """Letters named by their text, a space before each."""
    return Keys({f" {letter}": letter for letter in LETTERS})


def only_choice(body: dict[str, object], endpoint: Endpoint, path: str) -> dict[str, object]:
    """The one choice of an answer of the right model.

    Raises:
        CheckError: `ErrorInAnswer` (HTTP 200 with an error), `WrongModel` or `BadAnswer`.
    """
    what = f"POST {path}"
    if body.get("error") is not None and "choices" not in body:
        raise CheckError(
            "ErrorInAnswer",
            f"{what} answered HTTP 200 with an error: {error_detail(compact_json(_plain(body)))}; "
            "look at the server's log",
        )
    served_model(body, endpoint, what)
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise CheckError("BadAnswer", f"{what} answered not exactly one choice")
    return choices[0]


def _plain(body: Mapping[str, object]) -> dict[str, object]:
    """The error as it may be written: JSON of others can hold NaN."""
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return {"error": {"message": message if isinstance(message, str) else repr(message)[:200]}}
