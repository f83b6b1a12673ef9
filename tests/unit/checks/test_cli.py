"""The command as a process: stdout, stderr, exit codes, files, signals."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from unit.checks.fake_server import FakeServer
from unit.checks.mmlu_set import right_letter, write_set
from unit.checks.spoiled import simulated

OPERATOR = Path(__file__).parents[3] / "operator"


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ascendllm",
        "validate",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(OPERATOR)},
    )


async def run(*arguments: str) -> tuple[int, str, str]:
    process = await start(*arguments)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_smoke_passes() -> None:
    async with simulated() as url:
        prompts = '--prompts=[{"prompt": "The capital of France is", "expect": "Paris"}]'
        code, out, _ = await run("smoke", "--base-url", url, "--model", "m", prompts)
        result = json.loads(out)
        assert (code, result["result"], result["check"]) == (0, "Passed", "smoke")
        assert result["checks"][-1]["name"] == "prompt1"
        code, out, _ = await run("smoke", "--base-url", url, "--model", "m", "-o", "table")
        assert code == 0
        assert "result" in out
        rows = [line.split() for line in out.splitlines()]
        assert ["name", "result", "latencyMs", "seen"] in rows
        assert any(row[:2] == ["streaming", "Passed"] for row in rows)


async def test_mmlu_fails_and_reports(tmp_path: Path) -> None:
    data = write_set(tmp_path / "d")
    async with FakeServer(letter=lambda p: right_letter(p) if "al" in p else "A").serve() as server:
        arguments = ["mmlu", f"--base-url={server.url}/v1/", "--model=m", f"--data={data}"]
        arguments += ["--custom-data", "--baseline=99", "--baseline-average=micro"]
        report = tmp_path / "report.json"
        code, out, _ = await run(*arguments, f"--output={report}")
        result = json.loads(out)
    assert (code, result["result"], result["reason"]) == (1, "Failed", "BelowBaseline")
    assert result["delta"] == -39.0
    whole = json.loads(report.read_text())
    assert len(whole.pop("answers")) == 10
    assert whole.pop("identity")["datasetHash"] == result["datasetHash"]
    assert whole == result


async def test_bench_passes_with_a_report_per_request(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    async with FakeServer().serve() as server:
        code, out, _ = await run(
            "bench",
            f"--base-url={server.url}",
            "--model=m",
            "--input-tokens=9",
            "--output-tokens=4",
            "--concurrency=2",
            "--requests=4",
            "--npus=2",
            f"--output={report}",
        )
    result = json.loads(out)
    assert (code, result["result"], result["completed"]) == (0, "Passed", 4)
    assert result["seed"] >= 0
    assert len(json.loads(report.read_text())["perRequest"]) == 4


async def test_a_shared_prefix_stands_before_the_input() -> None:
    async with FakeServer().serve() as server:
        code, out, _ = await run(
            *("bench", f"--base-url={server.url}", "--model=m", "--input-tokens=9"),
            *("--output-tokens=4", "--concurrency=2", "--requests=4", "--prefix-tokens=30"),
        )
    result = json.loads(out)
    assert (code, result["inputTokens"], result["prefixTokens"]) == (0, 9, 30)
    assert result["totalInputTokens"] == 4 * (30 + 9)
    assert "30 shared + 9 + 4 tokens" in result["message"]


async def test_a_table_can_steer_no_terminal() -> None:
    async with FakeServer(model="m\x1b[2J\nresult  Passed").serve() as server:
        code, out, _ = await run("smoke", f"--base-url={server.url}", "--model=m", "-o", "table")
    assert code == 2
    assert "\x1b" not in out
    assert sum(line.startswith("result ") for line in out.splitlines()) == 1


async def test_an_error_is_exit_code_2_with_a_result() -> None:
    async with FakeServer().serve() as server:
        code, out, err = await run("smoke", "--base-url", server.url, "--model", "other")
    result = json.loads(out)
    assert (code, result["result"], result["reason"]) == (2, "Error", "WrongModel")
    assert "Traceback" not in err


async def test_a_pattern_that_does_not_compile_is_an_error_with_a_result() -> None:
    async with FakeServer().serve() as server:
        prompts = '--prompts=[{"prompt": "x", "expect": "("}]'
        code, out, err = await run("smoke", f"--base-url={server.url}", "--model=m", prompts)
        assert server.seen == {}
    result = json.loads(out)
    assert (code, result["result"], result["reason"]) == (2, "Error", "BadPattern")
    assert result["message"].startswith("--prompts[0].expect: '(' is not a regular expression")
    assert "Traceback" not in err


async def test_sigterm_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def before(request: web.Request, _payload: dict[str, Any]) -> None:
        if request.path == "/v1/completions" and server.seen[request.path] > 6:
            reached.set()
            await asyncio.Event().wait()

    data, checkpoint = write_set(tmp_path / "d"), tmp_path / "checkpoint"
    server = FakeServer(letter=right_letter, before=before)
    async with server.serve():
        arguments = ["mmlu", f"--base-url={server.url}", "--model=m", f"--data={data}"]
        arguments += ["--custom-data", "--concurrency=1", f"--checkpoint={checkpoint}"]
        process = await start(*arguments)
        await reached.wait()
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        assert (process.returncode, out) == (143, b"")
        assert b"Traceback" not in err
        server.before = None
        server.seen.clear()
        code, text, err_text = await run(*arguments)
    assert (code, json.loads(text)["microAverage"]) == (0, 100.0)
    assert "6 questions are answered" in err_text
    assert server.seen["/v1/completions"] == 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["smoke", "--base-url=ftp://x", "--model=m"], "http://"),
        (["smoke", "--base-url=http://u:p@x", "--model=m"], "credentials"),
        (["smoke", "--base-url=http://x:99999", "--model=m"], "--base-url"),
        (["smoke", "--base-url=http://x", "--model= "], "--model"),
        (["smoke", "--base-url=http://x", "--model=m", "--api-key-file=/none"], "--api-key-file"),
        (["smoke", "--base-url=http://x", "--model=m", "--shots=5"], "--shots"),
        (["smoke", "--base-url=http://x", "--model=m", "--run-configmap=r"], "inside a pod"),
        (["bench", "--base-url=http://x", "--model=m", "--requests=0"], "--requests"),
        (["mmlu", "--base-url=http://x", "--model=m"], "--data"),
        (["mmlu", "--base-url=http://x", "--model=m", "--data=d", "--protocol=x"], "metaInstruct"),
        (
            ["mmlu", "--base-url=http://x", "--model=m", "--data=d", "--baseline-shots=5"],
            "need --baseline",
        ),
        (["mmlu", "--base-url=http://x", "--model=m", "--data=d", "--baseline=x"], "percent"),
        (["mmlu", "--base-url=http://x", "--model=m", "--data=d", "--tolerance=nan"], "percent"),
    ],
)
async def test_wrong_command_lines_name_the_option(arguments: list[str], told: str) -> None:
    code, out, err = await run(*arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


async def test_the_key_is_sent_and_never_shown(tmp_path: Path) -> None:
    keys = set()

    async def before(request: web.Request, _payload: dict[str, Any]) -> web.Response | None:
        keys.add(request.headers.get("Authorization"))
        return web.Response(status=401, text="no")

    (tmp_path / "key").write_text("s3cret-key\n")
    async with FakeServer(before=before).serve() as server:
        for check in ("smoke", "bench"):
            code, out, err = await run(
                check, f"--base-url={server.url}", "--model=m", f"--api-key-file={tmp_path}/key"
            )
            assert (code, json.loads(out)["reason"]) == (2, "Unauthorized")
            assert "s3cret" not in out + err
    assert keys == {"Bearer s3cret-key"}


async def test_importing_what_the_operator_shares_is_light() -> None:
    code = (
        "import sys, ascendllm.checks.judging.mmlu, ascendllm.checks.result;"
        "print([m for m in ('aiohttp', 'httpx', 'pydantic', 'click') if m in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(OPERATOR)},
    )
    out, _ = await process.communicate()
    assert out.decode().strip() == "[]"


async def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    data, notes = write_set(tmp_path / "d"), tmp_path / "notes"
    for text in ("my notes", "[]", '{"a": 1}'):
        notes.write_text(text)
        code, out, _ = await run(
            *("mmlu", "--base-url=http://127.0.0.1:1", "--model=m", f"--data={data}"),
            *("--custom-data", f"--checkpoint={notes}"),
        )
        assert (code, json.loads(out)["reason"]) == (2, "BadCheckpoint")
        assert notes.read_text() == text
