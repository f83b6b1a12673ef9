"""Rules between model.kind and the checks.

A base model goes on with a text, an instruct model answers in a chat, and a figure of one way says
nothing about the other.
"""

from __future__ import annotations

from collections.abc import Iterator

from ascendllm.api.checks.mmlu import protocol_of
from ascendllm.api.scalars import cel
from ascendllm.api.validation import Validation

__all__ = ["KIND_RULES", "kind_problems"]

_CHAT_OF_BASE = (
    "protocol metaInstruct asks in a chat, which a base model has not learnt: use lmEval or "
    "original, or set model.kind to instruct if the model is one"
)
_LETTERS_OF_INSTRUCT = (
    "protocols lmEval and original read a base model's log-probabilities of the letters: use "
    "metaInstruct, or set model.kind to base if the model is one"
)
_BASELINE = (
    "the baseline is of another protocol or of other shots than the check, and such figures "
    "differ by more than the tolerance: set the check's protocol and shots to the baseline's, or "
    "baseline.acrossProtocols to true"
)
_MESSAGES_OF_BASE = (
    "messages are a chat, which a base model has no template for: use prompt, or set model.kind "
    "to instruct if the model is one"
)

_MMLU = "has(self.validation) && has(self.validation.mmlu)"
_PROTOCOL = (
    "(has(self.validation.mmlu.protocol) ? self.validation.mmlu.protocol : "
    "(self.model.kind == 'instruct' ? 'metaInstruct' : 'lmEval'))"
)

KIND_RULES = (
    cel(
        f"!({_MMLU} && has(self.validation.mmlu.protocol)) || self.model.kind != 'base' || "
        "self.validation.mmlu.protocol != 'metaInstruct'",
        _CHAT_OF_BASE,
        path=".validation.mmlu.protocol",
    ),
    cel(
        f"!({_MMLU} && has(self.validation.mmlu.protocol)) || self.model.kind != 'instruct' || "
        "self.validation.mmlu.protocol == 'metaInstruct'",
        _LETTERS_OF_INSTRUCT,
        path=".validation.mmlu.protocol",
    ),
    cel(
        f"!({_MMLU} && has(self.validation.mmlu.baseline)) || "
        "self.validation.mmlu.baseline.acrossProtocols || ("
        "(!has(self.validation.mmlu.baseline.protocol) || "
        f"self.validation.mmlu.baseline.protocol == {_PROTOCOL}) && "
        "(!has(self.validation.mmlu.baseline.shots) || "
        "self.validation.mmlu.baseline.shots == self.validation.mmlu.shots))",
        _BASELINE,
        path=".validation.mmlu.baseline",
    ),
    cel(
        "!(has(self.validation) && has(self.validation.smoke) && "
        "has(self.validation.smoke.prompts)) || self.model.kind != 'base' || "
        "self.validation.smoke.prompts.all(p, !has(p.messages))",
        _MESSAGES_OF_BASE,
        path=".validation.smoke.prompts",
    ),
)


def kind_problems(kind: str, validation: Validation | None) -> Iterator[str]:
    """What of the checks does not fit the model's kind, each with its remedy."""
    if validation is None:
        return
    mmlu, smoke = validation.mmlu, validation.smoke
    if mmlu is not None:
        chat = protocol_of(mmlu, kind) == "metaInstruct"
        if chat and kind == "base":
            yield f"validation.mmlu.protocol: {_CHAT_OF_BASE}"
        if not chat and kind == "instruct":
            yield f"validation.mmlu.protocol: {_LETTERS_OF_INSTRUCT} (it is {mmlu.protocol})"
    if smoke is not None and kind == "base":
        for number, case in enumerate(smoke.prompts or []):
            if case.messages is not None:
                yield f"validation.smoke.prompts[{number}]: {_MESSAGES_OF_BASE}"
