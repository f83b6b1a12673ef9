"""One request's prompt, with the lengths that its answer's usage is held to."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Prompt"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent.

    Args:
        text: Sent as text; the server adds its special tokens.
        input_tokens: As the server counts, special tokens included.
        output_tokens: How many are asked for (`max_tokens` with `ignore_eos`).
    """

    text: str
    input_tokens: int
    output_tokens: int
