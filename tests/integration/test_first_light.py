"""From `kubectl apply` to a proven, served revision, against a real API server."""

from __future__ import annotations

from integration.world import World, resource


async def test_the_whole_way(world: World) -> None:
    await world.apply(resource())
    assert (await world.status()) == {"observedGeneration": -1}
    await world.settle()

    status = await world.status()
    assert status["observedGeneration"] == 1
    conditions = await world.conditions()
    assert conditions["Ready"].startswith("Unknown/")
    assert conditions["Reconciling"].startswith("True/")
    assert "Stalled" not in conditions
    assert await world.served() == "none"

    await world.move_pods(ready=False)
    await world.settle()
    assert (await world.conditions())["Ready"] == "Unknown/Loading"
    assert await world.running_job() is None, "nothing is checked before the pods are ready"

    await world.move_pods()
    await world.settle()
    assert (await world.conditions())["Ready"] == "Unknown/Validating"
    for check in ("smoke", "bench", "mmlu"):
        assert await world.served() == "none", "no traffic before every check has passed"
        await world.finish_check(check)

    status = await world.status()
    assert await world.conditions() == {
        "Ready": "True/Proven",
        "Available": "True/Serving",
        "Validated": "True/Passed",
    }
    assert status["verdict"] == "Passed"
    assert status["validation"]["mmlu"]["macroAverage"] == 66.3
    assert status["validation"]["mmlu"]["delta"] == -0.4
    assert status["validation"]["bench"]["outputThroughput"] == 177.75
    assert await world.served() == status["servedRevision"] == await world.revision()
    assert await world.names_of("Role") == set(), "the jobs' rights end with them"


async def test_without_the_gate_traffic_comes_with_the_first_ready_pod(world: World) -> None:
    await world.apply(resource(rollout={"gate": False}))
    await world.settle()
    assert await world.served() == "none"

    await world.move_pods()
    await world.settle()
    assert await world.served() == await world.revision()
    assert await world.conditions() == {
        "Ready": "Unknown/Validating",
        "Reconciling": "True/Validating",
        "Available": "True/Serving",
        "Validated": "Unknown/Running",
    }
    for check in ("smoke", "bench", "mmlu"):
        await world.finish_check(check)
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_without_the_gate_a_failed_check_is_told_and_traffic_stays(world: World) -> None:
    await world.apply(resource(rollout={"gate": False}))
    await world.load()
    for check in ("smoke", "bench"):
        await world.finish_check(check)
    await world.finish_check("mmlu", macroAverage=60.0)

    assert await world.conditions() == {
        "Ready": "False/Regression",
        "Stalled": "True/Regression",
        "Available": "True/Serving",
        "Validated": "False/ValidationFailed",
    }
    assert "60.00 against 66.7" in await world.message()
    assert await world.served() == await world.revision()


async def test_no_checks_asked_for(world: World) -> None:
    await world.apply(resource(validation=None))
    await world.load()
    assert await world.conditions() == {"Ready": "True/NoValidation", "Available": "True/Serving"}
    assert await world.served() == await world.revision()
    assert (await world.status())["verdict"] == "None"
    assert await world.children("Job") == []


async def test_an_instruct_model_is_asked_by_chat(world: World) -> None:
    model = {"source": {"pvc": {"claimName": "models"}}, "kind": "instruct"}
    await world.apply(resource(model=model, validation={"smoke": {}}))
    await world.load()
    job = await world.job_of("smoke")
    assert "--kind=instruct" in job["spec"]["template"]["spec"]["containers"][0]["args"]


async def test_a_failed_candidate_gets_no_traffic(world: World) -> None:
    asked = resource()
    bound = {"thresholds": {"outputThroughput": {"min": 100}}}
    asked["spec"]["validation"]["bench"] = bound
    await world.apply(asked)
    await world.load()
    await world.finish_check("smoke")
    await world.finish_check("bench", result="Failed", outputThroughput=5)
    assert (await world.conditions())["Ready"] == "Unknown/Validating", "mmlu still runs"
    await world.finish_check("mmlu")

    assert await world.conditions() == {
        "Ready": "False/ValidationFailed",
        "Stalled": "True/ValidationFailed",
        "Available": "False/NothingProven",
        "Validated": "False/ValidationFailed",
    }
    assert await world.served() == "none"
    assert (await world.status())["verdict"] == "Failed"
    assert len(await world.serving_pods()) == 1, "a failed candidate keeps its pods"
