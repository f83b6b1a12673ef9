"""What a change of the spec does, and what it leaves alone."""

from __future__ import annotations

import json
from typing import Any

from ascendllm.desired import names
from integration.world import World, resource

SMOKE = {"smoke": {}}


def mmlu(**fields: Any) -> dict[str, Any]:
    baseline = {"value": 66.7, "average": "macro"}
    return {"smoke": {}, "mmlu": {"baseline": baseline, **fields}}


async def test_replicas_are_applied_and_nothing_is_run_again(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    revision = await world.revision()

    await world.apply(resource(validation=SMOKE, replicas=3))
    await world.settle()
    assert (await world.get("Deployment", f"llama-{revision}"))["spec"]["replicas"] == 3
    assert await world.conditions() == {
        "Ready": "True/Scaling",
        "Reconciling": "True/Scaling",
        "Available": "True/Serving",
        "Validated": "True/Passed",
    }
    await world.move_pods()
    await world.settle()
    status = await world.status()
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert (status["replicas"], status["readyReplicas"], status["npus"]) == (3, 3, 3)
    assert len(await world.names_of("ConfigMap")) == 1

    await world.apply(resource(validation=SMOKE, replicas=1))
    await world.settle()
    await world.move_pods()
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert await world.revision() == revision


async def test_pods_taken_away_by_scaling_down_spoil_no_run(world: World) -> None:
    await world.apply(resource(validation=SMOKE, replicas=2))
    await world.load()
    await world.apply(resource(validation=SMOKE, replicas=1))
    await world.settle()
    await world.move_pods()
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_scaled_to_zero_and_back(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    await world.apply(resource(validation=SMOKE, replicas=0))
    await world.settle()
    await world.move_pods()
    await world.settle()
    assert await world.conditions() == {
        "Ready": "True/ScaledToZero",
        "Validated": "True/Passed",
    }
    await world.apply(resource(validation=SMOKE, replicas=1))
    await world.load()
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert await world.running_job() is None


async def test_the_scale_subresource(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    scale = json.loads(world.kubectl("get", "--raw", _scale_path(world)))
    served = await world.served()
    assert scale["spec"]["replicas"] == 1
    assert scale["status"] == {
        "replicas": 1,
        "selector": f"ascendllm.io/name=llama,ascendllm.io/revision={served}",
    }
    world.kubectl("scale", "ascendllm/llama", "--replicas=2")
    await world.settle()
    assert (await world.get("Deployment", f"llama-{served}"))["spec"]["replicas"] == 2


def _scale_path(world: World) -> str:
    return f"/apis/ascendllm.io/v1alpha1/namespaces/{world.namespace}/ascendllms/llama/scale"


async def test_a_new_revision_waits_until_the_old_pods_are_gone(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    old = await world.revision()

    await world.apply(resource(validation=SMOKE, engine={"maxModelLen": 2048}))
    await world.settle()
    new = await world.revision()
    assert new != old
    assert await world.names_of("Deployment") == set(), "the old pods hold the NPUs"
    assert await world.conditions() == {
        "Ready": "Unknown/Recreating",
        "Reconciling": "True/Recreating",
        "Available": "True/Serving",
        "Validated": "Unknown/Recreating",
    }
    assert f"llama-{old}-0" in await world.message()

    await world.move_pods()
    await world.settle()
    assert await world.names_of("Deployment") == {f"llama-{new}"}
    assert await world.served() == old, "unproven: no traffic"
    assert (await world.conditions())["Available"] == "Unknown/NoReadyPods"
    await world.move_pods()
    await world.settle()
    assert await world.served() == old
    await world.finish_check("smoke")
    assert await world.served() == new
    status = await world.status()
    assert "candidateRevision" not in status
    assert status["servedRevision"] == new


async def test_back_to_the_old_spec_is_the_old_revision_with_nothing_run_again(
    world: World,
) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    old = await world.revision()
    runs = await world.names_of("ConfigMap")

    await world.apply(resource(validation=SMOKE, engine={"maxModelLen": 2048}))
    await world.settle()
    await world.move_pods()
    await world.settle()
    await world.apply(resource(validation=SMOKE))
    for _ in range(2):
        await world.settle()
        await world.move_pods()
    await world.settle()
    assert await world.revision() == old
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert await world.running_job() is None
    assert await world.names_of("ConfigMap") == runs
    revisions = {
        item["metadata"]["labels"][names.REVISION]: item["revision"]
        for item in await world.children("ControllerRevision")
    }
    assert revisions == {old: 3}, "of three specs, two of them the same"


async def test_a_change_while_a_check_runs_stops_it(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    job = await world.job_of("smoke")
    await world.apply(resource(validation=SMOKE, engine={"maxModelLen": 2048}))
    await world.settle()
    assert await world.find("Job", job["metadata"]["name"]) is None
    assert await world.names_of("Role") == set()
    await world.move_pods()
    await world.load()
    again = await world.job_of("smoke")
    assert again["metadata"]["name"] != job["metadata"]["name"]
    assert again["metadata"]["labels"][names.REVISION] == await world.revision()


async def test_a_service_change_touches_no_pod(world: World) -> None:
    await world.apply(resource(validation=SMOKE, service={"annotations": {"a/b": "c"}}))
    await world.prove(checks=("smoke",))
    revision = await world.revision()
    await world.apply(resource(validation=SMOKE, service={"port": 80}))
    await world.settle()
    service = await world.get("Service", "llama")
    assert [(p["port"], p["targetPort"]) for p in service["spec"]["ports"]] == [(80, 8000)]
    assert "annotations" not in service["metadata"]
    assert (await world.status())["url"] == f"http://llama.{world.namespace}.svc:80"
    assert await world.revision() == revision
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_new_bound_judges_the_stored_figures(world: World) -> None:
    await world.apply(resource(validation=mmlu()))
    await world.prove(checks=("smoke", "mmlu"))
    served = await world.served()
    runs = await world.names_of("ConfigMap")

    await world.apply(resource(validation=mmlu(tolerance=0.3)))
    await world.settle()
    assert await world.conditions() == {
        "Ready": "False/Regression",
        "Stalled": "True/Regression",
        "Available": "True/Serving",
        "Validated": "False/ValidationFailed",
    }
    assert (await world.check("mmlu"))["tolerance"] == 0.3
    assert await world.served() == served, "it keeps its traffic"

    await world.apply(resource(validation=mmlu(tolerance=0.4)))
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Proven"
    micro = {"value": 66.7, "average": "micro"}
    await world.apply(resource(validation=mmlu(baseline=micro)))
    await world.settle()
    state = await world.check("mmlu")
    assert (state["result"], state["delta"]) == ("Failed", -1.3)
    assert (state["standardError"], state["baselineAverage"]) == (0.4, "micro")
    await world.apply(resource(validation={"smoke": {}, "mmlu": {}}))
    await world.settle()
    state = await world.check("mmlu")
    assert (state["result"], state["reason"]) == ("Passed", "NoBaseline")
    assert "delta" not in state
    assert await world.names_of("ConfigMap") == runs
    assert await world.running_job() is None


async def test_a_failed_candidate_is_proven_by_a_wider_bound(world: World) -> None:
    await world.apply(resource(validation=mmlu(tolerance=0.1)))
    await world.load()
    await world.finish_check("smoke")
    await world.finish_check("mmlu")
    assert await world.served() == "none"
    await world.apply(resource(validation=mmlu(tolerance=1.0)))
    await world.settle()
    assert await world.served() == await world.revision()
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_checks_field_runs_that_check_again_and_no_other(world: World) -> None:
    await world.apply(resource())
    await world.prove()
    served = await world.served()
    changed = resource()
    changed["spec"]["validation"]["bench"] = {"requests": 40}
    await world.apply(changed)
    await world.settle()
    assert await world.served() == served
    assert (await world.conditions())["Ready"] == "Unknown/Validating"
    job = await world.job_of("bench")
    assert "--requests=40" in job["spec"]["template"]["spec"]["containers"][0]["args"]
    await world.finish_check("bench")
    assert (await world.conditions())["Ready"] == "True/Proven"

    await world.apply(resource())
    await world.settle()
    assert await world.running_job() is None, "these figures are still there"
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_default_written_out_is_no_change(world: World) -> None:
    await world.apply(resource())
    await world.prove()
    before = await world.versions()
    item = resource()
    item["spec"]["model"] |= {"servedName": "llama", "kind": "base"}
    item["spec"]["engine"] = {"tensorParallelSize": 1, "memoryUtilization": 0.9}
    item["spec"]["validation"]["bench"] = {"requests": 20, "concurrency": 4}
    item["spec"]["validation"]["mmlu"] |= {"shots": 5}
    await world.apply(item)
    await world.settle()
    after = await world.versions()
    assert {k: v for k, v in after.items() if k[0] != "AscendLLM"} == {
        k: v for k, v in before.items() if k[0] != "AscendLLM"
    }
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_check_asked_for_later(world: World) -> None:
    await world.apply(resource(validation=None))
    await world.load()
    served = await world.served()
    await world.apply(resource(validation=SMOKE))
    await world.settle()
    assert await world.served() == served
    assert (await world.conditions())["Ready"] == "Unknown/Validating"
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_mmlu_takes_a_quarter_of_a_revision_with_traffic(world: World) -> None:
    engine = {"maxNumSeqs": 16}
    await world.apply(resource(validation={"mmlu": {}}, engine=engine))
    await world.load()
    assert "--concurrency=16" in _arguments(await world.job_of("mmlu"))
    await world.finish_check("mmlu")
    await world.apply(resource(validation={"mmlu": {"shots": 0}}, engine=engine))
    await world.settle()
    assert "--concurrency=4" in _arguments(await world.job_of("mmlu"))


def _arguments(job: dict[str, Any]) -> list[str]:
    arguments: list[str] = job["spec"]["template"]["spec"]["containers"][0]["args"]
    return arguments


async def test_many_revisions_leave_the_last_proven_ones(world: World) -> None:
    for length in range(1, 6):
        await world.apply(resource(validation=SMOKE, engine={"maxModelLen": 1000 + length}))
        await world.settle()
        await world.move_pods()
        await world.prove(checks=("smoke",))
    assert len(await world.children("ControllerRevision")) == 3
    assert len(await world.children("Deployment")) == 1
    assert len(await world.children("Job")) == 1
    assert len(await world.children("Service")) == 2
    assert len((await world.status())["history"]) == 5
