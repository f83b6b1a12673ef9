"""Leader election against a real API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from ascendllm.kube.lease import Lease, LeaseLostError
from integration.admin import Admin
from integration.world import World

NAME = "lease"


@pytest.fixture
async def held(world: World) -> AsyncIterator[Lease]:
    """A Lease of one second that its holder renews."""
    lease = candidate(world, "first")
    await lease.acquire()
    holding = asyncio.create_task(lease.hold())
    yield lease
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)


def candidate(world: World, identity: str, cluster: Admin | None = None) -> Lease:
    return Lease(
        cluster or world.admin,
        world.namespace,
        NAME,
        identity,
        duration=1.0,
        renew_after=0.2,
        retry_after=0.05,
    )


async def holder(world: World) -> str:
    return str((await world.get("Lease", NAME))["spec"].get("holderIdentity") or "")


async def test_a_second_one_waits_as_long_as_the_first_renews(world: World, held: Lease) -> None:
    second = candidate(world, "second")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2.5):
            await second.acquire()
    assert await holder(world) == "first"
    assert (await world.get("Lease", NAME))["spec"]["leaseTransitions"] == 1


async def test_what_is_given_back_is_taken_at_once(world: World, held: Lease) -> None:
    waiting = asyncio.create_task(candidate(world, "second").acquire())
    await held.release()
    started = time.monotonic()
    await waiting
    assert time.monotonic() - started < 0.8
    assert await holder(world) == "second"
    assert (await world.get("Lease", NAME))["spec"]["leaseTransitions"] == 2


async def test_what_is_not_renewed_is_taken_after_its_duration(world: World) -> None:
    await candidate(world, "first").acquire()
    started = time.monotonic()
    await candidate(world, "second").acquire()
    assert 1.0 <= time.monotonic() - started < 3.0
    assert await holder(world) == "second"


async def test_who_finds_it_taken_gives_up(world: World) -> None:
    lease = candidate(world, "first")
    await lease.acquire()
    await world.edit("Lease", NAME, {"spec": {"holderIdentity": "second"}})
    with pytest.raises(LeaseLostError, match="somebody else"):
        await lease.hold()
    await lease.release()
    assert await holder(world) == "second", "what another holds is not given back"


async def test_a_lease_that_is_deleted_is_made_again(world: World, held: Lease) -> None:
    await world.remove("Lease", NAME)
    async with asyncio.timeout(5):
        while await world.find("Lease", NAME) is None:  # noqa: ASYNC110 - the holder's doing
            await asyncio.sleep(0.05)
    assert await holder(world) == "first"
