"""Evals against a server, with a stand-in for lm-eval; the real one is run in tests/vllm."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ascendllm.checks.endpoint import Endpoint, parse_endpoint
from ascendllm.checks.evals.run import EVALS, EvalsOptions, check_evals
from ascendllm.checks.evals.task import parse_task
from ascendllm.checks.result import CheckResult
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.runner import run_check
from ascendllm.exceptions import SpecError
from unit.checks.fake_server import FakeServer, error

STAND_IN = Path(__file__).parent / "lm_eval_stand_in"
OPERATOR = Path(__file__).parents[3] / "operator"
QUICK = RetryPolicy(attempts=3, first=0.02, longest=0.05)
Handler = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse | None]]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setenv("PYTHONPATH", f"{STAND_IN}{os.pathsep}{OPERATOR}")
    monkeypatch.delenv("LM_EVAL_STAND_IN", raising=False)

    def choose(**what: Any) -> None:
        monkeypatch.setenv("LM_EVAL_STAND_IN", json.dumps(what))

    return choose


def answering(text: Callable[[str], str] = lambda _prompt: " right") -> Handler:
    """What is asked for is written; the last token of what is scored has -0.5."""

    async def handler(request: web.Request, payload: dict[str, Any]) -> web.Response | None:
        if not request.path.endswith("completions"):
            return None
        chat = "chat" in request.path
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        if payload.get("echo"):
            ids = [*payload["prompt"][0], 99]
            values = [None, *[-2.0] * (len(ids) - 3), -0.5, -1.0]
            tops = [None, *({"x": value} for value in values[1:])]
            choice |= {"text": "", "finish_reason": "length"}
            choice["logprobs"] = {
                "tokens": ["x"] * len(ids),
                "token_logprobs": values,
                "top_logprobs": tops,
                "text_offset": [0] * len(ids),
            }
        elif chat:
            choice["message"] = {"content": text(payload["messages"][-1]["content"])}
        else:
            choice["text"] = text(payload["prompt"])
        return web.json_response({"id": "1", "model": payload["model"], "choices": [choice]})

    return handler


def spoiled(change: Callable[[dict[str, Any]], Any]) -> Handler:
    """The right answers, spoiled from the third on."""
    seen = 0
    right = answering()

    async def handler(request: web.Request, payload: dict[str, Any]) -> web.StreamResponse | None:
        nonlocal seen
        answer = await right(request, payload)
        if answer is None:
            return None
        seen += 1
        assert isinstance(answer, web.Response)
        assert isinstance(answer.body, bytes)
        if seen < 3:
            return answer
        data = json.loads(answer.body)
        changed = change(data)
        return changed if isinstance(changed, web.Response) else web.json_response(data)

    return handler


async def run(endpoint: Endpoint, *tasks: str, **changes: Any) -> CheckResult:
    options = EvalsOptions(
        endpoint,
        tuple(parse_task(task) for task in tasks),
        **({"concurrency": 2, "retry": QUICK, "first_contact": QUICK} | changes),
    )
    body = lambda tracker, checkpoint: check_evals(options, tracker, checkpoint)  # noqa: E731
    ending = await run_check(EVALS, body, [], 60)
    assert ending.result is not None
    return ending.result


async def run_on(before: Handler, *tasks: str, **changes: Any) -> CheckResult:
    async with FakeServer(before=before).serve() as server:
        return await run(parse_endpoint(server.url, "m"), *tasks, **changes)


def rows(result: CheckResult) -> list[dict[str, Any]]:
    found: Any = result.figures["tasks"]
    return list(found)


async def test_both_filters_are_reported_and_the_named_one_is_judged() -> None:
    result = await run_on(
        answering(lambda prompt: "wrong" if prompt.endswith("5") else "right"),
        "sums,shots=5,filter=flexible-extract,baseline=84,tolerance=1.0",
    )
    assert (result.result, result.reason) == ("Passed", "WithinTolerance")
    judged, other = rows(result)
    assert judged == {
        "task": "sums",
        "version": "3.0",
        "filter": "flexible-extract",
        "metric": "exact_match",
        "value": 83.33,
        "standardError": 25.0,
        "shots": 5,
        "samples": 6,
        "taskHash": "ab" * 8,
        "baseline": 84.0,
        "tolerance": 1.0,
        "delta": -0.67,
        "result": "Passed",
    }
    assert (other["filter"], other["value"]) == ("strict-match", 83.33)
    assert "result" not in other
    assert result.figures["lmEvalVersion"] == "0.4.12"


async def test_below_the_baseline_fails() -> None:
    result = await run_on(
        answering(lambda _: "wrong"), "sums,filter=strict-match,baseline=1.1,tolerance=1.0"
    )
    assert (result.result, result.reason) == ("Failed", "BelowBaseline")
    assert "0.00 against 1.1: -1.10 points, tolerance 1.0" in result.message


async def test_several_tasks_run_one_after_the_other() -> None:
    result = await run_on(answering(), "sums_zero,baseline=90", "sums", kind="instruct")
    assert (result.result, result.reason) == ("Passed", "WithinTolerance")
    assert [row["task"] for row in rows(result)] == ["sums_zero", "sums", "sums"]
    assert "sums: exact_match (strict-match) 100.0" in result.message


async def test_a_group_has_its_own_figure() -> None:
    result = await run_on(answering(), "many,baseline=100")
    assert result.result == "Passed"
    assert [(row["task"], row["samples"], row["filter"]) for row in rows(result)] == [
        ("many", 12, "none")
    ]
    assert "standardError" not in rows(result)[0]


async def test_a_group_without_a_figure_is_refused() -> None:
    result = await run_on(answering(), "loose")
    assert (result.result, result.reason) == ("Error", "NoGroupFigure")
    assert "sums, sums_zero" in result.message


async def test_the_key_is_with_the_server_and_nowhere_else(
    stand_in: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "note.json"
    stand_in(note=str(note))
    monkeypatch.setenv("SOME_API_KEY", "sesame-2")
    monkeypatch.setenv("HF_TOKEN", "sesame-3")
    (tmp_path / "data" / "made-up" / "sums").mkdir(parents=True)
    key = tmp_path / "key"
    key.write_text("sesame-1")
    headers = set()
    right = answering()

    async def before(request: web.Request, payload: dict[str, Any]) -> web.StreamResponse | None:
        headers.add(request.headers.get("Authorization"))
        return await right(request, payload)

    async with FakeServer(before=before).serve() as server:
        endpoint = parse_endpoint(server.url, "m", key)
        result = await run(endpoint, f"sums,limit=3,data={tmp_path / 'data'}")
    assert result.result == "Passed"
    assert headers == {"Bearer sesame-1"}
    seen = json.loads(note.read_text())
    assert "sesame" not in note.read_text()
    assert seen["cwd"] == str(tmp_path / "data")
    assert seen["environment"]["HF_HUB_OFFLINE"] == "1"
    assert seen["environment"]["HF_HOME"].startswith("/tmp")
    assert seen["config"]["tasks"] == ["sums", "sums"]
    assert seen["config"]["limit"] == 3
    assert not os.path.exists(seen["config"]["output_path"])  # noqa: ASYNC240


async def test_a_chat_is_asked_as_a_chat(stand_in: Callable[..., None], tmp_path: Path) -> None:
    note = tmp_path / "note.json"
    stand_in(note=str(note))
    result = await run_on(answering(), "sums", kind="instruct")
    assert result.result == "Passed"
    config = json.loads(note.read_text())["config"]
    assert config["model"] == "local-chat-completions"
    assert config["apply_chat_template"] is config["fewshot_as_multiturn"] is True
    assert config["model_args"]["tokenizer_backend"] is None


async def test_what_is_scored_gets_the_beginning_and_loses_it_again() -> None:
    prompts = []
    right = answering()

    async def before(request: web.Request, payload: dict[str, Any]) -> web.StreamResponse | None:
        if payload.get("echo"):
            prompts.append(payload["prompt"][0])
        if request.path == "/tokenize" and payload.get("return_token_strs"):
            return web.json_response({"tokens": [1, 10], "token_strs": ["<s>", " the"]})
        if request.path == "/tokenize" and payload.get("prompt") == "<s>":
            return web.json_response({"tokens": [1]})
        return await right(request, payload)

    result = await run_on(before, "letters,metric=acc,baseline=99")
    assert (result.result, result.reason) == ("Passed", "WithinTolerance")
    assert len(prompts) == 6
    assert {prompt[0] for prompt in prompts} == {1}
    assert all(prompt.count(1) == 1 for prompt in prompts)


@pytest.mark.parametrize(
    ("task", "reason", "told"),
    [
        ("sum", "UnknownTask", "near it are sums"),
        ("xyzzy", "UnknownTask", "lm_eval ls tasks"),
        ("tagged", "UnknownTask", "a tag"),
        ("sums,baseline=9", "AmbiguousMetric", "filter=flexible-extract,metric=exact_match"),
        ("sums,filter=strict", "NoSuchMetric", "filter=strict-match,metric=exact_match"),
        ("letters,baseline=25", "AmbiguousMetric", "metric=acc_norm"),
        ("sums_code", "UnsafeTask", "sandbox"),
        ("mixed", "MixedGroup", "one by one"),
    ],
)
async def test_a_task_is_refused_before_it_is_asked(task: str, reason: str, told: str) -> None:
    async with FakeServer(before=answering()).serve() as server:
        result = await run(parse_endpoint(server.url, "m"), task)
        assert (result.result, result.reason) == ("Error", reason)
        assert told in result.message
        assert "/v1/completions" not in server.seen


async def test_scored_tasks_are_not_for_chat() -> None:
    result = await run_on(answering(), "letters", kind="instruct")
    assert (result.result, result.reason) == ("Error", "NotForChat")


async def test_data_without_the_tasks_own_is_refused(tmp_path: Path) -> None:
    result = await run_on(answering(), f"sums,data={tmp_path}")
    assert (result.result, result.reason) == ("Error", "NoDataset")
    assert "made-up/sums/" in result.message


async def test_a_part_of_the_questions_is_no_verdict() -> None:
    result = await run_on(answering(), "sums_zero,baseline=50,limit=4")
    assert (result.result, result.reason) == ("Inconclusive", "Subset")
    assert "only 4 of 6 questions" in result.message
    result = await run_on(answering(), "sums_zero,baseline=50,limit=6")
    assert result.result == "Passed"


async def test_a_metric_that_is_no_share_is_reported_and_not_judged() -> None:
    result = await run_on(answering(), "bleu")
    assert result.result == "Passed"
    assert (rows(result)[0]["value"], rows(result)[0]["unit"]) == (31.7, "raw")
    result = await run_on(answering(), "bleu,baseline=30")
    assert (result.result, result.reason) == ("Error", "NotPercent")


async def test_shots_that_the_task_does_not_take_are_an_error() -> None:
    result = await run_on(answering(), "sums_zero,shots=5")
    assert (result.result, result.reason) == ("Error", "ShotsIgnored")
    assert "shots=0" in result.message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data.update(model="another"), "WrongModel"),
        (lambda data: data["choices"][0].pop("text"), "BadAnswer"),
        (lambda data: data["choices"][0].update(finish_reason="abort"), "BadAnswer"),
        (lambda data: data["choices"].append({}), "BadAnswer"),
        (lambda data: data.update(error={"message": "x"}, choices=[]), "BadAnswer"),
        (lambda _: web.Response(text="<html>"), "BadAnswer"),
        (lambda _: error(500, "InternalServerError", "EngineCore died"), "ServerError"),
        (lambda _: error(400, "BadRequestError", "maximum context length"), "RequestRefused"),
        (lambda _: error(429, "TooManyRequests", "slow down"), "Throttled"),
        (lambda _: error(503, "Unavailable", "no"), "ServerError"),
    ],
)
async def test_one_bad_answer_is_no_number(change: Callable[..., Any], reason: str) -> None:
    result = await run_on(spoiled(change), "sums,filter=strict-match,baseline=1")
    assert (result.result, result.reason) == ("Error", reason)
    assert "tasks" not in result.figures


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda choice: choice.pop("logprobs"), "MissingLogprobs"),
        (lambda choice: choice["logprobs"]["token_logprobs"].pop(), "MissingLogprobs"),
        (lambda choice: put(choice, 2, None), "MissingLogprobs"),
        (lambda choice: put(choice, 2, -9999.0), "BadLogprobs"),
        (lambda choice: put(choice, 2, float("nan")), "BadLogprobs"),
        (lambda choice: choice["logprobs"]["top_logprobs"].__setitem__(1, {}), "MissingLogprobs"),
    ],
)
async def test_one_bad_log_probability_is_no_number(
    change: Callable[..., Any], reason: str
) -> None:
    before = spoiled(lambda data: change(data["choices"][0]) and None)

    async def whole(request: web.Request, payload: dict[str, Any]) -> web.StreamResponse | None:
        if request.path == "/tokenize":
            return web.json_response({"tokens": [10, 11, 12, 13]})
        return await before(request, payload)

    result = await run_on(whole, "letters")
    assert (result.result, result.reason) == ("Error", reason)


def put(choice: dict[str, Any], position: int, value: object) -> None:
    choice["logprobs"]["token_logprobs"][position] = value


async def test_throttling_that_ends_is_waited_for() -> None:
    seen = 0
    right = answering()

    async def before(request: web.Request, payload: dict[str, Any]) -> web.StreamResponse | None:
        nonlocal seen
        if request.path.endswith("completions"):
            seen += 1
            if seen % 2:
                return error(429, "TooManyRequests", "slow down")
        return await right(request, payload)

    result = await run_on(before, "sums", concurrency=1)
    assert result.result == "Passed"
    assert result.figures["requests"] == 1 + 2 * 6


async def test_a_server_without_tokenize_is_told() -> None:
    async def before(request: web.Request, payload: dict[str, Any]) -> web.StreamResponse | None:
        return error(404, "NotFound", "Not Found") if request.path == "/tokenize" else None

    result = await run_on(before, "letters")
    assert (result.result, result.reason) == ("Error", "NoTokenize")


@pytest.mark.parametrize(
    ("chosen", "reason", "told"),
    [
        ({"exit": 3, "words": "Traceback: it broke"}, "HarnessFailed", "it broke"),
        ({"results": "{"}, "HarnessFailed", "no JSON object"),
        ({"results": "{}"}, "HarnessFailed", "lack results"),
        ({"uncounted": 1}, "SamplesMissing", "5 questions were asked where 6 are due"),
        ({"unasked": 2}, "RequestsMissing", "hold 6 answers, but the server gave 4"),
        ({"words": "WARNING Left truncating context."}, "PromptTooLong", "maxModelLen"),
    ],
)
async def test_what_lm_eval_gets_wrong_is_no_number(
    stand_in: Callable[..., None], chosen: dict[str, Any], reason: str, told: str
) -> None:
    stand_in(**chosen)
    result = await run_on(answering(), "sums")
    assert (result.result, result.reason) == ("Error", reason)
    assert told in result.message


async def test_without_lm_eval_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(OPERATOR))
    result = await run_on(answering(), "sums")
    assert (result.result, result.reason) == ("Error", "NoHarness")
    assert "lm-eval[api]" in result.message


async def test_a_signal_ends_lm_eval_and_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    async with FakeServer(before=answering()).serve() as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ascendllm", "validate", "eval"),
            *(f"--base-url={server.url}", "--model=m", "--task=sums"),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"LM_EVAL_STAND_IN": json.dumps({"child": str(child), "hang": True})},
        )
        while not (child.exists() and child.read_text()):
            assert process.returncode is None
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()
    assert (process.returncode, out) == (143, b"")
    assert not running(int(child.read_text()))


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no task's name"),
        ("../x", "no task's name"),
        ("x.yaml", "no task's name"),
        ("sums*", "no task's name"),
        ("sums,shots", "'shots' is not understood"),
        ("sums,shoots=5", "'shoots=5' is not understood"),
        ("sums,shots=", "shots has no value"),
        ("sums,shots=5,shots=5", "given twice"),
        ("sums,shots=-1", "whole number from 0 to 100"),
        ("sums,limit=0", "whole number from 1 to"),
        ("sums,limit=²", "whole number from 1 to"),
        ("sums,shots=00000000099999", "whole number from 0 to 100"),
        ("sums,baseline=101", "no number from 0 to 100"),
        ("sums,baseline=nan", "no number from 0 to 100"),
        ("sums,tolerance=-1", "no number from 0 to 100"),
        ("sums,filter=a/b", "no name"),
        ("sums,data=/nowhere", "no folder"),
    ],
)
def test_a_task_is_read_strictly(text: str, told: str) -> None:
    with pytest.raises(SpecError, match=r"--task") as caught:
        parse_task(text)
    assert told in caught.value.message


def test_a_task_is_read() -> None:
    task = parse_task("gsm8k,shots=5,filter=strict-match,metric=exact_match,baseline=92.70,limit=9")
    assert (task.name, task.shots, task.limit) == ("gsm8k", 5, 9)
    assert task.bound() == {
        "task": "gsm8k",
        "filter": "strict-match",
        "metric": "exact_match",
        "baseline": Decimal("92.70"),
        "tolerance": Decimal("1.0"),
    }
    assert parse_task("x,tolerance=0").tolerance == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--task=sums", "--shots=x"), "shots=x is no whole number"),
        (("--task=sums", "--task=bleu", "--shots=2"), "with several --task"),
        (("--task=sums", "--task=sums,shots=1"), "named more than once"),
        (("--task=sums,shots=1", "--shots=2"), "given twice"),
        ((), "Missing option '--task'"),
    ],
)
async def test_a_wrong_command_line_is_refused(arguments: tuple[str, ...], told: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ascendllm", "validate", "eval"),
        *("--base-url=http://127.0.0.1:9", "--model=m", *arguments),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert told in " ".join(err.decode().split())


async def test_a_single_task_takes_the_keys_as_options() -> None:
    async with FakeServer(before=answering()).serve() as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ascendllm", "validate", "eval"),
            *(f"--base-url={server.url}", "--model=m", "--task=sums", "--baseline=99.5"),
            *("--filter=strict-match", "--metric=exact_match", "--tolerance=0", "--shots=3"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    result = json.loads(out)
    assert (process.returncode, result["result"]) == (0, "Passed")
    assert result["tasks"][0]["shots"] == 3
    assert result["tasks"][0]["delta"] == 0.5
