from __future__ import annotations

import asyncio
import io
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from ascendllm.checks.progress import Progress, RateMeter, StderrProgress, bar, line
from ascendllm.checks.result import CheckResult
from ascendllm.checks.runner import CheckName, Ending, Outcome, Tracker, run_check
from ascendllm.checks.sinks import Documents, Resume, Snapshot, write_atomically
from ascendllm.exceptions import CheckError, SpecError

NAME = CheckName("mmlu", 3)


class Memory:
    """A sink that remembers."""

    def __init__(self, resume: Resume | Exception | None = None) -> None:
        self.interval = 0.01
        self.told: list[int] = []
        self.first_look = asyncio.Event()
        self.left: list[str | None] = []
        self.results: list[CheckResult] = []
        self._resume = resume or Resume()

    async def resume(self) -> Resume:
        if isinstance(self._resume, Exception):
            raise self._resume
        return self._resume

    async def tell(self, snapshot: Snapshot) -> None:
        self.told.append(snapshot.done)
        self.first_look.set()

    async def leave(self, snapshot: Snapshot) -> None:
        self.left.append(snapshot.checkpoint() if snapshot.checkpoint else None)

    async def finish(self, result: CheckResult, documents: Documents) -> None:
        self.results.append(result)


async def run(body: Any, *sinks: Memory, limit: float = 10.0) -> Ending:
    return await run_check(NAME, body, sinks, limit)


async def test_a_result_reaches_every_sink() -> None:
    async def body(tracker: Tracker, checkpoint: str | None) -> Outcome:
        assert checkpoint is None
        tracker.done = 7
        await one.first_look.wait()
        return Outcome("Failed", "BelowBaseline", "worse", {"delta": -2.0})

    one, two = Memory(), Memory()
    ending = await run(body, one, two)
    assert ending.exit_code == 1
    assert ending.result is not None
    data = ending.result.to_json()
    assert (data["check"], data["protocolNumber"], data["delta"]) == ("mmlu", 3, -2.0)
    assert one.results == two.results == [ending.result]
    assert one.told[0] == 7


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CheckError("ServerUnreachable", "gone"), "ServerUnreachable"),
        (SpecError("BadData", "odd"), "BadData"),
        (RuntimeError("oops"), "InternalError"),
        (TimeoutError("inner"), "InternalError"),
        (RecursionError("deep"), "InternalError"),
    ],
)
async def test_every_failure_has_a_result(
    error: Exception, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def body(tracker: Tracker, _checkpoint: str | None) -> Outcome:
        tracker.figures = lambda: {"requests": 5}
        tracker.checkpoint = lambda: "so far"
        raise error

    sink = Memory()
    ending = await run(body, sink)
    assert ending.exit_code == 2
    assert sink.left == ["so far"]
    (result,) = sink.results
    assert (result.result, result.reason) == ("Error", reason)
    assert result.figures == {"requests": 5}
    assert str(error) in result.message
    assert ("Traceback" in capsys.readouterr().err) == (reason == "InternalError")


async def test_the_time_limit() -> None:
    async def body(tracker: Tracker, _checkpoint: str | None) -> Outcome:
        tracker.checkpoint = lambda: "so far"
        await asyncio.Event().wait()
        raise AssertionError

    sink = Memory()
    ending = await run(body, sink, limit=0.05)
    assert ending.exit_code == 2
    assert (sink.results[0].result, sink.results[0].reason) == ("Error", "TimedOut")
    assert sink.left == ["so far"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_leaves_the_checkpoint_and_no_result(number: int, code: int) -> None:
    cancelled = False

    async def body(tracker: Tracker, _checkpoint: str | None) -> Outcome:
        nonlocal cancelled
        tracker.checkpoint = lambda: "so far"
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled = True
        raise AssertionError

    sink = Memory()
    ending = await run(body, sink)
    assert (ending.exit_code, ending.result) == (code, None)
    assert sink.left == ["so far"]
    assert sink.results == []
    assert cancelled


async def test_going_on_from_the_first_checkpoint() -> None:
    async def body(_tracker: Tracker, checkpoint: str | None) -> Outcome:
        return Outcome("Passed", "Fine", str(checkpoint))

    ending = await run(body, Memory(), Memory(Resume("so far")), Memory(Resume("other")))
    assert ending.result is not None
    assert ending.result.message == "so far"


async def test_a_finished_run_is_not_run_again() -> None:
    async def body(_tracker: Tracker, _checkpoint: str | None) -> Outcome:
        raise AssertionError

    times = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z")
    earlier = CheckResult("mmlu", "Failed", "BelowBaseline", "worse", *times, 3)
    sink = Memory(Resume(result=earlier))
    assert await run(body, sink) == Ending(earlier, 1)
    assert sink.results == []


async def test_another_checks_result_is_not_ours() -> None:
    async def body(_tracker: Tracker, _checkpoint: str | None) -> Outcome:
        return Outcome("Passed", "Fine", "")

    times = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z")
    other = CheckResult("bench", "Failed", "Odd", "", *times, 3)
    assert (await run(body, Memory(Resume(result=other)))).exit_code == 0


async def test_a_sink_that_cannot_be_used_is_said_before_anything_runs() -> None:
    async def body(_tracker: Tracker, _checkpoint: str | None) -> Outcome:
        raise AssertionError

    sink = Memory(SpecError("BadOutput", "--output: no such folder"))
    assert (await run(body, sink)).exit_code == 2
    assert sink.results[0].reason == "BadOutput"


async def test_a_sink_that_breaks_takes_nothing_with_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken(Memory):
        async def tell(self, snapshot: Snapshot) -> None:
            raise OSError("disk full")

        leave = tell

        async def finish(self, result: CheckResult, documents: Documents) -> None:
            raise OSError("disk full")

    async def body(_tracker: Tracker, _checkpoint: str | None) -> Outcome:
        await good.first_look.wait()
        return Outcome("Passed", "Fine", "")

    good = Memory()
    ending = await run(body, Broken(), good)
    assert ending.exit_code == 0
    assert len(good.results) == 1
    assert "disk full" in capsys.readouterr().err


def test_the_rate_is_over_the_last_minute_and_ignores_what_was_there() -> None:
    meter = RateMeter()

    def look(at: float, done: int) -> Progress:
        return meter.look(at, Snapshot(done, 14042, None, begun=(0.0, 9000)))

    assert look(10.0, 9100) == Progress(9100, 14042, 10.0, 495)
    for second in range(20, 101, 10):
        last = look(float(second), 9100)
    assert (last.rate, last.eta) == (0.0, None)
    assert look(110.0, 14042).eta == 0
    assert RateMeter().look(5.0, Snapshot(0, 0, None)) == Progress(0, 0, 0.0, None)


def test_lines_for_people() -> None:
    assert line("mmlu", Progress(0, 0, 0.0, None)) == "mmlu: starting"
    assert line("mmlu", Progress(50, 200, 12.5, 12)) == "mmlu 50/200 (25%) 12.5/s, 12s left"
    assert line("mmlu", Progress(1, 9, 1.0, 3725)).endswith("1h02m left")
    assert bar("mmlu", Progress(100, 200, 0.0, None)).startswith(
        "[###############...............] mmlu 100/200"
    )


async def test_a_bar_on_a_terminal_and_lines_elsewhere() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        sink = StderrProgress("mmlu", stream)
        await sink.tell(Snapshot(1, 2, None))
        await sink.leave(Snapshot(2, 2, None))
        assert sink.interval == (0.5 if stream is terminal else 10.0)
    assert terminal.getvalue().startswith("\r\x1b[2K[####")
    assert terminal.getvalue().endswith("\n")
    assert file.getvalue() == "mmlu 1/2 (50%) 0.0/s\n"


def test_a_report_is_as_readable_as_any_file(tmp_path: Path) -> None:
    new, kept = tmp_path / "new", tmp_path / "kept"
    plain = tmp_path / "plain"
    plain.touch()
    kept.touch(mode=0o600)
    write_atomically(new, "a")
    write_atomically(kept, "a")
    assert new.stat().st_mode == plain.stat().st_mode
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
