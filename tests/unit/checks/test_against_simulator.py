"""Every check against `ascendllm-simulator`, as a process: its chosen figures come back, and its
failures end in the right result."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ascendllm.checks.bench.options import BenchOptions
from ascendllm.checks.bench.run import BENCH, check_bench
from ascendllm.checks.endpoint import Endpoint, parse_endpoint
from ascendllm.checks.mmlu.run import MMLU, MmluOptions, check_mmlu
from ascendllm.checks.mmlu.verdict import Baseline
from ascendllm.checks.result import CheckResult
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.runner import Body, CheckName, run_check
from ascendllm.checks.smoke.run import SMOKE, SmokeOptions, check_smoke
from ascendllm_simulator import dataset

OPERATOR = Path(__file__).parents[3] / "operator"
QUICK = RetryPolicy(attempts=3, first=0.02, longest=0.05)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with the answer key of the data set `mmlu` beside it."""
    folder = tmp_path_factory.mktemp("simulated")
    (folder / "model").mkdir()
    dataset.main([str(folder / "mmlu"), "--key", str(folder / "model" / "answers.json")])
    (folder / "model" / "config.json").write_text("{}")
    return folder / "model"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One question a subject: enough where the answers don't matter."""
    folder = tmp_path_factory.mktemp("small")
    dataset.main([str(folder), "--questions", "1"])
    return folder


@contextlib.asynccontextmanager
async def simulated(model: Path, **behaviour: Any) -> AsyncIterator[Endpoint]:
    chosen = {"loadSeconds": 0, "ttftMs": 0, "itlMs": 0, "answers": "answers.json"} | behaviour
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ascendllm_simulator",
        str(model),
        "--host=127.0.0.1",
        "--port=0",
        "--served-model-name=llama",
        "--max-model-len=4096",
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(OPERATOR), "ASCENDLLM_SIMULATE": json.dumps(chosen)},
    )
    assert process.stdout is not None
    try:
        address = None
        while address is None:
            told = (await process.stdout.readline()).decode()
            assert told, "the simulator ended while loading"
            address = re.search(r"Starting vLLM API server 0 on (http://\S+)", told)
        drain = asyncio.create_task(process.stdout.read())
        yield parse_endpoint(address.group(1), "llama")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    await drain


async def result_of(check: CheckName, body: Body) -> CheckResult:
    ending = await run_check(check, body, [], 60.0)
    assert ending.result is not None
    return ending.result


async def smoke(endpoint: Endpoint, **changes: Any) -> CheckResult:
    options = SmokeOptions(endpoint, request_timeout=30.0, first_contact=QUICK)
    options = replace(options, **changes)
    return await result_of(SMOKE, lambda tracker, text: check_smoke(options, tracker, text))


async def mmlu(endpoint: Endpoint, model: Path, **changes: Any) -> CheckResult:
    options = MmluOptions(
        endpoint,
        model.parent / "mmlu",
        custom_data=True,
        baseline=Baseline(Decimal("66.7")),
        request_timeout=30.0,
        retry=QUICK,
        first_contact=QUICK,
    )
    options = replace(options, **changes)
    return await result_of(MMLU, lambda tracker, text: check_mmlu(options, tracker, text))


async def bench(endpoint: Endpoint, **changes: Any) -> CheckResult:
    options = BenchOptions(
        endpoint, 32, 16, concurrency=2, requests=4, silence=30.0, retry=QUICK, first_contact=QUICK
    )
    options = replace(options, **changes)
    return await result_of(BENCH, lambda tracker, text: check_bench(options, tracker, text))


@pytest.mark.parametrize("kind", ["base", "instruct"])
async def test_smoke_passes(model: Path, kind: Any) -> None:
    async with simulated(model, chatTemplate=True) as endpoint:
        result = await smoke(endpoint, kind=kind)
    assert result.result == "Passed", result.message
    assert result.figures["maxModelLen"] == 4096


async def test_a_base_model_has_no_chat(model: Path) -> None:
    async with simulated(model, chatTemplate=False) as endpoint:
        result = await smoke(endpoint, kind="instruct")
    assert result.result == "Failed"
    assert "chat template" in result.message


@pytest.mark.parametrize(
    ("accuracy", "correct", "verdict"),
    [(66.3, 756, "Passed"), (100, 1140, "Passed"), (65.6, 748, "Failed"), (26, 296, "Error")],
)
async def test_the_chosen_accuracy_comes_back_exactly(
    model: Path, accuracy: float, correct: int, verdict: str
) -> None:
    async with simulated(model, accuracy=accuracy) as endpoint:
        result = await mmlu(endpoint, model)
    figures = result.figures
    assert (figures["correct"], figures["questions"]) == (correct, 1140)
    assert figures["microAverage"] == pytest.approx(100 * correct / 1140, abs=0.005)
    assert figures["macroAverage"] == figures["microAverage"], "the subjects are of one size"
    assert figures["unanswered"] == 0
    assert result.result == verdict
    assert "custom data" in result.message or verdict == "Error"


async def test_the_chosen_timing_comes_back(model: Path) -> None:
    async with simulated(model, ttftMs=60, itlMs=10) as endpoint:
        result = await bench(endpoint, npus=1)
    assert result.result == "Passed"
    figures: Any = result.figures
    assert (figures["totalInputTokens"], figures["totalOutputTokens"]) == (128, 64)
    assert 60 <= figures["medianTtftMs"] < 120
    assert figures["medianTpotMs"] == pytest.approx(10, abs=3)
    assert 60 + 15 * 10 <= figures["medianE2elMs"] < 300


FAILURES: list[tuple[dict[str, Any], str, str, str]] = [
    # the failure; the reason of smoke, mmlu and bench ("": Passed); smoke Failed is marked by !
    ({"mode": "hang"}, "ServerTimeout", "ServerTimeout", "ServerTimeout"),
    ({"mode": "http500"}, "ServerError", "ServerError", "ServerError"),
    ({"mode": "rateLimit", "retryAfterSeconds": 0}, "Throttled", "Throttled", "Throttled"),
    ({"mode": "rateLimit", "retryAfterSeconds": 0, "times": 2}, "Throttled", "", "Throttled"),
    ({"mode": "failEvery", "every": 3}, "ServerError", "ServerError", "ServerError"),
    ({"mode": "cutStream"}, "StreamCut", "", "StreamCut"),
    ({"mode": "errorInStream"}, "ErrorInStream", "", "ErrorInStream"),
    ({"mode": "wrongModel", "where": "answers"}, "WrongModel", "WrongModel", "WrongModel"),
    ({"mode": "wrongModel", "where": "models"}, "WrongModel", "WrongModel", "WrongModel"),
    ({"mode": "noUsage"}, "!WrongAnswers", "", "UsageMissing"),
    ({"mode": "wrongUsage"}, "!WrongAnswers", "WrongTokenCount", "WrongTokenCount"),
    ({"mode": "noLogprobs"}, "!WrongAnswers", "MissingLogprobs", ""),
    ({"mode": "noTokenize"}, "", "", "NoTokenize"),
    ({"mode": "falseReady", "keepAlive": True}, "ServerError", "ServerError", "ServerError"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: "-".join(map(str, f[0].values())))
async def test_failures(
    small: Path, model: Path, failure: tuple[dict[str, Any], str, str, str]
) -> None:
    mode, *reasons = failure
    patience = 0.5 if mode["mode"] == "hang" else 30.0

    async def ended(check: str) -> CheckResult:
        async with simulated(model, accuracy=100, failure=mode) as endpoint:
            match check:
                case "smoke":
                    return await smoke(endpoint, request_timeout=patience)
                case "mmlu":
                    return await mmlu(endpoint, model, data=small, request_timeout=patience)
                case _:
                    return await bench(endpoint, silence=patience)

    checks = ("smoke", "mmlu", "bench")
    results = await asyncio.gather(*(ended(check) for check in checks))
    for check, reason, result in zip(checks, reasons, results, strict=True):
        wanted = "Passed" if not reason else "Failed" if reason[0] == "!" else "Error"
        assert (check, result.result) == (check, wanted), result.message
        if reason:
            assert (check, result.reason) == (check, reason.removeprefix("!"))
            assert "outputThroughput" not in result.figures
            assert "macroAverage" not in result.figures


async def test_an_engine_that_dies_in_the_middle(model: Path) -> None:
    async with simulated(model, failure={"mode": "dieAfter", "requests": 300}) as endpoint:
        result = await mmlu(endpoint, model)
    assert result.result == "Error"
    assert result.reason in ("ServerError", "ServerUnreachable")
    answered: Any = result.figures
    assert 0 < answered["unanswered"] < 1140
