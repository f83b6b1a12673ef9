"""The work queue: one worker a key, nothing lost, failures apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from ascendllm.exceptions import ClusterError
from ascendllm.reconcile import Key
from ascendllm.runtime import queue as queue_module
from ascendllm.runtime.queue import WorkQueue

A, B = ("ns-a", "a"), ("ns-b", "b")


@asynccontextmanager
async def working(
    handler: Callable[[Key], Awaitable[float | None]], workers: int = 2
) -> AsyncIterator[WorkQueue]:
    queue = WorkQueue(handler, workers=workers)
    task = asyncio.create_task(queue.run())
    try:
        async with asyncio.timeout(10):
            yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_key_added_twice_is_worked_on_once() -> None:
    seen: asyncio.Queue[Key] = asyncio.Queue()

    async def handle(key: Key) -> None:
        await seen.put(key)

    queue = WorkQueue(handle)
    queue.add(A)
    queue.add(A)
    queue.add(B)
    assert len(queue) == 2
    task = asyncio.create_task(queue.run())
    assert {await seen.get(), await seen.get()} == {A, B}
    await asyncio.sleep(0)
    assert seen.empty()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_key_added_while_it_is_worked_on_is_worked_on_once_more() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    passes: asyncio.Queue[int] = asyncio.Queue()
    at_once = 0

    async def handle(key: Key) -> None:
        nonlocal at_once
        at_once += 1
        assert at_once == 1, "one worker a key"
        begun.set()
        await go_on.wait()
        at_once -= 1
        await passes.put(1)

    async with working(handle, workers=4) as queue:
        queue.add(A)
        await begun.wait()
        for _ in range(5):
            queue.add(A)
        go_on.set()
        await passes.get()
        await passes.get()
        await asyncio.sleep(0.05)
        assert passes.empty()


async def test_a_key_that_asks_for_it_is_looked_at_again() -> None:
    passes: asyncio.Queue[int] = asyncio.Queue()

    async def handle(key: Key) -> float | None:
        await passes.put(1)
        return 0.05 if passes.qsize() == 0 else 0.01

    async with working(handle) as queue:
        queue.add(A)
        for _ in range(3):
            await passes.get()


async def test_the_earlier_moment_wins() -> None:
    seen = asyncio.Event()

    async def handle(key: Key) -> None:
        seen.set()

    async with working(handle) as queue:
        queue.add(A, after=3600)
        queue.add(A, after=0.01)
        queue.add(A, after=7200)
        await seen.wait()
        assert len(queue) == 0


@pytest.mark.parametrize("error", [ClusterError(500, "", "x"), ValueError("bug"), TimeoutError()])
async def test_a_failure_is_tried_again_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(queue_module, "_FIRST_PAUSE", 0.01)
    tried: asyncio.Queue[Key] = asyncio.Queue()
    done = asyncio.Event()
    results = []

    async def handle(key: Key) -> None:
        await tried.put(key)
        if key == A and tried.qsize() < 4:
            raise error
        if key == B:
            done.set()

    queue = WorkQueue(handle, workers=1, observe=lambda result, seconds: results.append(result))
    task = asyncio.create_task(queue.run())
    async with asyncio.timeout(10):
        queue.add(A)
        queue.add(B)
        await done.wait()
        while results.count("error") < 2 or results[-1] != "success":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert results.count("error") >= 2
    assert results[-1] == "success"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_pauses_grow_to_a_limit() -> None:
    async def handle(key: Key) -> None:
        return None

    queue = WorkQueue(handle)
    pauses = [queue._pause(A) for _ in range(12)]
    assert pauses[0] < 1.3
    assert all(later > earlier for earlier, later in pairwise(pauses[:8]))
    assert max(pauses) <= 300 * 1.2
    assert queue._pause(B) < 1.3, "each key has its own"


async def test_it_tells_how_long_nobody_has_looked() -> None:
    async def handle(key: Key) -> None:
        return None

    queue = WorkQueue(handle)
    before = queue.silent_seconds
    await asyncio.sleep(0.02)
    assert queue.silent_seconds > before


async def test_slow_passes_of_one_namespace_leave_workers_to_the_others() -> None:
    blocked = asyncio.Event()
    under_way: set[Key] = set()
    done: asyncio.Queue[Key] = asyncio.Queue()

    async def handle(key: Key) -> None:
        under_way.add(key)
        if key[0] == "slow":
            await blocked.wait()
        under_way.discard(key)
        await done.put(key)

    slow = [("slow", f"model-{number}") for number in range(100)]
    async with working(handle, workers=4) as queue:
        for key in slow:
            queue.add(key)
        quick = [(f"quick-{number % 3}", f"model-{number}") for number in range(30)]
        for key in quick:
            queue.add(key)
        assert {await done.get() for _ in quick} == set(quick)
        assert len(under_way) == 2, "as many as it leaves free"
        for key in slow:
            queue.add(key)
        queue.add(("quick-0", "model-0"))
        assert await done.get() == ("quick-0", "model-0")
        blocked.set()
        # The two that were under way when they were added again have a second pass.
        finished = [await done.get() for _ in range(len(slow) + 2)]
        assert set(finished) == set(slow), "none is lost"


async def test_a_namespace_alone_has_its_keys_worked_on_one_after_the_other() -> None:
    seen: asyncio.Queue[Key] = asyncio.Queue()

    async def handle(key: Key) -> None:
        await seen.put(key)

    keys = [("ns", f"model-{number}") for number in range(50)]
    async with working(handle, workers=1) as queue:
        for key in keys:
            queue.add(key)
        assert [await seen.get() for _ in keys] == keys


async def test_many_slow_namespaces_leave_a_worker_to_another() -> None:
    blocked = asyncio.Event()
    done: asyncio.Queue[Key] = asyncio.Queue()

    async def handle(key: Key) -> None:
        if key[0].startswith("slow"):
            await blocked.wait()
        await done.put(key)

    slow = [(f"slow-{number % 4}", f"model-{number}") for number in range(100)]
    async with working(handle, workers=16) as queue:
        for key in slow:
            queue.add(key)
        for number in range(20):
            queue.add(("quick", f"model-{number}"))
        assert {(await done.get())[0] for _ in range(20)} == {"quick"}
        blocked.set()
        assert {await done.get() for _ in slow} == set(slow)
