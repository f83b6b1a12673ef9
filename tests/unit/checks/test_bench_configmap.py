"""What bench puts into the run's ConfigMap."""

from __future__ import annotations

from pathlib import Path

import pytest

from ascendllm.checks.result import CheckResult, compact_json
from ascendllm.checks.run_configmap import Patience, RunConfigMap, fitting
from ascendllm.checks.sinks import Documents
from ascendllm.exceptions import ClusterError
from unit.checks.config_map_server import ConfigMapServer

TIMES = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z")
RESULT = CheckResult("bench", "Passed", "Measured", "fine", *TIMES, 2)


def test_the_most_requests_that_are_kept_fit() -> None:
    """20,000 requests of half an hour each, to a hundredth of a millisecond."""
    rows = compact_json([[99999.99, 9999.99, 1800000.01]] * 20_000)
    kept = fitting(RESULT, {"requests.json": rows, "other.txt": "x" * 200_000})
    assert kept["requests.json"] == rows
    assert "other.txt" in kept


def test_more_than_fits_is_left_out() -> None:
    kept = fitting(RESULT, {"requests.json": "x" * 700_000})
    assert set(kept) == {"result.json"}


async def test_reading_and_writing(tmp_path: Path) -> None:
    async with ConfigMapServer().serve() as server:
        place = RunConfigMap("run", server.api(tmp_path), Patience(1, 1, 1), tmp_path / "log")
        await place.write({"shard-0.json": "{}"})
        assert await place.read() == {"run.json": "{}", "shard-0.json": "{}"}
        place.obsolete = ("shard-0.json",)
        await place.finish(RESULT, Documents({"requests.json": "[]"}))
        assert set(await place.read()) == {"run.json", "result.json", "requests.json"}


async def test_an_api_server_that_refuses_is_heard(tmp_path: Path) -> None:
    async with ConfigMapServer(immutable=True).serve() as server:
        place = RunConfigMap("run", server.api(tmp_path), Patience(1, 1, 1), tmp_path / "log")
        with pytest.raises(ClusterError):
            await place.write({"shard-0.json": "{}"})
