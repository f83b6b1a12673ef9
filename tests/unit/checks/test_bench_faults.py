"""Whatever a server does wrong ends in an Error with its cause; what HTTP allows does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ascendllm.checks.bench.options import BenchOptions
from ascendllm.checks.bench.run import check_bench
from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.runner import Tracker
from ascendllm.exceptions import CheckError
from unit.checks.bench_case import at_the_third, busy_machine, run_bench
from unit.checks.bench_raw_server import Call, RawServer, Script, answer, chunk, right

__all__ = ["busy_machine"]


async def abort(call: Call) -> None:
    call.writer.transport.abort()
    raise ConnectionAbortedError


async def dies(call: Call) -> None:
    await call.write(*call.pieces()[:3], pause=0.01)
    await abort(call)


async def dies_unheard(call: Call) -> None:
    await abort(call)


async def cuts(call: Call) -> None:
    await call.write(*call.pieces()[:4])
    raise ConnectionAbortedError


async def cuts_the_end(call: Call) -> None:
    await call.write(*call.pieces()[:-1])
    raise ConnectionAbortedError


async def ends_without_done(call: Call) -> None:
    pieces = call.pieces()
    await call.write(*pieces[:-2], pieces[-1])


async def error_in_stream(call: Call) -> None:
    said = chunk(b'data: {"error": {"message": "out of memory", "code": 500}}\n\n')
    await call.write(*call.pieces()[:3], said, chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n")


async def error_unstreamed(call: Call) -> None:
    answer(call.writer, {"error": {"message": "out of memory", "code": 500}})


async def a_page(call: Call) -> None:
    answer(call.writer, "<html>log in</html>")


async def garbage(call: Call) -> None:
    await call.write(*call.pieces()[:3], b"zz\r\n")


async def garbage_in_chunk(call: Call) -> None:
    pieces = call.pieces()
    await call.write(*pieces[:2], chunk(b"data: {oops\n\n"), *pieces[2:])


async def too_many_chunks(call: Call) -> None:
    pieces = call.pieces()
    await call.write(*pieces[:2], pieces[1], *pieces[2:])


async def stops_early(call: Call) -> None:
    await call.write(*call.pieces(3))


async def other_model(call: Call) -> None:
    call.payload["model"] = "other"
    await right(call)


async def throttles(call: Call) -> None:
    answer(call.writer, {"error": {"message": "slow down"}}, "429 Too Many Requests")


async def fails(call: Call) -> None:
    answer(call.writer, {"error": {"message": "boom"}}, "500 Internal Server Error")


async def redirects(call: Call) -> None:
    answer(call.writer, {}, "307 Temporary Redirect")


async def dribbles_headers(call: Call) -> None:
    await call.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(1000):
        await call.write(b"x-%d: y\r\n" % number, pause=0.05)


async def hangs(call: Call) -> None:
    await call.write(*call.pieces()[:3])
    await asyncio.Event().wait()


async def answers_twice(call: Call) -> None:
    await call.write(b"".join(call.pieces()) + b"HTTP/1.1 200 OK\r\n\r\n")


async def endless_event(call: Call) -> None:
    await call.write(*call.pieces()[:2], *[chunk(b"x" * 500_000)] * 3)
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("script", "reason", "said"),
    [
        (dies, "StreamCut", "after 2 chunks"),
        (dies_unheard, "StreamCut", "before any answer"),
        (cuts, "StreamCut", "after 3 chunks"),
        (cuts_the_end, "StreamCut", "not sent again"),
        (ends_without_done, "StreamCut", "without [DONE]"),
        (error_in_stream, "ErrorInStream", "out of memory"),
        (error_unstreamed, "ErrorInAnswer", "HTTP 200 with an error: out of memory"),
        (a_page, "NotStreamed", "<html>log in</html>"),
        (garbage, "BadAnswer", "a chunk's size is b'zz'"),
        (garbage_in_chunk, "BadAnswer", "no JSON object"),
        (too_many_chunks, "WrongTokenCount", "more than 5 chunks"),
        (stops_early, "WrongTokenCount", "counted 12 tokens in and 3 out"),
        (other_model, "WrongModel", "other"),
        (throttles, "Throttled", "slow down"),
        (fails, "ServerError", "boom"),
        (redirects, "RequestRefused", "307"),
        (hangs, "ServerTimeout", "no answer in time"),
        (answers_twice, "BadAnswer", "more than one answer"),
        (endless_event, "BadAnswer", "an event is longer"),
    ],
)
async def test_a_fault_ends_the_run(script: Script, reason: str, said: str) -> None:
    server = RawServer(at_the_third(script))
    with pytest.raises(CheckError) as caught:
        await run_bench(server, silence=0.6)
    assert (caught.value.reason, said in caught.value.message) == (reason, True), caught.value
    prompts = [call.payload["prompt"] for call in server.calls]
    assert len(set(prompts)) == len(prompts), "no request is ever sent twice"


async def test_headers_that_take_forever() -> None:
    with pytest.raises(CheckError) as caught:
        await run_bench(RawServer(at_the_third(dribbles_headers)), request_timeout=0.5)
    assert caught.value.reason == "ServerTimeout"


async def test_the_whole_server_goes() -> None:
    async def goes(call: Call) -> None:
        await call.write(*call.pieces()[:3])
        server.abort()

    server = RawServer(at_the_third(goes))
    with pytest.raises(CheckError) as caught:
        await run_bench(server)
    assert caught.value.reason == "StreamCut"


async def byte_by_byte(call: Call) -> None:
    raw = b"".join(call.pieces())
    await call.write(*(raw[i : i + 7] for i in range(0, len(raw), 7)))


async def all_at_once(call: Call) -> None:
    await call.write(b"".join(call.pieces()))


async def several_tokens_a_chunk(call: Call) -> None:
    pieces = call.pieces()
    await call.write(pieces[0], *pieces[3:])


async def without_keep_alive(call: Call) -> None:
    pieces = call.pieces()
    head = pieces[0].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    await call.write(head, *pieces[1:])
    raise ConnectionAbortedError


async def up_to_the_end(call: Call) -> None:
    events = [piece.split(b"\r\n", 1)[1][:-2] for piece in call.pieces()[1:-1]]
    await call.write(b"HTTP/1.0 200 OK\r\n\r\n", *events)
    raise ConnectionAbortedError


async def comments(call: Call) -> None:
    pieces = call.pieces()
    await call.write(*pieces[:3], chunk(b": ping\n\n"), *pieces[3:])


@pytest.mark.parametrize(
    "script",
    [
        byte_by_byte,
        all_at_once,
        several_tokens_a_chunk,
        without_keep_alive,
        up_to_the_end,
        comments,
    ],
)
async def test_what_http_allows(script: Script) -> None:
    server = RawServer(script)
    outcome = await run_bench(server)
    assert outcome.result == "Passed"
    figures: Any = outcome.figures
    assert (figures["completed"], figures["totalOutputTokens"]) == (6, 30)
    assert len(server.calls) == 6
    assert figures["connectMs"] >= 0


async def test_answers_that_are_held_back_tell_no_time_of_a_token() -> None:
    async def held_back(call: Call) -> None:
        head, first, *chunks, usage, done, end = call.pieces()
        assert len(chunks) == 4
        await call.write(head, first, usage, done, end)

    with pytest.raises(CheckError, match="single chunk, 30 tokens in all") as caught:
        await run_bench(RawServer(held_back))
    assert caught.value.reason == "NotStreamed"


async def test_a_server_that_closes_idle_connections() -> None:
    """A fresh connection is opened before the next request is due; none is sent twice."""

    async def closes(call: Call) -> None:
        await right(call)
        raise ConnectionAbortedError

    server = RawServer(closes)
    outcome = await run_bench(server, request_rate=20.0, burstiness=float("inf"), requests=10)
    assert outcome.result == "Passed"
    assert len(server.calls) == 10
    assert server.connections > 10


async def test_a_server_that_closes_what_is_greeted() -> None:
    class Rude(RawServer):
        async def _request(self, reader: Any, writer: Any) -> None:
            await super()._request(reader, writer)
            raise ConnectionAbortedError

    outcome = await run_bench(Rude(without_keep_alive))
    assert outcome.result == "Passed"


async def test_the_key_is_sent_and_never_shown(tmp_path: Any) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    server = RawServer()
    async with server.serve():
        endpoint = parse_endpoint(server.url, "m", tmp_path / "key")
        outcome = await check_bench(
            BenchOptions(endpoint, 12, 5, concurrency=1, requests=2), Tracker(), None
        )
    assert {call.headers["authorization"] for call in server.calls} == {"Bearer s3cret"}
    assert "s3cret" not in str(outcome)
