"""`ascendllm validate bench` as a process."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.pki import Authority
from unit.checks.bench_raw_server import Call, RawServer

OPERATOR = Path(__file__).parents[3] / "operator"
LOAD = ("--input-tokens=12", "--output-tokens=5", "--concurrency=2", "--requests=4")


async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ascendllm", "validate", "bench", "--model=m", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(OPERATOR)} | environment,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def some_time(call: Call) -> None:
    """Long enough that a busy machine is not taken for a client that is too slow."""
    await call.write(*call.pieces(), pause=0.2)


async def test_bounds_and_a_comparison(tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    before.write_text(json.dumps({"meanTtftMs": 1000.0, "message": "x"}))
    server = RawServer(some_time)
    async with server.serve():
        code, out, _ = await run(
            *(f"--base-url={server.url}", *LOAD, f"--compare-to={before}"),
            *("--threshold=meanTtftMs<=0.01", "--threshold=completed >= 4"),
            *("--goodput-e2el-ms=100000", "--processes=2", "--npus=2"),
        )
    result: dict[str, Any] = json.loads(out)
    assert (code, result["result"], result["reason"]) == (1, "Failed", "ThresholdMissed")
    assert "meanTtftMs" in result["message"]
    assert result["processes"] == 2
    assert result["requestGoodput"] > 0
    assert [row["figure"] for row in result["comparison"]] == ["meanTtftMs"]


async def test_tls_and_the_key(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    pair = authority.server("server", ["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    (tmp_path / "key").write_text("s3cret")
    server = RawServer(some_time, tls=context)
    arguments = [*LOAD, f"--api-key-file={tmp_path / 'key'}"]
    async with server.serve():
        trusted = {"SSL_CERT_FILE": str(authority.certificate)}
        code, out, err = await run(f"--base-url={server.url}", *arguments, **trusted)
        assert code == 0, out + err
        refused, out, _ = await run(f"--base-url={server.url}", *arguments)
    assert {call.headers["authorization"] for call in server.calls} == {"Bearer s3cret"}
    assert (refused, json.loads(out)["reason"]) == (2, "ServerUnreachable")


async def test_sharegpt_with_the_lengths_of_the_file(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "one two three four five"}]
    turns.append({"from": "gpt", "value": "six seven eight nine ten eleven"})
    talk = [{"id": str(n), "conversations": turns} for n in range(4)]
    (tmp_path / "talk.json").write_text(json.dumps(talk))
    server = RawServer(some_time)
    async with server.serve():
        code, out, err = await run(
            *(f"--base-url={server.url}", "--dataset=sharegpt", "--concurrency=1"),
            *("--requests=2", f"--data={tmp_path / 'talk.json'}"),
        )
    assert code == 0, out + err
    assert json.loads(out)["datasetHash"].startswith("sha256:")
    assert {call.payload["max_tokens"] for call in server.calls} == {7}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--sweep=1,1"], "--sweep"),
        (["--sweep=0"], "--sweep"),
        (["--sweep=1,x"], "--sweep"),
        (["--sweep=1,2", "--concurrency=3"], "--sweep"),
        (["--request-rate=0"], "--request-rate"),
        (["--request-rate=nan"], "--request-rate"),
        (["--burstiness=0"], "--burstiness"),
        (["--ramp-up-strategy=linear"], "--ramp-up-start-rps"),
        (["--threshold=meanTtftMs<200"], "meanTtftMs<=200"),
        (["--threshold=meanTTFT<=200"], "meanTtftMs"),
        (["--threshold=meanTtftMs<=1e999"], "meanTtftMs<=200"),
        (["--threshold=meanTtftMs<=1", "--threshold=meanTtftMs<=2"], "already"),
        (["--compare-to=/nonexistent"], "/nonexistent"),
        (["--data=ftp://x"], "--data"),
        (["--shards=2"], "--run-configmap"),
        (["--shards=2", "--run-configmap=x"], "JOB_COMPLETION_INDEX"),
        (["--goodput-ttft-ms=0"], "--goodput-ttft-ms"),
        (["--goodput-ttft-ms=nan"], "--goodput-ttft-ms"),
        (["--timeout=nan"], "--timeout"),
        (["--request-rate=5", "--concurrency=3"], "leave out --concurrency"),
    ],
)
async def test_a_wrong_command_line(arguments: list[str], named: str) -> None:
    code, out, err = await run("--base-url=http://127.0.0.1:1", *arguments)
    assert (code, out) == (2, "")
    assert named in err


async def test_a_comparison_with_no_figure(tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    before.write_text(json.dumps({"meanTTFT": 7.0, "outputThroughput": "fast"}))
    code, out, err = await run("--base-url=http://127.0.0.1:1", f"--compare-to={before}")
    assert (code, out) == (2, "")
    assert "no figure of bench" in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--requests=3", "--sweep=1,4"], "TooFewRequests"),
        (["--request-rate=5", "--sweep=1,2"], "SweepOfRate"),
        (["--burstiness=2"], "UnusedBurstiness"),
        (["--request-rate=inf", "--burstiness=inf"], "UnusedBurstiness"),
    ],
)
async def test_a_load_that_cannot_be(arguments: list[str], reason: str) -> None:
    code, out, _ = await run("--base-url=http://127.0.0.1:1", *arguments)
    assert (code, json.loads(out)["reason"]) == (2, reason)
