from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.mmlu.run import MmluOptions, check_mmlu
from ascendllm.checks.mmlu.verdict import Baseline
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.runner import Outcome, Tracker
from ascendllm.exceptions import CheckError, SpecError
from unit.checks.fake_server import FakeServer, error
from unit.checks.mmlu_set import right_letter, write_set

QUICK = RetryPolicy(attempts=3, first=0.01, longest=0.02)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_set(tmp_path / "mmlu")


async def run_mmlu(
    server: FakeServer,
    data: Path,
    tracker: Tracker | None = None,
    checkpoint: str | None = None,
    **changes: Any,
) -> Outcome:
    chosen: dict[str, Any] = {
        "custom_data": True,
        "concurrency": 3,
        "request_timeout": 5.0,
        "retry": QUICK,
        "first_contact": QUICK,
    } | changes
    model = chosen.pop("model", "m")
    url = chosen.pop("url", None)
    async with server.serve():
        endpoint = parse_endpoint(url or server.url, model)
        options = MmluOptions(endpoint, data, **chosen)
        return await check_mmlu(options, tracker or Tracker(), checkpoint)


def asked(server: FakeServer) -> list[dict[str, Any]]:
    return [p for p in server.payloads if p["path"] == "/v1/completions"]


async def test_every_question_is_asked_once_and_judged(data: Path) -> None:
    server = FakeServer(letter=right_letter)
    tracker = Tracker()
    outcome = await run_mmlu(server, data, tracker, baseline=Baseline(Decimal("99.9")))
    assert (outcome.result, outcome.reason) == ("Passed", "WithinTolerance")
    figures = outcome.figures
    assert (figures["macroAverage"], figures["microAverage"]) == (100.0, 100.0)
    assert (figures["questions"], figures["unanswered"], figures["subjectCount"]) == (10, 0, 2)
    assert figures["customData"] is True
    assert figures["baseline"] == 99.9
    assert figures["delta"] == 0.1
    assert str(figures["datasetHash"]).startswith("sha256:")
    assert server.seen["/v1/completions"] == 10
    assert figures["requests"] == 1 + 10 + 10
    assert (tracker.done, tracker.total) == (10, 10)


async def test_the_request_is_the_protocol_to_the_letter(data: Path) -> None:
    server = FakeServer(letter=right_letter)
    await run_mmlu(server, data, shots=1, concurrency=1)
    sent = asked(server)[0]
    choices = "A. one\nB. two\nC. NA\nD. None\nAnswer:"
    assert sent["prompt"] == (
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
        f"abstract_algebra dev 0?\n{choices} A\n\n"
        f"abstract_algebra test 0?\n{choices}"
    )
    assert sent["allowed_token_ids"] == [server.ids(f" {letter}")[-1] for letter in "ABCD"]
    assert (sent["max_tokens"], sent["temperature"], sent["logprobs"]) == (1, 0, 20)
    assert sent["return_tokens_as_token_ids"] is True
    assert sent["repetition_penalty"] == 1.0, "not what generation_config.json says"


async def test_subjects_go_out_one_after_the_other(data: Path) -> None:
    server = FakeServer(letter=right_letter)
    await run_mmlu(server, data)
    order = ["algebra" in sent["prompt"] for sent in asked(server)]
    assert order == [True] * 4 + [False] * 6
    assert server.most_in_flight <= 3


async def test_the_documents(data: Path) -> None:
    outcome = await run_mmlu(FakeServer(letter=lambda _prompt: "B"), data)
    assert (outcome.result, outcome.reason) == ("Error", "BrokenMethod")
    answers = json.loads(outcome.documents.texts["answers.json"])
    assert answers["answers"] == {"abstract_algebra": "BBBB", "us_foreign_policy": "BBBBBB"}
    table = outcome.documents.texts["subjects.txt"].splitlines()
    assert table[0].split() == ["SUBJECT", "ACCURACY", "CORRECT", "QUESTIONS"]
    assert table[1].split() == ["abstract_algebra", "25.00", "1", "4"]
    assert table[2].split() == ["us_foreign_policy", "33.33", "2", "6"]
    assert table[3].split() == ["macro", "average", "29.17"]
    report: Any = outcome.documents.report["answers"]
    assert len(report) == 10
    assert report[1] == {
        "subject": "abstract_algebra",
        "question": 1,
        "answer": "B",
        "expected": "B",
        "correct": True,
    }


def failing(times: int, make: Any, path: str = "/v1/completions") -> FakeServer:
    left = times

    async def before(request: web.Request, _payload: dict[str, Any]) -> web.Response | None:
        nonlocal left
        if request.path == path and left > 0:
            left -= 1
            made: web.Response = make(request)
            return made
        return None

    return FakeServer(letter=right_letter, before=before)


def abort(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.mark.parametrize(
    "make",
    [
        lambda _request: error(429, "TooMany", "slow down", **{"Retry-After": "0.01"}),
        lambda _request: error(503, "Unavailable", "soon"),
        abort,
    ],
)
async def test_what_passes_by_is_retried(data: Path, make: Any) -> None:
    server = failing(2, make)
    outcome = await run_mmlu(server, data, concurrency=1)
    assert outcome.result == "Passed"
    assert server.seen["/v1/completions"] == 12
    assert outcome.figures["requests"] == 1 + 10 + 12


@pytest.mark.parametrize(
    ("path", "make", "reason"),
    [
        ("/v1/completions", lambda _r: error(429, "TooMany", "slow down"), "Throttled"),
        ("/v1/completions", lambda _r: error(503, "Unavailable", "never"), "ServerError"),
        ("/v1/completions", lambda _r: error(500, "InternalServerError", "x"), "ServerError"),
        ("/v1/completions", abort, "ServerUnreachable"),
        ("/v1/completions", lambda _r: error(404, "NotFoundError", "`m` gone"), "WrongModel"),
        ("/v1/completions", lambda _r: error(400, "BadRequestError", "odd"), "RequestRefused"),
        (
            "/v1/completions",
            lambda _r: error(400, "BadRequestError", "maximum context length is 10"),
            "PromptTooLong",
        ),
        ("/v1/completions", lambda _r: web.Response(text="oops"), "BadAnswer"),
        ("/v1/completions", lambda _r: web.json_response([1]), "BadAnswer"),
        ("/tokenize", lambda _r: web.json_response({"tokens": "many"}), "BadAnswer"),
        ("/v1/models", lambda _r: web.json_response({"data": []}), "WrongModel"),
        ("/v1/models", lambda _r: web.Response(text="<html>"), "BadAnswer"),
    ],
)
async def test_what_stays_is_an_error(data: Path, path: str, make: Any, reason: str) -> None:
    with pytest.raises(CheckError) as caught:
        await run_mmlu(failing(10**6, make, path), data)
    assert caught.value.reason == reason


async def test_a_dead_server(data: Path) -> None:
    with pytest.raises(CheckError) as caught:
        await run_mmlu(FakeServer(), data, url="http://127.0.0.1:1")
    assert caught.value.reason == "ServerUnreachable"
    assert "3 attempts" in caught.value.message


async def test_a_silent_server_is_a_timeout(data: Path) -> None:
    async def hang(request: web.Request, _payload: dict[str, Any]) -> None:
        if request.path == "/v1/completions":
            await asyncio.Event().wait()

    with pytest.raises(CheckError) as caught:
        await run_mmlu(FakeServer(before=hang), data, request_timeout=0.1)
    assert caught.value.reason == "ServerTimeout"


def without(*path: str) -> Any:
    def spoil(answer: dict[str, Any]) -> dict[str, Any]:
        place: Any = answer["choices"][0]
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        return answer

    return spoil


def with_logprobs(**changes: Any) -> Any:
    def spoil(answer: dict[str, Any]) -> dict[str, Any]:
        answer["choices"][0]["logprobs"] |= changes
        return answer

    return spoil


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda a: a | {"model": "other"}, "WrongModel"),
        (lambda a: a | {"choices": []}, "BadAnswer"),
        (without("logprobs"), "MissingLogprobs"),
        (without("logprobs", "top_logprobs"), "MissingLogprobs"),
        (without("logprobs", "tokens"), "MissingLogprobs"),
        (with_logprobs(tokens=[" A"]), "MissingLogprobs"),
        (with_logprobs(token_logprobs=[None]), "MissingLogprobs"),
        (with_logprobs(token_logprobs=[-9999.0]), "BadLogprobs"),
        (with_logprobs(token_logprobs=[float("nan")]), "BadLogprobs"),
    ],
)
async def test_spoiled_answers(data: Path, spoil: Any, reason: str) -> None:
    tracker = Tracker()
    with pytest.raises(CheckError) as caught:
        await run_mmlu(FakeServer(letter=right_letter, spoil=spoil), data, tracker)
    assert caught.value.reason == reason
    assert "question" in caught.value.message
    figures = tracker.figures()
    assert figures["unanswered"] == 10


async def test_a_prompt_longer_than_the_context_names_the_subject(data: Path) -> None:
    with pytest.raises(CheckError) as caught:
        await run_mmlu(FakeServer(max_model_len=50), data)
    assert caught.value.reason == "PromptTooLong"
    assert "abstract_algebra" in caught.value.message


async def test_a_tokenizer_that_splits_the_letter(data: Path) -> None:
    class Splitting(FakeServer):
        def ids(self, text: str) -> list[int]:
            return [ord(character) for character in text]

    with pytest.raises(CheckError) as caught:
        await run_mmlu(Splitting(), data)
    assert caught.value.reason == "LetterTokens"


async def test_going_on_after_a_kill(data: Path) -> None:
    """Cancelled in the middle, the second attempt asks only what is missing."""
    reached = asyncio.Event()

    async def before(request: web.Request, _payload: dict[str, Any]) -> None:
        if request.path == "/v1/completions" and server.seen[request.path] > 7:
            if server.seen[request.path] == 9:  # both workers wait: seven answers have arrived
                reached.set()
            await asyncio.Event().wait()

    server, tracker = FakeServer(letter=right_letter, before=before), Tracker()
    task = asyncio.create_task(run_mmlu(server, data, tracker, concurrency=2))
    await reached.wait()
    assert tracker.done == 7
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert tracker.checkpoint is not None
    checkpoint = tracker.checkpoint()

    again, second = FakeServer(letter=right_letter), Tracker()
    outcome = await run_mmlu(again, data, second, checkpoint)
    assert again.seen["/v1/completions"] == 3
    assert again.seen["/tokenize"] == 5, "only the subject with open questions"
    assert outcome.figures["microAverage"] == 100.0
    assert second.checkpoint is not None
    finished = second.checkpoint()

    third = FakeServer(letter=right_letter)
    assert (await run_mmlu(third, data, None, finished)).figures["questions"] == 10
    assert third.seen["/v1/completions"] == 0

    for shots, model in ((4, "m"), (5, "n")):
        server = FakeServer(letter=right_letter, model=model)
        await run_mmlu(server, data, None, finished, shots=shots, model=model)
        assert server.seen["/v1/completions"] == 10


@pytest.mark.parametrize("checkpoint", ["", "{", "[]", '{"identity": {}}', "\x00" * 10])
async def test_a_broken_checkpoint_is_dropped(data: Path, checkpoint: str) -> None:
    server = FakeServer(letter=right_letter)
    await run_mmlu(server, data, None, checkpoint)
    assert server.seen["/v1/completions"] == 10


async def test_other_counts_are_refused(data: Path) -> None:
    server = FakeServer()
    with pytest.raises(SpecError) as caught:
        await run_mmlu(server, data, custom_data=False)
    assert caught.value.reason == "NotCanonical"
    assert not server.seen


async def test_missing_shots(data: Path) -> None:
    with pytest.raises(SpecError) as caught:
        await run_mmlu(FakeServer(), data, shots=6)
    assert caught.value.reason == "MissingShots"
    assert "abstract_algebra" in caught.value.message
