"""What the tests of bench share: one run against a raw server."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.checks.bench.load import lateness
from ascendllm.checks.bench.options import BenchOptions
from ascendllm.checks.bench.run import check_bench
from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.runner import Outcome, Tracker
from unit.checks.bench_raw_server import Call, RawServer, Script, right

QUICK = RetryPolicy(attempts=2, first=0.01, longest=0.02)


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers take no time here, and other tests may hold the cores: that is not what is tested."""
    monkeypatch.setattr(lateness, "SEND_FLOOR_MS", 1000.0)
    monkeypatch.setattr(lateness, "STAMP_FLOOR_MS", 1000.0)


async def run_bench(server: RawServer, **changes: Any) -> Outcome:
    chosen: dict[str, Any] = {
        "input_tokens": 12,
        "output_tokens": 5,
        "concurrency": 2,
        "requests": 6,
        "retry": QUICK,
        "first_contact": QUICK,
        "request_timeout": 5.0,
    } | changes
    async with server.serve():
        options = BenchOptions(parse_endpoint(server.url, "m"), **chosen)
        return await check_bench(options, Tracker(), None)


def at_the_third(script: Script) -> Script:
    """A script for one request of the middle; the others are answered right."""

    async def chosen(call: Call) -> None:
        await (script if call.number == 2 else right)(call)

    return chosen
