"""spec.suspend: no pods, no jobs, and everything where it was afterwards."""

from __future__ import annotations

import json

from integration.world import World, resource

SMOKE = {"smoke": {}}


async def test_a_running_check_is_stopped_and_goes_on_afterwards(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    job = await world.job_of("smoke")
    name = job["metadata"]["name"]
    pod = await world.create_job_pod(job)
    await world.write_data(job, checkpoint="half of it")

    for _ in range(4):
        await world.apply(resource(validation=SMOKE, suspend=True))
        await world.settle()
        assert await world.running_job() is None
        assert await world.conditions() == {
            "Ready": "True/Suspended",
            "Validated": "Unknown/Unfinished",
        }
        if await world.find("Pod", pod) is not None:
            assert await world.names_of("Role") == {name}, "the last checkpoint is still to come"
            await world.remove("Pod", pod)
            await world.settle()
        assert await world.names_of("Role") == set()
        await world.move_pods()
        assert await world.serving_pods() == []
        await world.apply(resource(validation=SMOKE, suspend=False))
        await world.load()
        again = await world.job_of("smoke")
        assert again["metadata"]["name"] == name

    run = await world.get("ConfigMap", name)
    assert run["data"]["checkpoint"] == "half of it"
    assert json.loads(run["data"]["run.json"])["lostJobs"] == 0, "the operator stopped it"
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_served_revision_is_served_again_without_a_check(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    await world.apply(resource(validation=SMOKE, suspend=True))
    await world.settle()
    await world.move_pods()
    await world.settle()
    status = await world.status()
    assert await world.conditions() == {"Ready": "True/Suspended", "Validated": "True/Passed"}
    assert (status["replicas"], status["npus"], status["phase"]) == (0, 0, "Suspended")
    assert status["verdict"] == "Passed"
    assert len(status["history"]) == 1

    await world.apply(resource(validation=SMOKE))
    await world.settle()
    assert (await world.conditions())["Reconciling"].startswith("True/")
    await world.move_pods()
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert await world.running_job() is None


async def test_suspended_from_the_start(world: World) -> None:
    await world.apply(resource(suspend=True))
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Suspended"
    assert (await world.children("Deployment"))[0]["spec"]["replicas"] == 0
    await world.apply(resource())
    await world.prove()
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_result_that_came_in_time_counts_after_the_suspension(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    job = await world.job_of("smoke")
    await world.write_result(job)
    await world.end_job(job)
    await world.apply(resource(validation=SMOKE, suspend=True))
    await world.settle()
    assert await world.conditions() == {"Ready": "True/Suspended", "Validated": "True/Passed"}
