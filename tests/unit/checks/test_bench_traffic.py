"""Other clients of the server, by its counters."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.checks.bench.traffic import Counters, Traffic, traffic
from ascendllm.exceptions import SpecError
from unit.checks.bench_case import busy_machine, run_bench
from unit.checks.bench_raw_server import Call, RawServer, right

__all__ = ["busy_machine"]

LABELS = 'engine="0",model_name="m"'


class Counting(RawServer):
    """Counts as vLLM does, and some requests of others.

    Args:
        before: What others had finished before.
        during: What they finish while the third request of ours is served.
        running: What runs all the time.
    """

    def __init__(self, before: int = 7, during: int = 0, running: int = 0) -> None:
        super().__init__(self._served, self._text)
        self.finished, self.during, self.running = before, during, running

    async def _served(self, call: Call) -> None:
        await right(call)
        self.finished += 1 + (self.during if call.number == 2 else 0)

    def _text(self) -> str:
        return (
            "# HELP vllm:request_success_total x\n"
            f'vllm:request_success_total{{{LABELS},finished_reason="length"}} {self.finished}.0\n'
            f'vllm:request_success_total{{{LABELS},finished_reason="stop"}} 0.0\n'
            f"vllm:num_requests_running{{{LABELS}}} {self.running}.0\n"
            f"vllm:num_requests_waiting{{{LABELS}}} 0.0\n"
        )


async def test_a_server_of_our_own() -> None:
    outcome = await run_bench(Counting(), warmup=3, sweep=(1, 2), long_context=True)
    assert outcome.result == "Passed"
    assert "ruled out" not in outcome.message
    assert "otherRequests" not in outcome.figures


@pytest.mark.parametrize(("server", "others"), [(Counting(during=2), 2), (Counting(running=3), 3)])
async def test_other_clients(server: Counting, others: int) -> None:
    outcome = await run_bench(server)
    assert (outcome.result, outcome.reason) == ("Skipped", "OtherTraffic")
    assert outcome.figures == {"otherRequests": others}
    assert len(server.calls) == (0 if server.running else 6)


async def test_other_clients_are_allowed() -> None:
    outcome = await run_bench(Counting(during=2), under_load=True)
    assert (outcome.result, outcome.figures["otherRequests"]) == ("Passed", 2)
    idle = await run_bench(Counting(), under_load=True)
    assert idle.figures["otherRequests"] == 0


async def test_a_server_without_counters() -> None:
    outcome = await run_bench(RawServer())
    assert outcome.result == "Passed"
    assert "no counters (/metrics)" in outcome.message


@pytest.mark.parametrize("text", ["", "vllm:request_success_total x\n", "<html>"])
async def test_counters_that_are_none(text: str) -> None:
    outcome = await run_bench(RawServer(metrics=lambda: text))
    assert "no counters" in outcome.message


@pytest.mark.parametrize(
    ("before", "after", "others"),
    [
        (Counters(5, 0), Counters(15, 0), 0),
        (Counters(5, 0), Counters(16, 0), 1),
        (Counters(5, 0), Counters(15, 2), 2),
        (Counters(5, 1), Counters(15, 0), 1),
        (Counters(5, 0), Counters(14, 0), None),
        (Counters(50, 0), Counters(0, 0), None),
        (None, Counters(15, 0), None),
        (Counters(5, 0), None, None),
    ],
)
def test_two_readings(before: Counters | None, after: Counters | None, others: int | None) -> None:
    found: Traffic = traffic(before, after, 10)
    assert found.others == others
    assert bool(found.note) == (others is None)


async def test_what_the_message_of_a_context_too_short_names() -> None:
    changes: dict[str, Any] = {"input_tokens": 4000, "prefix_tokens": 90, "output_tokens": 7}
    with pytest.raises(SpecError) as caught:
        await run_bench(RawServer(), **changes)
    assert caught.value.reason == "ContextTooShort"
