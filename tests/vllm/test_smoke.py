"""Smoke on the real server: every shape that it holds servers to is vLLM's own."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.result import CheckResult
from ascendllm.checks.runner import run_check
from ascendllm.checks.smoke.prompts import PromptCase
from ascendllm.checks.smoke.run import SMOKE, SmokeOptions, check_smoke
from vllm.engine import Engine


async def smoke(engine: Engine, **options: Any) -> CheckResult:
    chosen = SmokeOptions(parse_endpoint(engine.url, engine.name), **options)
    ending = await run_check(
        SMOKE, lambda tracker, text: check_smoke(chosen, tracker, text), [], 300
    )
    assert ending.result is not None
    return ending.result


def results(result: CheckResult) -> dict[str, str]:
    checks: Any = result.figures["checks"]
    return {check["name"]: check["result"] for check in checks}


@pytest.mark.parametrize("kind", ["base", "instruct"])
async def test_the_real_server_passes(engine: Engine, kind: Any) -> None:
    result = await smoke(engine, kind=kind, max_num_seqs=16, without=["language"])
    assert result.result == "Passed", result.message
    assert {name for name, found in results(result).items() if found != "Passed"} <= {"apiKey"}
    assert result.figures["vllm"] == "0.18.0"


async def test_random_weights_are_seen(engine: Engine) -> None:
    result = await smoke(engine, without=["parameters"])
    assert result.result == "Failed"
    assert results(result)["language"] == "Failed"
    assert "bits a byte" in result.message


async def test_own_prompts(engine: Engine) -> None:
    messages = (("user", "안녕하세요, 자기소개 해주세요."),)
    cases = (PromptCase("1 + 1 =", None, 8), PromptCase(None, messages, 8, "[가-힣]{200}"))
    result = await smoke(engine, prompts=cases, without=["parameters"])
    assert results(result)["prompt1"] == "Passed"
    assert results(result)["prompt2"] == "Failed"
    assert result.result == "Failed"


async def test_another_name_is_no_verdict(engine: Engine) -> None:
    chosen = SmokeOptions(parse_endpoint(engine.url, "another"))
    ending = await run_check(
        SMOKE, lambda tracker, text: check_smoke(chosen, tracker, text), [], 60
    )
    assert ending.result is not None
    assert (ending.result.result, ending.result.reason) == ("Error", "WrongModel")
