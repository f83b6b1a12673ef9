"""The user's own prompts, greedy, each held to the regular expression that it came with."""

from __future__ import annotations

from ascendllm.checks.endpoint import error_detail, json_object, served_model
from ascendllm.checks.smoke.context import COMPLETIONS, Context
from ascendllm.checks.smoke.findings import WrongError, shown
from ascendllm.checks.smoke.patterns import search
from ascendllm.checks.smoke.prompts import PromptCase
from ascendllm.checks.smoke.shapes import text_of

__all__ = ["ask_prompt"]

SHOWN = 300


async def ask_prompt(context: Context, case: PromptCase) -> str:
    """The answer's text.

    Raises:
        WrongError: No answer, or one without what is expected.
        CheckError: `PatternTooSlow`, or as the requests raise.
    """
    fields: dict[str, object] = {"max_tokens": case.max_tokens}
    path, holder = COMPLETIONS, "text"
    if case.messages is None:
        fields["prompt"] = case.prompt
    else:
        path, holder = "/v1/chat/completions", "message"
        fields["messages"] = [{"role": role, "content": content} for role, content in case.messages]
    answer = await context.ask(path, **fields)
    if answer.status != 200:
        raise WrongError("HTTP 200", f"HTTP {answer.status}: {error_detail(answer.body)}")
    body = json_object(answer.body, answer.what)
    served_model(body, context.http.endpoint, answer.what)
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise WrongError("one choice", shown(choices))
    text = text_of(choices[0], holder, "base" if holder == "text" else "instruct")
    if not text.strip():
        raise WrongError("some text", "none")
    if case.expect is not None and not await search(case.expect, text):
        raise WrongError(f"an answer with {case.expect!r}", repr(text)[:SHOWN])
    return repr(text)[:SHOWN]
