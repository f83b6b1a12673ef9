"""LoRA adapters: each is listed, and answers under its own name."""

from __future__ import annotations

from ascendllm.checks.endpoint import error_detail, json_object
from ascendllm.checks.smoke.context import COMPLETIONS, Context
from ascendllm.checks.smoke.findings import WrongError, shown

__all__ = ["ask_adapter"]

_SHOWN = 80


async def ask_adapter(context: Context, name: str) -> str:
    """The beginning of the adapter's answer.

    Raises:
        WrongError: /v1/models does not list it, or it answers otherwise than the model does.
        CheckError: As the requests raise.
    """
    answer = await context.http.get("/v1/models")
    cards = json_object(answer.body, answer.what).get("data")
    entries = cards if isinstance(cards, list) else []
    listed = [card.get("id") for card in entries if isinstance(card, dict)]
    if name not in listed:
        raise WrongError(f"{name} in /v1/models", shown(listed))
    answer = await context.ask(COMPLETIONS, model=name)
    if answer.status != 200:
        raise WrongError("HTTP 200", f"HTTP {answer.status}: {error_detail(answer.body)}")
    body = json_object(answer.body, answer.what)
    if body.get("model") != name:
        raise WrongError(f"an answer of {name}", shown(body.get("model")))
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise WrongError("one choice", shown(choices))
    return str(choices[0].get("text"))[:_SHOWN]
