"""`ascendllm parity record` and `validate parity` as processes, against `ascendllm-simulator`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from aiohttp import web

from ascendllm.checks.parity.reference import read_reference
from unit.checks.fake_model import FakeModel
from unit.checks.test_against_simulator import simulated

OPERATOR = Path(__file__).parents[3] / "operator"


async def ascendllm(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ascendllm", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(OPERATOR)},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("kind", ["base", "instruct"])
async def test_the_simulator_agrees_with_its_own_reference(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    path = tmp_path / "reference.jsonl"
    async with simulated(tmp_path, answers=None) as endpoint:
        address = (f"--base-url={endpoint.root}/v1", "--model=llama")
        code, out, err = await ascendllm(
            *("parity", "record", *address, f"--kind={kind}", "--control", f"--output={path}")
        )
        assert code == 0, err
        assert "16 prompts, 1024 answer tokens" in out
        code, out, err = await ascendllm("validate", "parity", *address, f"--reference={path}")
    assert code == 0, err
    result = json.loads(out)
    assert (result["result"], result["thresholdsFrom"]) == ("Passed", "control")
    assert result["rankAgreement"] == 100.0
    assert result["perplexityTokens"] >= 10_000
    assert result["firstDivergence"] == {"diverged": 0}
    assert read_reference(path).meta["engine"] == "vllm 0.18.0"
    assert len(path.read_bytes()) < 1024 * 1024


async def test_a_simulated_server_without_prompt_logprobs_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    failure = {"mode": "noPromptLogprobs", "after": 20}
    async with simulated(tmp_path, answers=None, failure=failure) as endpoint:
        code, _, err = await ascendllm(
            *("parity", "record", f"--base-url={endpoint.root}", "--model=llama"),
            f"--output={tmp_path / 'x'}",
        )
    assert code == 2
    assert "MissingLogprobs" in err
    assert not (tmp_path / "x").exists()


async def test_a_server_that_dies_is_no_number(tmp_path: Path) -> None:
    model = FakeModel()
    path = tmp_path / "reference.jsonl"
    (tmp_path / "text").write_text("Rain. " * 50)
    options = ("--max-tokens=8", f"--text={tmp_path / 'text'}", f"--output={path}")
    async with model.server().serve() as server:
        address = (f"--base-url={server.url}", "--model=m")
        code, _, err = await ascendllm("parity", "record", *address, *options)
        assert code == 0, err
        code, out, _ = await ascendllm("validate", "parity", *address, f"--reference={path}")
        assert (code, json.loads(out)["reason"]) == (2, "NoThresholds")
        seen = 0

        async def dying(request: web.Request, payload: dict[str, object]) -> web.Response | None:
            nonlocal seen
            seen += request.path == "/v1/completions"
            if seen > 7:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            return await model.answer(request, payload)

        server.before = dying
        running = ascendllm(
            *("validate", "parity", *address, f"--reference={path}", "--timeout=5"),
            "--min-rank-agreement=1",
        )
        code, out, _ = await running
    result = json.loads(out)
    assert (code, result["result"]) == (2, "Error")
    assert result["reason"] in ("ServerUnreachable", "TimedOut")
    assert "rankAgreement" not in result


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give either --base-url"),
        (("--base-url=http://x", "--transformers=/"), "give either --base-url"),
        (("--base-url=http://x",), "needs --model"),
        (("--base-url=http://x", "--model=m", "--output=/"), "--output"),
        (("--transformers=/", "--max-tokens=0"), "--max-tokens"),
    ],
)
async def test_a_wrong_command_line_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    output = () if any("--output" in a for a in arguments) else (f"--output={tmp_path / 'x'}",)
    code, _, err = await ascendllm("parity", "record", *arguments, *output)
    assert code == 2
    assert told in err


async def test_without_transformers_the_remedy_is_told(tmp_path: Path) -> None:
    code, _, err = await ascendllm(
        "parity", "record", f"--transformers={tmp_path}", f"--output={tmp_path / 'x'}"
    )
    assert code == 2
    assert "NoTransformers" in err
    assert "--base-url" in err


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--min-rank-agreement=101", "from 0 to 100"),
        ("--max-p99-logprob-difference=-1", "from 0 to 1000"),
        ("--max-perplexity-difference=nan", "from 0 to 100"),
        ("--concurrency=3", "1<=x<=2"),
    ],
)
async def test_a_wrong_threshold_is_refused(option: str, told: str) -> None:
    code, _, err = await ascendllm(
        *("validate", "parity", "--base-url=http://x", "--model=m", "--reference=x", option)
    )
    assert code == 2
    assert told in err
