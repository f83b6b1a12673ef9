from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.runner import Outcome, Tracker
from ascendllm.checks.smoke.run import SmokeOptions, check_smoke
from unit.checks.fake_server import FakeServer, error

QUICK = RetryPolicy(attempts=2, first=0.01, longest=0.02)


async def run_smoke(server: FakeServer, **changes: Any) -> Outcome:
    options: dict[str, Any] = {"request_timeout": 5.0, "first_contact": QUICK} | changes
    model = options.pop("model", "m")
    url = options.pop("url", None)
    async with server.serve():
        endpoint = parse_endpoint(url or server.url + "/v1", model)
        return await check_smoke(SmokeOptions(endpoint, **options), Tracker(), None)


def results(outcome: Outcome) -> dict[str, str]:
    checks: Any = outcome.figures["checks"]
    return {check["name"]: check["result"] for check in checks}


@pytest.mark.parametrize(("kind", "name"), [("base", "completion"), ("instruct", "chat")])
async def test_a_right_server_passes(kind: str, name: str) -> None:
    outcome = await run_smoke(FakeServer(), kind=kind)
    assert (outcome.result, outcome.reason) == ("Passed", "AllPassed")
    assert results(outcome) == dict.fromkeys(
        ["health", "version", "models", name, "streaming", "usage"], "Passed"
    )
    assert outcome.figures["vllm"] == "0.18.0"
    assert outcome.figures["maxModelLen"] == 4096
    checks: Any = outcome.figures["checks"]
    assert all(check["latencyMs"] >= 0 for check in checks)


async def test_nobody_listens() -> None:
    outcome = await run_smoke(FakeServer(), url="http://127.0.0.1:1")
    assert (outcome.result, outcome.reason) == ("Error", "ServerUnreachable")
    assert results(outcome)["health"] == "Error"
    assert results(outcome)["usage"] == "Skipped"


async def test_another_model_is_no_verdict() -> None:
    outcome = await run_smoke(FakeServer(), model="M")
    assert (outcome.result, outcome.reason) == ("Error", "WrongModel")
    assert "but m" in outcome.message


async def test_a_name_that_differs_in_the_answer_only() -> None:
    outcome = await run_smoke(FakeServer(spoil=lambda answer: answer | {"model": "other"}))
    assert (outcome.result, outcome.reason) == ("Error", "WrongModel")


def answering(path: str, make: Any) -> FakeServer:
    async def before(request: web.Request, _payload: dict[str, Any]) -> web.Response | None:
        made: web.Response | None = make() if request.path == path else None
        return made

    return FakeServer(before=before)


@pytest.mark.parametrize(
    ("path", "make", "reason"),
    [
        ("/health", lambda: web.Response(status=503), "ServerError"),
        ("/v1/models", lambda: web.Response(text="<html>hello"), "BadAnswer"),
        ("/v1/models", lambda: web.json_response({"data": "none"}), "BadAnswer"),
        ("/v1/models", lambda: web.Response(status=302), "RequestRefused"),
        ("/v1/completions", lambda: error(500, "InternalServerError", "dead"), "ServerError"),
        ("/v1/completions", lambda: error(401, "Unauthorized", "no key"), "Unauthorized"),
        ("/v1/completions", lambda: error(404, "NotFoundError", "Not Found"), "WrongServer"),
        ("/v1/completions", lambda: error(429, "TooMany", "slow down"), "Throttled"),
        ("/v1/completions", lambda: web.Response(text="{"), "BadAnswer"),
    ],
)
async def test_what_says_nothing_of_the_model_is_an_error(
    path: str, make: Any, reason: str
) -> None:
    outcome = await run_smoke(answering(path, make))
    assert (outcome.result, outcome.reason) == ("Error", reason)


async def test_a_hanging_server_ends_in_a_timeout() -> None:
    async def hang(request: web.Request, _payload: dict[str, Any]) -> None:
        if request.path == "/v1/completions":
            await request.content.wait_eof()
            await never()

    outcome = await run_smoke(FakeServer(before=hang), request_timeout=0.2)
    assert (outcome.result, outcome.reason) == ("Error", "ServerTimeout")


async def never() -> None:
    import asyncio

    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("spoil", "step", "told"),
    [
        (lambda a: a | {"choices": []}, "completion", "one choice"),
        (lambda a: a | {"choices": [a["choices"][0] | {"text": ""}]}, "completion", "some text"),
        (
            lambda a: a | {"choices": [a["choices"][0] | {"finish_reason": "stop"}]},
            "completion",
            "finish_reason length",
        ),
        (lambda a: a | {"usage": None}, "usage", "prompt_tokens, completion_tokens"),
        (
            lambda a: a | {"usage": a["usage"] | {"total_tokens": 1}},
            "usage",
            "n + 16 = n + 16 tokens",
        ),
        (
            lambda a: (
                a | {"usage": {"prompt_tokens": 9, "completion_tokens": 16, "total_tokens": 25}}
            ),
            "usage",
            "prompt tokens, as /tokenize counts",
        ),
    ],
)
async def test_a_wrong_answer_is_a_verdict(spoil: Any, step: str, told: str) -> None:
    outcome = await run_smoke(FakeServer(spoil=spoil))
    assert (outcome.result, outcome.reason) == ("Failed", "WrongAnswers")
    assert results(outcome)[step] == "Failed"
    assert told in outcome.message


async def test_no_chat_template_fails_an_instruct_model() -> None:
    refuse = answering(
        "/v1/chat/completions",
        lambda: error(400, "BadRequestError", "you must provide a chat template"),
    )
    outcome = await run_smoke(refuse, kind="instruct")
    assert outcome.result == "Failed"
    assert "chat template" in outcome.message


@pytest.mark.parametrize(
    ("stream", "result", "told"),
    [
        (lambda events: events[:-2] + events[-1:], "Failed", "usage"),
        (lambda events: events[:-1], "Failed", "[DONE]"),
        (lambda events: events[-3:], "Failed", "two or more chunks"),
        (lambda events: [*events[:3], None], "Error", "StreamCut"),
        (lambda events: events[:3], "Error", "StreamCut"),
        (lambda _events: [], "Error", "StreamCut"),
        (lambda events: [events[0], {"error": {"message": "boom"}}], "Error", "ErrorInStream"),
        (lambda events: [events[0], "{oops"], "Error", "BadAnswer"),
        (lambda events: [events[0] | {"model": "other"}], "Error", "WrongModel"),
        (lambda events: [*events[:3], *events[4:]], "Failed", "the text"),
    ],
)
async def test_streams(stream: Any, result: str, told: str) -> None:
    outcome = await run_smoke(FakeServer(stream=stream))
    assert outcome.result == result
    assert told in f"{outcome.reason} {outcome.message}"
    assert results(outcome)["streaming"] == result


async def test_a_server_that_varies_is_not_held_to_its_text() -> None:
    count = 0

    def vary(answer: dict[str, Any]) -> dict[str, Any]:
        nonlocal count
        count += 1
        choice = answer["choices"][0] | {"text": f"text {count}"}
        return answer | {"choices": [choice]}

    outcome = await run_smoke(FakeServer(spoil=vary))
    assert outcome.result == "Passed"
    checks: Any = outcome.figures["checks"]
    assert "vary" in next(c["seen"] for c in checks if c["name"] == "streaming")


async def test_no_tokenize_leaves_the_rest_of_usage() -> None:
    missing = answering("/tokenize", lambda: error(404, "NotFoundError", "Not Found"))
    assert (await run_smoke(missing)).result == "Passed"
