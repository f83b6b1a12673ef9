from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from ascendllm.checks import run_configmap
from ascendllm.checks.result import CheckResult, compact_json, read_result
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.run_configmap import Patience, RunConfigMap, fitting, in_cluster
from ascendllm.checks.sinks import Documents, Snapshot
from ascendllm.exceptions import SpecError
from unit.checks.config_map_server import ConfigMapServer

PATIENT = Patience(start=5.0, running=5.0, end=5.0)
HURRIED = Patience(start=0.2, running=0.2, end=0.2)


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_configmap, "BACKOFF", RetryPolicy(0, first=0.01, longest=0.05))


def result(**figures: Any) -> CheckResult:
    times = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z")
    return CheckResult("mmlu", "Passed", "WithinTolerance", "fine", *times, 1, figures=figures)


def sink(server: ConfigMapServer, folder: Path, patience: Patience = PATIENT) -> RunConfigMap:
    return RunConfigMap("run", server.api(folder), patience, folder / "termination-log")


async def test_progress_and_checkpoint(tmp_path: Path) -> None:
    async with ConfigMapServer().serve() as server:
        writer = sink(server, tmp_path)
        await writer.tell(Snapshot(0, 0, None))
        await writer.tell(Snapshot(5, 10, lambda: "so far", begun=(time.monotonic() - 1, 0)))
    first = json.loads(server.patches[0]["progress.json"])
    assert first.keys() == {"done", "total", "ratePerSecond", "updatedAt"}
    assert "checkpoint" not in server.patches[0]
    second = json.loads(server.data["progress.json"])
    assert (second["done"], second["total"]) == (5, 10)
    assert 0 < second["ratePerSecond"] <= 5
    assert isinstance(second["etaSeconds"], int)
    assert server.data["checkpoint"] == "so far"
    assert server.data["run.json"] == "{}"


async def test_what_an_earlier_pod_left(tmp_path: Path) -> None:
    async with ConfigMapServer().serve() as server:
        assert (await sink(server, tmp_path).resume()).checkpoint is None
        server.data["checkpoint"] = "so far"
        found = await sink(server, tmp_path).resume()
        assert (found.checkpoint, found.result) == ("so far", None)
        server.data["result.json"] = "{broken"
        assert (await sink(server, tmp_path).resume()).checkpoint == "so far"
        server.data["result.json"] = compact_json(result(a=1).to_json())
        assert (await sink(server, tmp_path).resume()).result == result(a=1)


@pytest.mark.parametrize("failures", [[503], [500, 429], [401, 403], [409]])
async def test_the_result_gets_through_in_the_end(tmp_path: Path, failures: list[int]) -> None:
    async with ConfigMapServer(fail=list(failures)).serve() as server:
        texts = {"subjects.txt": "table", "answers.json": "{}"}
        await sink(server, tmp_path).finish(result(a=1), Documents(texts=texts))
    assert server.requests == len(failures) + 1
    assert read_result(server.data["result.json"]) == result(a=1)
    assert server.data["subjects.txt"] == "table"


@pytest.mark.parametrize("code", [400, 404, 413, 422])
async def test_what_no_patience_helps_is_given_up(
    tmp_path: Path, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ConfigMapServer(fail=[code] * 9).serve() as server:
        await sink(server, tmp_path).finish(result(), Documents())
    assert server.requests == 1
    assert f"({code})" in capsys.readouterr().err


async def test_a_sealed_run_is_left_alone(tmp_path: Path) -> None:
    async with ConfigMapServer(immutable=True).serve() as server:
        await sink(server, tmp_path).tell(Snapshot(1, 2, lambda: "x"))
    assert server.data == {"run.json": "{}"}


async def test_no_api_server_is_no_reason_to_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = ConfigMapServer(url="http://127.0.0.1:1")
    (tmp_path / "termination-log").touch()
    writer = sink(server, tmp_path, HURRIED)
    assert (await writer.resume()).checkpoint is None
    await writer.tell(Snapshot(1, 2, None))
    await writer.finish(result(a=1), Documents())
    assert read_result((tmp_path / "termination-log").read_text()) == result(a=1)
    assert "starting anew" in capsys.readouterr().err


async def test_a_renewed_token_is_read_anew(tmp_path: Path) -> None:
    async with ConfigMapServer().serve() as server:
        writer = sink(server, tmp_path)
        await writer.tell(Snapshot(1, 2, None))
        server.token = "renewed"
        (tmp_path / "token").write_text("renewed")
        await writer.tell(Snapshot(2, 2, None))
    assert len(server.patches) == 2


async def test_no_termination_log_is_made_where_none_is(tmp_path: Path) -> None:
    async with ConfigMapServer().serve() as server:
        await sink(server, tmp_path).finish(result(), Documents())
    assert not (tmp_path / "termination-log").exists()


async def test_a_checkpoint_that_is_too_long_is_not_written(tmp_path: Path) -> None:
    async with ConfigMapServer().serve() as server:
        await sink(server, tmp_path).tell(Snapshot(1, 2, lambda: "x" * (400 * 1024 + 1)))
    assert "checkpoint" not in server.data
    assert "progress.json" in server.data


def test_what_does_not_fit_is_left_out_but_never_the_verdict() -> None:
    whole = fitting(result(a=1), {"answers.json": "x" * 250 * 1024, "subjects.txt": "t"})
    assert whole.keys() == {"result.json", "subjects.txt", "answers.json"}
    longer = fitting(result(a=1), {"answers.json": "x" * 256 * 1024, "subjects.txt": "t"})
    assert longer.keys() == {"result.json", "subjects.txt"}
    cut = fitting(result(a=1, many=["x" * 1000] * 70), {})["result.json"]
    assert read_result(cut) == result(a=1)


def test_in_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(SpecError) as caught:
        in_cluster(tmp_path)
    assert caught.value.reason == "NotInCluster"
    (tmp_path / "namespace").write_text("ns\n")
    found = in_cluster(tmp_path)
    assert (found.url, found.namespace) == ("https://[fd00::1]:443", "ns")
    assert (found.token, found.ca) == (tmp_path / "token", tmp_path / "ca.crt")
