"""Streams of server-sent events, with the ways in which they break."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from aiohttp import web

from ascendllm_simulator.engine import EngineDeadError
from ascendllm_simulator.errors import ApiError, server_error
from ascendllm_simulator.serving import Call, open_stream, progress, send, usage

__all__ = ["Chunk", "chunk_usage", "refuse_in_stream", "stream"]

Chunk = Callable[[int, int, int, bool], dict[str, object]]
"""Makes the event of tokens `start` to `stop` of a sequence: (index, start, stop, finished)."""


async def stream(
    call: Call,
    http: web.Request,
    chunk: Chunk,
    opening: list[dict[str, object]],
    closing: Callable[[], dict[str, object]],
) -> web.StreamResponse:
    """Answer with a stream, one event a token.

    Args:
        call: With its sequences.
        http: The request.
        chunk: Makes an event.
        opening: Events before the first token.
        closing: Makes the event that holds the usage.
    """
    response = await open_stream(http)
    breaks = call.fails("cutStream") or call.fails("errorInStream")
    after = breaks.get("afterTokens") if breaks is not None else None
    sent = 0
    try:
        async with aclosing(progress(call)) as ticks:
            async for tick in ticks:
                events, opening = opening, []
                tokens = list(range(tick.start, tick.stop))
                if after is not None:
                    tokens = tokens[: max(0, after - sent)]
                last = tick.stop - 1
                for token in tokens:
                    final = tick.finished and token == last
                    events.append(chunk(tick.index, token, token + 1, final))
                sent += len(tokens)
                if after is not None and (sent >= after or tick.finished):
                    await _break(call, http, response, events)
                    return response
                if tick.finished and tick.start == tick.stop:
                    events.append(chunk(tick.index, tick.start, tick.stop, True))
                await send(response, *events)
        if call.stream_usage[0]:
            await send(response, closing())
    except EngineDeadError as error:
        await send(response, server_error(str(error)).body())
    await send(response, "[DONE]")
    await response.write_eof()
    return response


async def refuse_in_stream(http: web.Request, error: ApiError) -> web.StreamResponse:
    """A stream that consists of a refusal: vLLM's engine looks at a request behind the 200."""
    response = await open_stream(http)
    await send(response, error.body(), "[DONE]")
    await response.write_eof()
    return response


async def _break(
    call: Call,
    http: web.Request,
    response: web.StreamResponse,
    events: list[dict[str, object]],
) -> None:
    """Send what is due, then cut the connection or end in an error."""
    if events:
        await send(response, *events)
    if call.fails("errorInStream") is not None:
        await send(response, server_error("Internal server error").body(), "[DONE]")
        await response.write_eof()
    elif http.transport is not None:
        # The last chunk of the chunked body is never sent: the client sees a cut connection.
        http.transport.close()


def chunk_usage(call: Call, completion_tokens: int) -> dict[str, object]:
    """The usage that a single event bears, without what is empty."""
    return {
        key: value for key, value in usage(call, completion_tokens).items() if value is not None
    }
