"""Streams of server-sent events, and the failures that interrupt them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from aiohttp import web

from ascendllm_simulator.engine import EngineDeadError
from ascendllm_simulator.errors import ApiError, server_error
from ascendllm_simulator.serving import Call, open_stream, progress, send, usage

__all__ = ["Chunk", "chunk_usage", "refuse_in_stream", "stream"]

Chunk = Callable[[int, int, int, bool], dict[str, object]]
"""Builds the event of tokens `start` to `stop` of a sequence: (index, start, stop, finished)."""


async def stream(
    call: Call,
    http: web.Request,
    chunk: Chunk,
    opening: list[dict[str, object]],
    closing: Callable[[], dict[str, object]],
) -> web.StreamResponse:
    """Respond with a stream, one event per token.

    Args:
        call: The call, with its sequences.
        http: The request.
        chunk: Builds an event.
        opening: The events before the first token.
        closing: Builds the event that contains the usage.
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
    """Respond with a stream that contains only an error.

    vLLM's engine validates a request after the status 200 is sent.
    """
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
    """Send the pending events, then cut the connection or end the stream with an error."""
    if events:
        await send(response, *events)
    if call.fails("errorInStream") is not None:
        await send(response, server_error("Internal server error").body(), "[DONE]")
        await response.write_eof()
    elif http.transport is not None:
        # Without the last chunk of the chunked body the client sees that the connection was cut.
        http.transport.close()


def chunk_usage(call: Call, completion_tokens: int) -> dict[str, object]:
    """The usage in a single event, without empty fields."""
    return {
        key: value for key, value in usage(call, completion_tokens).items() if value is not None
    }
