"""What smoke is asked to do."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import cel, rules

__all__ = ["ChatMessage", "PromptCase", "SmokeCheck"]

PROMPT_CHARACTERS = 20_000
"""Of all prompts together: they are one argument of the job, which Linux limits to 128 KiB, and a
character takes up to four bytes."""

_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
_Text = Annotated[str, Field(min_length=1, max_length=8192, pattern=_TEXT)]

_TOO_MUCH = (
    f"all prompts together have at most {PROMPT_CHARACTERS:,} characters: shorten them, or leave "
    "some out"
)


class ChatMessage(ResourceModel):
    """A turn of a chat."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""

    content: _Text
    """What is said."""


class PromptCase(ResourceModel):
    """A prompt of the user's own, and what its answer must look like."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.prompt) != has(self.messages)",
                "give exactly one of prompt (a text to go on with) and messages (a chat)",
            )
        )
    )

    prompt: _Text | None = None
    """A text that the model goes on with."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=8)] | None = None
    """A chat that the model answers; for instruct models."""

    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 64
    """The longest answer, in tokens."""

    # Only the job compiles it, in a limited process: a pattern of 256 characters can take a second.
    expect: Annotated[str, Field(min_length=1, max_length=256, pattern=_TEXT)] | None = None
    """A regular expression (Python's) that must be found in the answer; any text when unset."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError(
                "give exactly one of prompt (a text to go on with) and messages (a chat)"
            )
        return self


class SmokeCheck(ResourceModel):
    """The server answers, in the right shapes, under the right name."""

    prompts: (
        Annotated[
            list[PromptCase],
            Field(
                min_length=1,
                max_length=20,
                json_schema_extra=rules(
                    cel(
                        "self.map(p, has(p.prompt) ? size(p.prompt) : (has(p.messages) ? "
                        "p.messages.map(m, size(m.content)).sum() : 0)).sum() <= "
                        f"{PROMPT_CHARACTERS}",
                        _TOO_MUCH,
                    )
                ),
            ),
        ]
        | None
    ) = None
    """Prompts of one's own, asked at temperature 0."""

    parameters: bool = True
    """Try the request parameters too: top_k, top_p, penalties, n, stop, ignore_eos."""

    language: bool = True
    """Fail when a plain English paragraph costs more than any trained model needs (2.5 bits a
    byte), which is how a wrongly computed model shows; false for models of something else."""

    @model_validator(mode="after")
    def _not_too_much(self) -> Self:
        characters = sum(
            len(text)
            for case in self.prompts or []
            for text in (case.prompt or "", *(turn.content for turn in case.messages or []))
        )
        if characters > PROMPT_CHARACTERS:
            raise ValueError(f"prompts: {_TOO_MUCH}, not {characters:,}")
        return self
