from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from ascendllm.checks.bench.options import BenchOptions
from ascendllm.checks.bench.run import check_bench
from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.runner import Outcome, Tracker
from ascendllm.exceptions import CheckError, SpecError
from unit.checks.bench_case import busy_machine
from unit.checks.fake_server import FakeServer, error

__all__ = ["busy_machine"]

QUICK = RetryPolicy(attempts=2, first=0.01, longest=0.02)


async def run_bench(server: FakeServer, tracker: Tracker | None = None, **changes: Any) -> Outcome:
    chosen: dict[str, Any] = {
        "input_tokens": 12,
        "output_tokens": 5,
        "concurrency": 2,
        "requests": 6,
        "retry": QUICK,
        "first_contact": QUICK,
        "request_timeout": 5.0,
    } | changes
    model, url = chosen.pop("model", "m"), chosen.pop("url", None)
    async with server.serve():
        options = BenchOptions(parse_endpoint(url or server.url, model), **chosen)
        return await check_bench(options, tracker or Tracker(), None)


def streams(server: FakeServer) -> list[dict[str, Any]]:
    return [p for p in server.payloads if p["path"] == "/v1/completions"]


async def test_a_closed_loop_of_exact_lengths() -> None:
    server = FakeServer(itl=0.004)
    outcome = await run_bench(server, npus=2)
    assert (outcome.result, outcome.reason) == ("Passed", "Measured")
    figures: Any = outcome.figures
    assert (figures["completed"], figures["failed"], figures["concurrency"]) == (6, 0, 2)
    assert (figures["totalInputTokens"], figures["totalOutputTokens"]) == (72, 30)
    assert server.most_in_flight == 2
    assert figures["meanItlMs"] >= 4.0
    assert figures["meanTpotMs"] >= 4.0
    assert figures["meanE2elMs"] >= figures["meanTtftMs"] + 16
    assert figures["duration"] >= 0.05
    rate = figures["totalOutputTokens"] / figures["outputThroughput"]
    assert rate == pytest.approx(figures["duration"], abs=0.02)
    assert figures["outputThroughputPerNpu"] == pytest.approx(
        figures["outputThroughput"] / 2, abs=0.01
    )
    assert figures["clientLagMs"] >= 0
    for metric in ("Ttft", "Tpot", "Itl", "E2el"):
        for statistic in ("mean", "median", "std", "p99"):
            assert f"{statistic}{metric}Ms" in figures


async def test_what_is_sent() -> None:
    server = FakeServer()
    await run_bench(server, seed=7)
    sent = streams(server)
    assert len(sent) == 6
    assert len({p["prompt"] for p in sent}) == 6
    assert {len(server.ids(p["prompt"])) for p in sent} == {12}
    assert len({p["cache_salt"] for p in sent}) == 1
    assert all(p["ignore_eos"] is True and p["temperature"] == 0 for p in sent)
    assert all(p["max_tokens"] == 5 for p in sent)
    assert all(p["stream_options"] == {"include_usage": True} for p in sent)
    again = FakeServer()
    await run_bench(again, seed=7)
    assert {p["prompt"] for p in streams(again)} == {p["prompt"] for p in sent}
    assert streams(again)[0]["cache_salt"] != sent[0]["cache_salt"]


async def test_the_report_of_each_request() -> None:
    outcome = await run_bench(FakeServer(), details=True)
    report: Any = outcome.documents.report["perRequest"]
    assert len(report) == 6
    assert len({entry["id"] for entry in report}) == 6
    for entry in report:
        assert len(entry["itlsMs"]) == 4
        assert entry["e2elMs"] == pytest.approx(entry["ttftMs"] + sum(entry["itlsMs"]), abs=0.1)
        assert (entry["inputTokens"], entry["outputTokens"]) == (12, 5)


async def test_one_output_token_has_no_tpot() -> None:
    outcome = await run_bench(FakeServer(), output_tokens=1)
    assert outcome.result == "Passed"
    assert "meanTtftMs" in outcome.figures
    assert "meanTpotMs" not in outcome.figures


def cut_last_usage(events: list[Any]) -> list[Any]:
    return events[:-2] + events[-1:]


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (cut_last_usage, "UsageMissing"),
        (lambda events: events[:-1], "StreamCut"),
        (lambda events: [*events[:2], None], "StreamCut"),
        (lambda events: events[:2], "StreamCut"),
        (lambda _events: [], "StreamCut"),
        (lambda _events: ["[DONE]"], "StreamCut"),
        (lambda events: [events[0], {"error": {"message": "boom", "code": 500}}], "ErrorInStream"),
        (lambda _events: ["{oops"], "BadAnswer"),
        (lambda _events: ["[1]"], "BadAnswer"),
        (lambda events: [events[0] | {"model": "other"}], "WrongModel"),
        (
            lambda events: [
                *events[:-2],
                events[-2] | {"usage": {"prompt_tokens": 12, "completion_tokens": 4}},
                "[DONE]",
            ],
            "WrongTokenCount",
        ),
        (
            lambda events: [
                *events[:-2],
                events[-2] | {"usage": {"prompt_tokens": 13, "completion_tokens": 5}},
                "[DONE]",
            ],
            "WrongTokenCount",
        ),
    ],
)
async def test_one_bad_stream_and_there_are_no_figures(stream: Any, reason: str) -> None:
    count = 0

    def spoil_the_third(events: list[Any]) -> list[Any]:
        nonlocal count
        count += 1
        spoiled: list[Any] = stream(events) if count == 3 else events
        return spoiled

    tracker = Tracker()
    with pytest.raises(CheckError) as caught:
        await run_bench(FakeServer(stream=spoil_the_third), tracker)
    assert caught.value.reason == reason
    figures = tracker.figures()
    assert figures["failed"] == 1
    assert "outputThroughput" not in figures


@pytest.mark.parametrize(
    ("path", "make", "reason"),
    [
        ("/v1/completions", lambda: error(429, "TooMany", "slow down"), "Throttled"),
        ("/v1/completions", lambda: error(503, "Unavailable", "x"), "ServerError"),
        ("/v1/completions", lambda: error(400, "BadRequestError", "x"), "RequestRefused"),
        ("/tokenize", lambda: error(404, "NotFoundError", "Not Found"), "NoTokenize"),
        ("/v1/models", lambda: error(404, "NotFoundError", "Not Found"), "WrongServer"),
    ],
)
async def test_refusals(path: str, make: Any, reason: str) -> None:
    async def before(request: web.Request, _payload: dict[str, Any]) -> web.Response | None:
        made: web.Response | None = make() if request.path == path else None
        return made

    server = FakeServer(before=before)
    with pytest.raises(CheckError) as caught:
        await run_bench(server)
    assert caught.value.reason == reason
    assert server.seen["/v1/completions"] <= 2, "a request of the load is never sent twice"


async def test_a_dead_server() -> None:
    with pytest.raises(CheckError) as caught:
        await run_bench(FakeServer(), url="http://127.0.0.1:1")
    assert caught.value.reason == "ServerUnreachable"


async def test_a_stream_that_falls_silent() -> None:
    async def hang(request: web.Request, _payload: dict[str, Any]) -> None:
        if request.path == "/v1/completions":
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.Event().wait()

    with pytest.raises(CheckError) as caught:
        await run_bench(FakeServer(before=hang), silence=0.1)
    assert caught.value.reason == "ServerTimeout"


async def test_fewer_requests_than_workers() -> None:
    with pytest.raises(SpecError) as caught:
        await run_bench(FakeServer(), concurrency=7)
    assert caught.value.reason == "TooFewRequests"


async def test_more_tokens_than_the_context() -> None:
    with pytest.raises(SpecError) as caught:
        await run_bench(FakeServer(max_model_len=16))
    assert caught.value.reason == "ContextTooShort"


async def test_a_tokenizer_that_gives_no_exact_length() -> None:
    class Pairs(FakeServer):
        def ids(self, text: str) -> list[int]:
            return super().ids(text) * 2

    with pytest.raises(CheckError) as caught:
        await run_bench(Pairs())
    assert caught.value.reason == "PromptLength"
