from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.result import RESULT_BYTES, compact_json, writable
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.runner import Outcome, Tracker
from ascendllm.checks.smoke.prompts import PromptCase
from ascendllm.checks.smoke.run import SmokeOptions, check_smoke
from ascendllm.checks.smoke.shapes import Kind
from ascendllm.checks.smoke.table import TABLE, checks_for
from ascendllm_simulator.behaviour import Behaviour, Failure
from unit.checks.fake_server import error
from unit.checks.spoiled import Spoiled, simulated

PARAMETERS = [check.name for check in TABLE if check.group == "parameters"]
QUICK = RetryPolicy(attempts=2, first=0.01, longest=0.02)


async def run_smoke(server: Spoiled, **changes: Any) -> Outcome:
    async with server.serve():
        return await smoke_at(changes.pop("url", server.url + "/v1"), **changes)


async def smoke_at(url: str, **changes: Any) -> Outcome:
    options: dict[str, Any] = {"request_timeout": 5.0, "first_contact": QUICK} | changes
    endpoint = parse_endpoint(url, options.pop("model", "m"), options.pop("key_file", None))
    tracker = Tracker()
    outcome = await check_smoke(SmokeOptions(endpoint, **options), tracker, None)
    assert len(compact_json(writable(outcome.figures)).encode()) < RESULT_BYTES
    if outcome.result != "Error":
        assert tracker.done == tracker.total
    return outcome


def found(outcome: Outcome, name: str) -> dict[str, Any]:
    checks: Any = outcome.figures["checks"]
    [check] = [check for check in checks if check["name"] == name]
    return dict(check)


def results(outcome: Outcome) -> dict[str, str]:
    checks: Any = outcome.figures["checks"]
    return {check["name"]: check["result"] for check in checks}


def failed(outcome: Outcome) -> list[str]:
    return [
        name for name, result in results(outcome).items() if result not in ("Passed", "Skipped")
    ]


# Right servers


@pytest.mark.parametrize("kind", ["base", "instruct"])
@pytest.mark.parametrize("without", [(), ("parameters",), ("language", "parameters")])
async def test_a_right_server_passes(kind: Any, without: Any) -> None:
    async with simulated() as url:
        outcome = await smoke_at(url, kind=kind, without=without)
    assert (outcome.result, outcome.reason) == ("Passed", "AllPassed"), outcome.message
    names = [check.name for check in checks_for(kind, without=without, first=True)]
    assert list(results(outcome)) == names
    assert ("beamSearch" in names) is ("parameters" not in without)
    assert ("language" in names) is ("language" not in without)
    assert outcome.figures["vllm"] == "0.18.0"
    assert outcome.figures["maxModelLen"] == 4096
    checks: Any = outcome.figures["checks"]
    assert all(check["latencyMs"] >= 0 for check in checks)
    assert [name for name, result in results(outcome).items() if result != "Passed"] == ["apiKey"]


async def test_each_adapter_is_asked_for() -> None:
    async with simulated(adapters={"legal": "/loras/legal", "medical": "/loras/medical"}) as url:
        outcome = await smoke_at(url, adapters=("legal", "medical"))
        missing = await smoke_at(url, adapters=("tax",))
    assert outcome.result == "Passed", outcome.message
    assert [name for name in results(outcome) if name.startswith("adapter")] == [
        "adapter legal",
        "adapter medical",
    ]
    assert failed(missing) == ["adapter tax"]
    assert found(missing, "adapter tax")["expected"] == "tax in /v1/models"
    assert missing.result == "Failed"


async def test_an_adapter_that_answers_as_the_model_fails() -> None:
    def spoil(path: str, asked: dict[str, Any], answer: Any) -> Any:
        return {**answer, "model": "m"} if asked.get("model") == "legal" else ...

    server = Spoiled(spoil=spoil, fields={"adapters": {"legal": "/loras/legal"}})
    outcome = await run_smoke(server, adapters=("legal",))
    assert failed(outcome) == ["adapter legal"]
    assert found(outcome, "adapter legal")["expected"] == "an answer of legal"


async def test_a_base_model_without_a_chat_template_passes() -> None:
    async with simulated(chat_template=False) as url:
        outcome = await smoke_at(url)
        instruct = await smoke_at(url, kind="instruct")
    assert outcome.result == "Passed"
    assert found(outcome, "chatOfBaseModel")["seen"] == "no chat template"
    assert (instruct.result, found(instruct, "chat")["result"]) == ("Failed", "Failed")
    assert "chat template" in instruct.message


async def test_a_short_context_leaves_out_what_does_not_fit() -> None:
    async with simulated(max_model_len=64) as url:
        outcome = await smoke_at(url)
    assert outcome.result == "Passed", outcome.message
    assert found(outcome, "language")["result"] == "Skipped"
    assert "does not fit into a context of 64" in found(outcome, "logProbabilities")["seen"]


async def test_a_burst_is_one_more_than_the_server_computes() -> None:
    async with simulated(max_num_seqs=40, behaviour=Behaviour(0, 20, 1)) as url:
        for given, told in ((40, 41), (None, 17), (4096, 257)):
            outcome = await smoke_at(url, max_num_seqs=given, without=("parameters",))
            assert outcome.result == "Passed"
            assert found(outcome, "burst")["seen"] == f"{told} requests at once"


def test_the_table_names_each_check_once_a_kind() -> None:
    kinds: tuple[Kind, ...] = ("base", "instruct")
    for kind in kinds:
        names = [check.name for check in checks_for(kind, first=True)]
        assert len(names) == len(set(names))
    assert all(check.step.__doc__ for check in TABLE)


# No verdict


async def test_nobody_listens() -> None:
    outcome = await smoke_at("http://127.0.0.1:1")
    assert (outcome.result, outcome.reason) == ("Error", "ServerUnreachable")
    assert found(outcome, "health")["result"] == "Error"
    assert found(outcome, "usage")["result"] == "Skipped"


async def test_another_model_is_no_verdict() -> None:
    async with simulated() as url:
        outcome = await smoke_at(url, model="M")
    assert (outcome.result, outcome.reason) == ("Error", "WrongModel")
    assert "but m" in outcome.message


def answering(path: str, make: Any) -> Spoiled:
    async def before(request: web.Request, _payload: dict[str, Any]) -> web.Response | None:
        made: web.Response | None = make() if request.path == path else None
        return made

    return Spoiled(before=before)


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
        ("/metrics", lambda: web.Response(status=502), "ServerError"),
    ],
)
async def test_what_says_nothing_of_the_model_is_an_error(
    path: str, make: Any, reason: str
) -> None:
    outcome = await run_smoke(answering(path, make))
    assert (outcome.result, outcome.reason) == ("Error", reason)


async def test_a_hanging_server_ends_in_a_timeout() -> None:
    hang = Behaviour(0, 0, 0, failure=Failure("hang", {"after": 0, "times": 0}))
    async with simulated(behaviour=hang) as url:
        outcome = await smoke_at(url, request_timeout=0.2)
        assert (outcome.result, outcome.reason) == ("Error", "ServerTimeout")
        outcome = await smoke_at(url, time_limit=0.2)
        assert (outcome.result, outcome.reason) == ("Error", "TimedOut")


async def test_an_engine_that_dies_in_the_middle_is_no_verdict() -> None:
    dies = Behaviour(
        0, 0, 0, failure=Failure("dieAfter", {"requests": 20, "exitCode": 0, "keepAlive": True})
    )
    async with simulated(behaviour=dies) as url:
        outcome = await smoke_at(url)
    assert (outcome.result, outcome.reason) == ("Error", "ServerError")
    assert list(results(outcome).values()).count("Error") == 1


# Wrong answers, one check after the other


def choice_of(change: dict[str, Any]) -> Any:
    return lambda answer: {**answer, "choices": [answer["choices"][0] | change]}


def when(wanted: Any, change: Any, path: str = "/v1/completions") -> Spoiled:
    """Spoil the answers to the requests that `wanted` says."""

    def spoil(at: str, asked: dict[str, Any], answer: Any) -> Any:
        return change(answer) if at == path and "choices" in answer and wanted(asked) else ...

    return Spoiled(spoil=spoil)


def first(asked: dict[str, Any]) -> bool:
    return asked.get("max_tokens") == 32


def two(asked: dict[str, Any]) -> bool:
    return asked.get("n") == 2 and "use_beam_search" not in asked


def numbered(asked: dict[str, Any]) -> bool:
    return str(asked.get("prompt")).startswith("Number 3")


def paragraph(asked: dict[str, Any]) -> bool:
    return "prompt_logprobs" in asked


def prompt_logprobs(value: Any) -> Any:
    def change(answer: dict[str, Any]) -> dict[str, Any]:
        rows = answer["choices"][0]["prompt_logprobs"]
        rows[7] = {"1": {"logprob": value, "rank": 1}} if value != "gone" else None
        return answer

    return change


def all_prompt_logprobs(value: float) -> Any:
    def change(answer: dict[str, Any]) -> dict[str, Any]:
        rows = answer["choices"][0]["prompt_logprobs"]
        spoiled = [None, *({"1": {"logprob": value}} for _ in rows[1:])]
        return dict(choice_of({"prompt_logprobs": spoiled})(answer))

    return change


USAGE = {"prompt_tokens": 9, "completion_tokens": 32, "total_tokens": 41}


@pytest.mark.parametrize(
    ("server", "check", "told"),
    [
        (when(first, lambda a: a | {"choices": []}), "completion", "one choice"),
        (when(first, choice_of({"text": ""})), "completion", "some text"),
        (when(first, choice_of({"finish_reason": "stop"})), "completion", "finish_reason length"),
        (when(first, lambda a: a | {"usage": None}), "usage", "prompt_tokens, completion_tokens"),
        (
            when(first, lambda a: a | {"usage": a["usage"] | {"total_tokens": 1}}),
            "usage",
            "the prompt's tokens + 32 = their sum",
        ),
        (when(first, lambda a: a | {"usage": USAGE}), "usage", "as /tokenize counts"),
        (when(paragraph, prompt_logprobs(-9999.0)), "logProbabilities", "of token 7, 0 or less"),
        (when(paragraph, prompt_logprobs("gone")), "logProbabilities", "seen None"),
        (when(paragraph, prompt_logprobs("x")), "logProbabilities", "seen 'x'"),
        (when(paragraph, prompt_logprobs(0.5)), "logProbabilities", "seen 0.5"),
        (when(paragraph, choice_of({"prompt_logprobs": None})), "logProbabilities", "each token"),
        (when(paragraph, all_prompt_logprobs(-40.0)), "logProbabilities", "guessing each byte"),
        (
            when(lambda q: "stop" in q, choice_of({"stop_reason": "?"})),
            "stop",
            "finish_reason stop, stop_reason one of",
        ),
        (
            when(lambda q: len(q.get("stop", ())) == 4, choice_of({"text": "everything a-z" * 9})),
            "stop",
            "a text without",
        ),
        (
            when(two, lambda a: a | {"choices": a["choices"][:1]}),
            "n",
            "2 cho",
        ),
        (
            when(two, lambda a: a | {"choices": a["choices"][:1] * 2}),
            "n",
            "index 0 to 1",
        ),
        (
            when(lambda q: q.get("logprobs") == 5, choice_of({"logprobs": None})),
            "logprobs",
            "tokens",
        ),
        (
            when(
                lambda q: q.get("logprobs") == 5,
                choice_of(
                    {
                        "logprobs": {
                            "tokens": ["x"],
                            "token_logprobs": [-9999.0],
                            "top_logprobs": [{"x": -9999.0}],
                        }
                    }
                ),
            ),
            "logprobs",
            "of 0 or less",
        ),
        (
            when(
                lambda q: q.get("logprobs") == 5,
                choice_of(
                    {
                        "logprobs": {
                            "tokens": ["x"],
                            "token_logprobs": [-1.0],
                            "top_logprobs": [{str(n): -1.0 for n in range(7)}],
                        }
                    }
                ),
            ),
            "logprobs",
            "1 to 6 top_logprobs",
        ),
        (
            when(paragraph, all_prompt_logprobs(-12.0)),
            "language",
            "2.5 bits a byte",
        ),
        (
            when(numbered, lambda a: a | {"usage": USAGE}),
            "burst",
            "17 answers of 8 tokens",
        ),
        (
            when(lambda q: "min_tokens" in q, lambda a: a | {"usage": USAGE}),
            "minTokens",
            "8 tokens",
        ),
        (
            when(lambda q: "top_p" in q and "n" not in q, choice_of({"finish_reason": "stop"})),
            "topP",
            "finish_reason length (top_p: 0.9",
        ),
    ],
)
async def test_a_wrong_answer_fails_its_check_and_no_other(
    server: Spoiled, check: str, told: str
) -> None:
    outcome = await run_smoke(server, without=() if check in PARAMETERS else ("parameters",))
    assert (outcome.result, outcome.reason) == ("Failed", "WrongAnswers"), outcome.message
    gates = [name for name in failed(outcome) if found(outcome, name)["result"] == "Failed"]
    # What is worse than dice is no language either.
    assert set(gates) - ({"language"} if check == "logProbabilities" else set()) == {check}
    assert told in outcome.message
    assert {"expected", "seen", "latencyMs"} <= set(found(outcome, check))


LIFTED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "nGreedyRefused": lambda q: q.get("n") == 2 and q.get("temperature") == 0 and "top_k" not in q,
    "logprobsLimit": lambda q: q.get("logprobs", 0) > 20,
    "tooLongRefused": lambda q: isinstance(q.get("prompt"), list),
    "unknownModelRefused": lambda q: q.get("model", "m") != "m",
    "emptyPromptRefused": lambda q: q.get("prompt") == "",
    "malformedRefused": lambda q: q == {},
    "temperature": lambda q: q.get("temperature", 0) < 0,
    "topK": lambda q: q.get("top_k") == -2,
    "topP": lambda q: q.get("top_p") == 0,
    "presencePenalty": lambda q: q.get("presence_penalty", 0) > 2,
    "frequencyPenalty": lambda q: q.get("frequency_penalty", 0) < -2,
    "repetitionPenalty": lambda q: q.get("repetition_penalty") == 0,
    "choices": lambda q: q.get("n") == 0,
    "stopStrings": lambda q: "" in (q.get("stop") or ()),
    "minTokens": lambda q: q.get("min_tokens") == 9,
    "seed": lambda q: q.get("seed", 0) == 2**63,
    "beamSearch": lambda q: q.get("use_beam_search") and q.get("stream"),
}


@pytest.mark.parametrize("check", LIFTED)
async def test_what_should_be_refused_is_not(check: str) -> None:
    async def before(request: web.Request, asked: dict[str, Any]) -> web.Response | None:
        if request.path == "/v1/completions" and LIFTED[check](asked):
            choice = {"index": 0, "text": "x", "finish_reason": "length"}
            return web.json_response({"model": "m", "choices": [choice]})
        return None

    outcome = await run_smoke(
        Spoiled(before=before), without=() if check in PARAMETERS else ("parameters",)
    )
    assert outcome.result == "Failed"
    assert failed(outcome) == [check]
    assert "HTTP 200" in found(outcome, check)["seen"]


@pytest.mark.parametrize(
    "body",
    [
        {"detail": "no"},
        {"error": "no"},
        {"error": {"message": "no", "type": "BadRequestError", "param": None}},
        {"error": {"message": "no", "type": "BadRequestError", "param": None, "code": 422}},
    ],
)
async def test_a_refusal_has_vllms_shape(body: dict[str, Any]) -> None:
    async def before(request: web.Request, asked: dict[str, Any]) -> web.Response | None:
        return web.json_response(body, status=400) if asked.get("prompt") == "" else None

    outcome = await run_smoke(Spoiled(before=before))
    assert failed(outcome) == ["emptyPromptRefused"]
    assert '"code"' in found(outcome, "emptyPromptRefused")["expected"]


async def test_a_refusal_that_is_an_accident_fails() -> None:
    """500 in the server's own words, and it lives: wrong. 500 and dead: no verdict."""

    def stumbling(health: int) -> Spoiled:
        stumbled = asyncio.Event()

        async def before(request: web.Request, asked: dict[str, Any]) -> web.Response | None:
            if asked.get("prompt") == "":
                stumbled.set()
                return error(500, "InternalServerError", "list index out of range")
            if request.path == "/health" and stumbled.is_set():
                return web.Response(status=health)
            return None

        return Spoiled(before=before)

    outcome = await run_smoke(stumbling(200), without=("parameters",))
    assert failed(outcome) == ["emptyPromptRefused"]
    assert "list index" in found(outcome, "emptyPromptRefused")["seen"]
    outcome = await run_smoke(stumbling(503), without=("parameters",))
    assert (outcome.result, outcome.reason) == ("Error", "ServerError")


CHOICE = {"index": 0, "text": "x", "finish_reason": "length"}
JUNK: list[Any] = [
    [],
    {},
    None,
    7,
    {"model": "m"},
    {"model": "m", "choices": 5, "usage": 5, "data": 5, "version": 5, "count": "x"},
    {"model": "m", "choices": [None], "data": [None], "usage": {}, "version": {}},
    {"model": "m", "choices": [{}], "data": [{"id": "m", "max_model_len": "x"}], "version": ""},
    {"model": "m", "choices": [CHOICE], "data": [{"id": "m", "max_model_len": -1}]},
    {
        "model": "m",
        "version": "\ud800" * 500,
        "data": [{"id": "m", "max_model_len": 10**400}],
        "choices": [CHOICE | {"logprobs": {"tokens": 1}, "prompt_logprobs": [1, {"1": 2}, {}]}],
        "usage": {"prompt_tokens": True, "completion_tokens": 10**400, "total_tokens": "x"},
    },
    {
        "model": "m",
        "version": "1",
        "data": [{"id": "m", "max_model_len": 4096}],
        "choices": [
            CHOICE
            | {
                "logprobs": {
                    "tokens": ["x"],
                    "token_logprobs": [10**400],
                    "top_logprobs": [{"x": None}],
                },
                "prompt_logprobs": [None, {"1": {"logprob": 10**400}}],
                "stop_reason": {},
            }
        ],
        "usage": [],
    },
]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
@pytest.mark.parametrize("kind", ["base", "instruct"])
async def test_junk_is_never_passed_and_never_a_bug(kind: Any, junk: Any) -> None:
    outcome = await run_smoke(Spoiled(spoil=lambda *_: junk), kind=kind)
    assert outcome.result in ("Failed", "Error")
    outcome = await run_smoke(when(lambda _: True, lambda _: junk), kind=kind)
    assert outcome.result in ("Failed", "Error")


async def test_a_parameter_that_is_refused_fails() -> None:
    async def before(request: web.Request, asked: dict[str, Any]) -> web.Response | None:
        return error(400, "BadRequestError", "not today") if asked.get("top_k") == 5 else None

    outcome = await run_smoke(Spoiled(before=before))
    assert failed(outcome) == ["topK"]
    assert found(outcome, "topK")["seen"] == "HTTP 400: not today"


@pytest.mark.parametrize(
    ("field", "message", "check"),
    [
        ("use_beam_search", "beam search is not supported", "beamSearch"),
        ("min_tokens", "min_tokens is not supported with speculative decoding", "minTokens"),
    ],
)
async def test_what_a_server_cannot_do_by_its_setup_is_skipped(
    field: str, message: str, check: str
) -> None:
    async def before(request: web.Request, asked: dict[str, Any]) -> web.Response | None:
        return error(400, "BadRequestError", message) if field in asked else None

    outcome = await run_smoke(Spoiled(before=before))
    assert outcome.result == "Passed"
    assert found(outcome, check)["result"] == "Skipped"
    assert message in found(outcome, check)["seen"]


# What is noted only


@pytest.mark.parametrize(
    ("server", "check", "told"),
    [
        (
            when(
                lambda q: q.get("logprobs") == 20,
                choice_of({"logprobs": {"top_logprobs": [{" London": -1.0, " P": -2.0}]}}),
            ),
            "knowledge",
            "London",
        ),
        (
            when(lambda q: q.get("top_k") == 1, choice_of({"text": "something else"})),
            "topKOfOne",
            "the greedy text",
        ),
    ],
)
async def test_a_soft_check_fails_nothing(server: Spoiled, check: str, told: str) -> None:
    outcome = await run_smoke(server)
    assert (outcome.result, outcome.reason) == ("Passed", "PassedWithNotes"), outcome.message
    assert failed(outcome) == [check]
    assert found(outcome, check)["result"] == "Inconclusive"
    assert told in outcome.message


async def test_one_piece_again_and_again_is_noted() -> None:
    def spoil(at: str, asked: dict[str, Any], answer: Any) -> Any:
        return choice_of({"text": "...." * 8})(answer) if first(asked) else ...

    def stream(events: list[Any]) -> list[Any]:
        for event in events[:32]:
            event["choices"][0]["text"] = "."
        return events

    outcome = await run_smoke(Spoiled(spoil=spoil, stream=stream))
    assert results(outcome)["variety"] == "Inconclusive"
    assert results(outcome)["completion"] == "Passed"


async def test_seeds_that_do_not_repeat_are_noted() -> None:
    count = 0

    def change(answer: dict[str, Any]) -> Any:
        nonlocal count
        count += 1
        return choice_of({"text": f"text {count}"})(answer)

    outcome = await run_smoke(when(lambda q: q.get("seed") == 1234, change))
    assert failed(outcome) == ["seedRepeats"]


# Streams


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
    outcome = await run_smoke(Spoiled(stream=stream))
    assert outcome.result == result
    assert told in f"{outcome.reason} {outcome.message}"
    assert results(outcome)["streaming"] == result


async def test_a_server_that_varies_is_not_held_to_its_text() -> None:
    count = 0

    def vary(answer: dict[str, Any]) -> dict[str, Any]:
        nonlocal count
        count += 1
        return dict(choice_of({"text": f"text {count}"})(answer))

    def spoil(at: str, asked: dict[str, Any], answer: Any) -> Any:
        return vary(answer) if first(asked) and "choices" in answer else ...

    outcome = await run_smoke(Spoiled(spoil=spoil))
    assert outcome.result == "Passed"
    assert "vary" in found(outcome, "streaming")["seen"]


async def test_no_tokenize_leaves_the_rest_of_usage() -> None:
    missing = answering("/tokenize", lambda: error(404, "NotFoundError", "Not Found"))
    outcome = await run_smoke(missing)
    assert outcome.result == "Passed"
    assert results(outcome)["usage"] == "Passed"


# Counters, key


def metrics(finished: int, tokens: int, running: int = 0, started: float = 1.0) -> web.Response:
    lines = [
        f"process_start_time_seconds {started}",
        f'vllm:request_success_total{{engine="0",finished_reason="stop"}} {finished - 1}.0',
        'vllm:request_success_total{engine="1",finished_reason="stop"} 1.0',
        f'vllm:generation_tokens_total{{engine="0"}} {tokens}.0',
        f'vllm:num_requests_running{{engine="0"}} {running}.0',
    ]
    return web.Response(text="\n".join(lines) + "\n")


async def counted(monkeypatch: pytest.MonkeyPatch, *answers: web.Response) -> Outcome:
    """Smoke on a server whose /metrics answers these in turn, the last one for ever."""
    monkeypatch.setattr("ascendllm.checks.smoke.groups.counters.SETTLE_SECONDS", 0.3)
    left = list(answers)
    text = [answer.text or "" for answer in left]
    status = [answer.status for answer in left]

    async def before(request: web.Request, _asked: dict[str, Any]) -> web.Response | None:
        if request.path != "/metrics":
            return None
        place = 0 if len(text) == 1 else None
        told, code = text[0], status[0]
        if place is None:
            text.pop(0)
            status.pop(0)
        return web.Response(text=told, status=code)

    return await run_smoke(Spoiled(before=before), without=("parameters",))


async def test_counters_that_move_as_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    late = [metrics(10, 100), metrics(10, 100), metrics(12, 116), metrics(13, 124)]
    outcome = await counted(monkeypatch, *late)
    assert results(outcome)["counters"] == "Passed"


@pytest.mark.parametrize(
    ("answers", "result", "told"),
    [
        ([metrics(10, 100), metrics(10, 100)], "Failed", "0 and 0: another server"),
        ([metrics(10, 100), metrics(13, 110)], "Failed", "3 and 10"),
        ([metrics(10, 100), metrics(14, 132)], "Skipped", "other clients are served: 4"),
        ([metrics(10, 100), metrics(13, 124, started=2.0)], "Skipped", "several servers"),
        ([web.Response(status=404)], "Skipped", "no /metrics (HTTP 404)"),
        ([web.Response(text="python_info 1.0\n")], "Skipped", "no vllm:request_success_total"),
        ([web.Response(text="<html>\x00\xff")], "Skipped", "/metrics has no"),
    ],
)
async def test_counters(
    monkeypatch: pytest.MonkeyPatch, answers: list[web.Response], result: str, told: str
) -> None:
    outcome = await counted(monkeypatch, *answers)
    check = found(outcome, "counters")
    assert check["result"] == result
    assert told in check["seen"]
    assert outcome.result == ("Failed" if result == "Failed" else "Passed")


async def test_a_request_that_never_ends_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await counted(monkeypatch, metrics(10, 100, 1), metrics(13, 124, 1))
    assert found(outcome, "idle")["result"] == "Inconclusive"
    assert "a stuck one" in found(outcome, "idle")["seen"]


async def test_a_key_is_asked_for(tmp_path: Any) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    async with simulated(api_keys=("secret",)) as url:
        outcome = await smoke_at(url, key_file=key)
        assert (outcome.result, results(outcome)["apiKey"]) == ("Passed", "Passed")
        without = await smoke_at(url)
        assert (without.result, without.reason) == ("Error", "Unauthorized")
    async with simulated() as url:
        outcome = await smoke_at(url, key_file=key)
    assert failed(outcome) == ["apiKey"]
    assert found(outcome, "apiKey")["expected"] == "HTTP 401 with no key"
    assert "secret" not in json.dumps(dict(outcome.figures))


# Own prompts


async def test_own_prompts_are_held_to_their_patterns() -> None:
    cases = (
        PromptCase("The capital of France is", None, 4, r"\bParis\b"),
        PromptCase(None, (("system", "kurz"), ("user", "안녕하세요, 자기소개 해주세요.")), 64),
        PromptCase("The capital of France is", None, 4, "London"),
    )
    async with simulated() as url:
        outcome = await smoke_at(url, prompts=cases)
    assert failed(outcome) == ["prompt3"]
    assert results(outcome)["prompt2"] == "Passed"
    assert found(outcome, "prompt1")["seen"].startswith("' Paris")
    assert found(outcome, "prompt3")["expected"] == "an answer with 'London'"


async def test_a_chat_of_a_model_without_a_template_fails() -> None:
    case = PromptCase(None, (("user", "hello"),), 8)
    async with simulated(chat_template=False) as url:
        outcome = await smoke_at(url, prompts=(case,))
    assert failed(outcome) == ["prompt1"]
    assert "chat template" in found(outcome, "prompt1")["seen"]


async def test_a_hostile_pattern_ends_in_an_error() -> None:
    server = when(lambda q: q.get("prompt") == "x", choice_of({"text": "a" * 60 + "!"}))
    cases = (PromptCase("x", None, 32, "(a+)+$"), PromptCase("y", None))
    async with asyncio.timeout(60):
        outcome = await run_smoke(server, prompts=cases, without=("parameters",))
    assert (outcome.result, outcome.reason) == ("Error", "PatternTooSlow")
    assert results(outcome)["prompt2"] == "Skipped"


async def test_a_pattern_that_does_not_compile_ends_smoke_before_any_request() -> None:
    server = Spoiled()
    cases = (PromptCase("x", None, 8, "fine"), PromptCase("y", None, 8, "(never closed"))
    outcome = await run_smoke(server, prompts=cases, prompts_field="spec.validation.smoke.prompts")
    assert (outcome.result, outcome.reason) == ("Error", "BadPattern")
    assert outcome.message.startswith(
        "spec.validation.smoke.prompts[1].expect: '(never closed' is not a regular expression"
    )
    assert "missing ), unterminated subpattern at position 0" in outcome.message
    assert server.seen == {}
