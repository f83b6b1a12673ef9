"""6. What can't be done is refused, in one shape, and the server goes on."""

from __future__ import annotations

from ascendllm.checks.result import compact_json
from ascendllm.checks.smoke.context import COMPLETIONS, Context
from ascendllm.checks.smoke.findings import NotApplicableError, WrongError

__all__ = ["empty_prompt", "malformed", "too_long", "unknown_model"]

MOST_TOKENS = 2_097_152
ANY_TOKEN = 1


async def too_long(context: Context) -> None:
    """A prompt that fills the context leaves no room for an answer: 400."""
    room = context.max_model_len
    if room is None or room > MOST_TOKENS:
        raise NotApplicableError(f"the server's context is {room or 'not said'}")
    await context.refused(prompt=[ANY_TOKEN] * room, max_tokens=1)


async def unknown_model(context: Context) -> None:
    """A name that is not served: 404, naming it."""
    name = f"no-such-model-{context.http.endpoint.model}"[:200]
    answer = await context.http.send(
        "POST", COMPLETIONS, _body(model=name, prompt="x", max_tokens=1)
    )
    await context.refusal(answer, 404, name)


async def empty_prompt(context: Context) -> None:
    """Nothing to go on with: 400."""
    await context.refused(prompt="")


async def malformed(context: Context) -> None:
    """A body that is no JSON: 400; and the server still answers."""
    await context.refusal(await context.http.send("POST", COMPLETIONS, b'{"model": '), 400)
    answer = await context.http.get("/health")
    if answer.status != 200:
        raise WrongError("HTTP 200 from /health behind the refusals", f"HTTP {answer.status}")


def _body(**fields: object) -> bytes:
    return compact_json(fields).encode()
