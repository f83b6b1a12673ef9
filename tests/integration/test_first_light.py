"""From `kubectl apply` to a proven, served revision, against a real API server."""

from __future__ import annotations

from integration.world import World, resource


async def test_the_whole_way(world: World) -> None:
    world.apply(resource())
    assert (await world.status())["observedGeneration"] == -1
    await world.settle()

    status = await world.status()
    assert status["observedGeneration"] == 1
    assert (await world.condition("Ready"))["status"] == "Unknown"  # type: ignore[index]
    assert (await world.condition("Reconciling"))["status"] == "True"  # type: ignore[index]
    assert await world.condition("Stalled") is None
    assert await world.served() == "none"

    await world.move_pods(ready=False)
    await world.settle()
    assert (await world.condition("Ready"))["reason"] == "Loading"  # type: ignore[index]
    assert await world.running_job() is None, "nothing is checked before the pods are ready"

    await world.move_pods()
    await world.settle()
    assert (await world.condition("Ready"))["reason"] == "Validating"  # type: ignore[index]
    for check in ("smoke", "bench", "mmlu"):
        assert await world.served() == "none", "no traffic before every check has passed"
        await world.finish_check(check)

    status = await world.status()
    ready = await world.condition("Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("True", "Proven")
    assert (await world.condition("Available"))["status"] == "True"  # type: ignore[index]
    assert (await world.condition("Validated"))["status"] == "True"  # type: ignore[index]
    assert await world.condition("Reconciling") is None
    assert status["verdict"] == "Passed"
    assert status["validation"]["mmlu"]["macroAverage"] == 66.3
    assert status["validation"]["mmlu"]["delta"] == -0.4
    assert status["validation"]["bench"]["outputThroughput"] == 177.75
    assert await world.served() == status["servedRevision"]
