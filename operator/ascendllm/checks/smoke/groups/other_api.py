"""7. The API that is not the model's own kind's.

A base model has no chat template and says so; an instruct model goes on with plain text as well.
"""

from __future__ import annotations

from ascendllm.checks.smoke.context import Context
from ascendllm.checks.smoke.findings import WrongError, shown

__all__ = ["chat_of_a_base_model", "completion_of_an_instruct_model"]


async def chat_of_a_base_model(context: Context) -> str:
    """Refused for want of a chat template, or answered where the tokenizer has one."""
    messages = [{"role": "user", "content": "Say hello."}]
    answer = await context.ask("/v1/chat/completions", messages=messages)
    if answer.status != 200:
        await context.refusal(answer, 400, "chat template")
        return "no chat template"
    return "has a chat template"


async def completion_of_an_instruct_model(context: Context) -> None:
    """/v1/completions answers too."""
    choice = await context.choice(ignore_eos=True)
    if not choice.text or choice.finish_reason != "length":
        raise WrongError("some text, finish_reason length", shown(dict(choice.body)))
