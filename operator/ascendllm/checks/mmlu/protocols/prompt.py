"""What is sent for a question: a text to be completed, or the turns of a chat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Prompt", "Turn", "turn"]

Turn = Mapping[str, str]
"""`{"role": …, "content": …}`."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A whole prompt, or the part of it that the questions of a subject share.

    Args:
        text: What is completed; empty for a chat.
        turns: The turns of a chat; the last one of a whole prompt is the assistant's, which the
            model goes on with.
    """

    text: str = ""
    turns: tuple[Turn, ...] = ()

    def then(self, more: Prompt) -> Prompt:
        """This prompt with another one behind it."""
        return Prompt(self.text + more.text, self.turns + more.turns)

    @property
    def size(self) -> int:
        """Bytes of its text: at least its tokens, special ones and the chat's template aside."""
        parts = (self.text, *(said["content"] for said in self.turns))
        return sum(len(part.encode("utf-8", "replace")) for part in parts)

    def fields(self) -> dict[str, object]:
        """As `/v1/completions`, `/v1/chat/completions` and `/tokenize` take it.

        `continue_final_message` leaves the assistant's last turn open, so that the model writes
        on behind its prefix (vLLM 0.18.0, chat_completion/protocol.py).
        """
        if not self.turns:
            return {"prompt": self.text}
        return {
            "messages": list(self.turns),
            "add_generation_prompt": False,
            "continue_final_message": True,
        }


def turn(role: str, content: str) -> Turn:
    """One turn of a chat."""
    return {"role": role, "content": content}
