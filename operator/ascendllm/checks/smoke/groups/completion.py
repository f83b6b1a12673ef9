"""2. A greedy answer of a known length, and its token counts."""

from __future__ import annotations

from ascendllm.checks.smoke.context import Context
from ascendllm.checks.smoke.findings import WrongError
from ascendllm.checks.smoke.shapes import Generation, generation, request, usage_of

__all__ = ["answer", "ask_whole", "usage"]


async def answer(context: Context) -> None:
    """32 tokens by the API of the model's kind."""
    context.whole = await ask_whole(context)


async def ask_whole(context: Context) -> Generation:
    """The answer that is not streamed."""
    endpoint = context.http.endpoint
    path, payload = request(context.kind, endpoint.model)
    return generation(await context.http.post(path, payload), context.kind, endpoint)


async def usage(context: Context) -> str:
    """The counts add up, are what was asked for, and are /tokenize's where there is one."""
    answers = [each for each in (context.whole, context.stream) if each is not None]
    if not answers:
        raise WrongError("usage", "no answer to count")
    _, payload = request(context.kind, context.http.endpoint.model)
    asked = {key: payload[key] for key in ("prompt", "messages") if key in payload}
    tokens = await context.tokens_of(**asked)
    return [usage_of(each, tokens) for each in answers].pop()
