"""4. A stream: chunks, one with usage, `[DONE]`, and the text of the whole answer."""

from __future__ import annotations

from ascendllm.checks.smoke.context import Context
from ascendllm.checks.smoke.findings import WrongError
from ascendllm.checks.smoke.groups.completion import ask_whole
from ascendllm.checks.smoke.shapes import request, streamed

__all__ = ["streaming"]

ATTEMPTS = 3


async def streaming(context: Context) -> str:
    """The stream, and that its text is that of the whole answer.

    A server whose own greedy answers differ from each other (bf16 sums depend on the batch) is not
    held to it.
    """
    endpoint = context.http.endpoint
    path, payload = request(context.kind, endpoint.model)
    wanted = payload | {"stream": True, "stream_options": {"include_usage": True}}
    whole = {context.whole.text} if context.whole else set()
    for _ in range(ATTEMPTS):
        events = await context.http.stream(path, wanted)
        found = streamed(events, f"POST {path} (streamed)", context.kind, endpoint)
        context.stream = found
        if not whole or found.text in whole:
            return f"{found.chunks} chunks"
        whole.add((await ask_whole(context)).text)
    if len(whole) > 1:
        return f"{found.chunks} chunks; greedy answers vary on this server"
    raise WrongError(f"the text {next(iter(whole))!r:.160}", f"{found.text!r:.160}")
