"""generated: the letter that an instruct model writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ascendllm.checks.mmlu.methods.method import GREEDY, Reading
from ascendllm.checks.mmlu.protocols.meta_instruct import MAX_TOKENS, STOP, extract
from ascendllm.checks.mmlu.protocols.prompt import Prompt
from ascendllm.exceptions import CheckError

__all__ = ["Generated"]


@dataclass(frozen=True, slots=True)
class Generated:
    """The only way of metaInstruct."""

    name: str = "generated"
    path: str = "/v1/chat/completions"
    most_tokens: int = MAX_TOKENS

    def payload(self, model: str, prompt: Prompt) -> Mapping[str, object]:
        """The request."""
        return {
            "model": model,
            **prompt.fields(),
            "max_tokens": MAX_TOKENS,
            "stop": [STOP],
            **GREEDY,
        }

    def read(self, body: Mapping[str, object]) -> Reading:
        """The letter that was written, if one was.

        Raises:
            CheckError: `BadAnswer` where the choice holds no message.
        """
        message = body.get("message")
        if not isinstance(message, dict):
            raise CheckError("BadAnswer", f"POST {self.path} answered a choice without a message")
        content = message.get("content")
        if content is not None and not isinstance(content, str):
            raise CheckError("BadAnswer", f"POST {self.path} answered a content that is no text")
        said = content or ""
        return Reading(extract(said), said)
