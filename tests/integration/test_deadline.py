"""The progress deadline: how long a revision may take until its pods are ready."""

from __future__ import annotations

import json

from integration.world import World, resource

SMOKE = {"smoke": {}}


async def miss(world: World) -> str:
    """Apply, never get ready, and miss the deadline; returns the load run's name."""
    await world.apply(resource(validation=SMOKE))
    await world.settle()
    await world.move_pods(ready=False)
    await world.settle()
    world.pass_time(minutes=31)
    await world.settle()
    (run,) = [name for name in await world.names_of("ConfigMap") if "-load-" in name]
    return run


async def test_a_missed_deadline_is_sealed_and_told(world: World) -> None:
    run = await miss(world)
    assert await world.conditions() == {
        "Ready": "False/ProgressDeadlineExceeded",
        "Stalled": "True/ProgressDeadlineExceeded",
        "Available": "False/NothingProven",
        "Validated": "Unknown/NotLoaded",
    }
    assert "30m" in await world.message()
    assert "is loading the model" in await world.message()
    config_map = await world.get("ConfigMap", run)
    assert config_map["immutable"] is True
    assert json.loads(config_map["data"]["sealed.json"])["result"] == "Error"
    assert await world.children("Job") == []


async def test_the_operator_wakes_at_the_deadline(world: World) -> None:
    await world.apply(resource(validation=SMOKE, rollout={"progressDeadline": "5m"}))
    await world.settle()
    wake = await world.reconcile()
    assert wake is not None
    assert 240 < wake <= 300


async def test_a_revision_that_missed_it_is_not_raised_again(world: World) -> None:
    await miss(world)
    missed = await world.revision()
    await world.apply(resource(validation=SMOKE, engine={"maxModelLen": 2048}))
    await world.settle()
    await world.move_pods()
    await world.settle()
    await world.move_pods(ready=False)
    await world.settle()
    assert (await world.conditions())["Ready"] == "Unknown/Loading"

    await world.apply(resource(validation=SMOKE))
    await world.settle()
    await world.move_pods()
    await world.settle()
    deployment = await world.get("Deployment", f"llama-{missed}")
    assert deployment["spec"]["replicas"] == 0
    assert (await world.conditions())["Ready"] == "False/ProgressDeadlineExceeded"


async def test_ready_after_all_is_ready(world: World) -> None:
    run = await miss(world)
    await world.move_pods()
    await world.settle()
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert await world.find("ConfigMap", run) is None

    await world.apply(resource(validation=SMOKE, suspend=True))
    await world.settle()
    await world.move_pods()
    await world.apply(resource(validation=SMOKE))
    await world.load()
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_pods_lost_after_they_were_ready_miss_no_deadline(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    await world.move_pods(ready=False)
    world.pass_time(hours=3)
    await world.settle()
    assert (await world.conditions())["Ready"] == "Unknown/Unavailable"


async def test_a_note_that_somebody_spoiled_is_written_anew(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.settle()
    deployment = next(iter(await world.names_of("Deployment")))
    for spoiled in ("9999-12-31T23:59:59Z", "yesterday", ""):
        note = {"metadata": {"annotations": {"ascendllm.io/started-at": spoiled}}}
        await world.edit("Deployment", deployment, note)
        await world.settle()
        noted = (await world.get("Deployment", deployment))["metadata"]["annotations"]
        assert noted["ascendllm.io/started-at"] not in (spoiled, "")
    world.pass_time(minutes=31)
    await world.settle()
    assert (await world.conditions())["Ready"] == "False/ProgressDeadlineExceeded"


async def test_a_crashing_server_is_told_with_its_last_words(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.settle()
    crashed = {
        "exitCode": 1,
        "reason": "Error",
        "message": "first\nRuntimeError: no NPU \U0001f600",
    }
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    await world.move_pods(ready=False, restarts=3, state=state)
    pod = (await world.serving_pods())[0]
    container = pod["status"]["containerStatuses"][0] | {"lastState": {"terminated": crashed}}
    await world.set_status("Pod", pod["metadata"]["name"], {"containerStatuses": [container]})
    await world.settle()
    assert (await world.conditions())["Ready"] == "Unknown/CrashLooping"
    assert "RuntimeError: no NPU \U0001f600" in await world.message()
