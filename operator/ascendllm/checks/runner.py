"""What all checks have in common: the time limit, signals, sinks, and that every end has a result.

A check is a coroutine function that gets a `Tracker` and the checkpoint to go on from, and returns
an `Outcome`. `CheckError` and `SpecError` become a result `Error` with their reason; anything else
that escapes is `Error`/`InternalError`. Only a signal ends without a result: then the checkpoint
is written, and the exit code is 128 + the signal's number (143 for SIGTERM).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ascendllm.checks.result import CheckResult, Verdict, now
from ascendllm.checks.sinks import Documents, Sink, Snapshot, warn
from ascendllm.exceptions import CheckError, SpecError

__all__ = ["Body", "CheckName", "Ending", "Outcome", "Tracker", "run_check"]

LEAVE_SECONDS = 20.0
"""For the last checkpoint after a signal: a pod's grace period is 30 s."""


@dataclass(frozen=True, slots=True)
class CheckName:
    """Which check, and its protocol number (raised when its figures could change)."""

    name: str
    protocol_number: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check came to, and what belongs to it."""

    result: Verdict
    reason: str
    message: str
    figures: Mapping[str, object] = field(default_factory=dict)
    documents: Documents = field(default_factory=Documents)


@dataclass(slots=True)
class Tracker:
    """What a running check tells of itself.

    Args:
        done: Requests or questions done.
        total: In all; 0 while unknown.
        checkpoint: Makes the checkpoint's text, once there is something to go on from.
        figures: Makes the figures that an Error bears as well, such as the requests sent.
        begun: When the asking began, and how many were done then.
    """

    done: int = 0
    total: int = 0
    checkpoint: Callable[[], str] | None = None
    figures: Callable[[], Mapping[str, object]] = dict
    begun: tuple[float, int] | None = None

    def begin(self, total: int, done: int = 0) -> None:
        """The asking begins: `done` of `total` are known from an earlier attempt."""
        self.total, self.done = total, done
        self.begun = (time.monotonic(), done)

    def snapshot(self) -> Snapshot:
        """A look at it."""
        return Snapshot(self.done, self.total, self.checkpoint, self.begun)


Body = Callable[[Tracker, str | None], Coroutine[Any, Any, Outcome]]
"""A check: gets the tracker and the checkpoint, returns the outcome."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a check ended.

    Args:
        result: None after a signal.
        exit_code: 0, 1 or 2 by the result; 128 + number after a signal.
    """

    result: CheckResult | None
    exit_code: int


async def run_check(check: CheckName, body: Body, sinks: Sequence[Sink], limit: float) -> Ending:
    """Run a check to its result.

    Args:
        check: Its name and protocol number.
        body: The check itself.
        sinks: Where progress, checkpoint and result go.
        limit: Seconds for the whole check.
    """
    started = now()
    tracker = Tracker()
    async with _signals() as stopped:
        outcome = await _until(
            _resume_and_run(check, body, tracker, sinks), tracker, stopped, limit
        )
        if isinstance(outcome, CheckResult):
            return Ending(outcome, outcome.exit_code)
        await _leave(sinks, tracker)
        if outcome is None:
            return Ending(None, 128 + stopped.result())
        return await _finish(check, started, outcome, sinks)


async def _resume_and_run(
    check: CheckName, body: Body, tracker: Tracker, sinks: Sequence[Sink]
) -> Outcome | CheckResult:
    """The check's outcome, or the result that an earlier attempt of the same run has reached."""
    try:
        earlier = [await sink.resume() for sink in sinks]
        for found in earlier:
            if found.result is not None and found.result.check == check.name:
                warn("an earlier attempt of this run has finished; this is its result")
                return found.result
        checkpoint = next((found.checkpoint for found in earlier if found.checkpoint), None)
        tickers = [asyncio.create_task(_tick(sink, tracker)) for sink in sinks]
        try:
            return await body(tracker, checkpoint)
        finally:
            for ticker in tickers:
                ticker.cancel()
            await asyncio.gather(*tickers, return_exceptions=True)
    except (CheckError, SpecError) as error:
        return Outcome("Error", error.reason, error.message, tracker.figures())
    except Exception as error:
        traceback.print_exception(error, file=sys.stderr)
        cause = f"{type(error).__name__}: {error}"[:400]
        return Outcome("Error", "InternalError", f"a bug of ours: {cause}", tracker.figures())


async def _until(
    work: Coroutine[Any, Any, Outcome | CheckResult],
    tracker: Tracker,
    stopped: asyncio.Future[int],
    limit: float,
) -> Outcome | CheckResult | None:
    """What the work comes to; Error/TimedOut at the time limit; None after a signal."""
    task = asyncio.create_task(work)
    try:
        waiting: set[asyncio.Future[Any]] = {task, stopped}
        await asyncio.wait(waiting, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if stopped.done():
            return None
        message = f"not finished within {limit:g} s; raise --timeout, or see why it is slow"
        return Outcome("Error", "TimedOut", message, tracker.figures())
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _tick(sink: Sink, tracker: Tracker) -> None:
    while True:
        await asyncio.sleep(sink.interval)
        try:
            await sink.tell(tracker.snapshot())
        except Exception as error:
            warn(f"progress not written: {type(error).__name__}: {error}")


async def _leave(sinks: Sequence[Sink], tracker: Tracker) -> None:
    """Give each sink the last look; bounded, since a pod is killed after its grace period."""
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            leaving = (sink.leave(tracker.snapshot()) for sink in sinks)
            for failure in await asyncio.gather(*leaving, return_exceptions=True):
                if isinstance(failure, BaseException):
                    warn(f"checkpoint not written: {type(failure).__name__}: {failure}")
    except TimeoutError:
        warn(f"the last checkpoint could not be written within {LEAVE_SECONDS:g} s")


async def _finish(
    check: CheckName, started: str, outcome: Outcome, sinks: Sequence[Sink]
) -> Ending:
    result = CheckResult(
        check=check.name,
        result=outcome.result,
        reason=outcome.reason,
        message=outcome.message,
        started_at=started,
        finished_at=now(),
        protocol_number=check.protocol_number,
        figures=outcome.figures,
    )
    endings = (sink.finish(result, outcome.documents) for sink in sinks)
    for failure in await asyncio.gather(*endings, return_exceptions=True):
        if isinstance(failure, BaseException):
            warn(f"the result was not written: {type(failure).__name__}: {failure}")
    return Ending(result, result.exit_code)


@contextlib.asynccontextmanager
async def _signals() -> AsyncIterator[asyncio.Future[int]]:
    """A future that holds the number of the first SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    wanted = (signal.SIGTERM, signal.SIGINT)
    for number in wanted:
        loop.add_signal_handler(number, stop, int(number))
    try:
        yield stopped
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)
        stopped.cancel()
