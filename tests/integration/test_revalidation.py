"""Checks that run again though nothing has changed, on a real API server."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ascendllm.desired import names
from ascendllm.settings import Settings
from cluster.errors import ClusterError
from integration.world import World, resource

SMOKE = {"smoke": {}}
TWO = {"smoke": {}, "bench": {}, "retries": 0}
BEFORE = {"Ready": "True/Proven", "Available": "True/Serving", "Validated": "True/Passed"}


async def records(world: World, check: str) -> list[dict[str, Any]]:
    """What the operator recorded of a check's runs, oldest first."""
    items = await world.children("ConfigMap")
    found = [json.loads(item["data"]["run.json"]) for item in items]
    return sorted((r for r in found if r["check"] == check), key=lambda r: int(r["serial"]))


def arguments(job: dict[str, Any]) -> list[str]:
    found: list[str] = job["spec"]["template"]["spec"]["containers"][0]["args"]
    return found


def waits(world: World, value: str, seconds: int) -> bool:
    """The recipe of docs/validation/when-checks-run.md."""
    try:
        world.kubectl(
            "wait",
            "ascendllm/llama",
            f"--for=jsonpath={{.status.lastHandledRevalidate}}={value}",
            f"--timeout={seconds}s",
        )
    except ClusterError:
        return False
    return True


async def test_an_annotation_runs_every_check_again_and_can_be_waited_for(world: World) -> None:
    await world.apply(resource(validation=TWO))
    await world.prove(checks=("smoke", "bench"))
    pods = {pod["metadata"]["uid"] for pod in await world.serving_pods()}
    await asyncio.to_thread(
        world.kubectl, "annotate", "ascendllm/llama", "ascendllm.io/revalidate=2026-w47"
    )
    await world.settle()
    assert await world.conditions() == BEFORE | {"Validated": "True/Revalidating"}
    assert (await world.check("bench"))["result"] == "Passed"
    assert not await asyncio.to_thread(waits, world, "2026-w47", 1)
    await world.finish_check("smoke")
    await world.finish_check("bench", outputThroughput=200)
    assert await world.conditions() == BEFORE
    assert (await world.check("bench"))["outputThroughput"] == 200
    assert await asyncio.to_thread(waits, world, "2026-w47", 5)
    assert {pod["metadata"]["uid"] for pod in await world.serving_pods()} == pods
    cr = await world.get("AscendLLM", "llama")
    assert set(cr["metadata"]["annotations"]) == {"ascendllm.io/revalidate"}, "it stays the user's"

    before = await world.versions()
    await world.settle()
    assert await world.versions() == before


async def test_a_value_set_while_a_check_runs_stops_the_run(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    await world.annotate("v1")
    await world.settle()
    first = await world.job_of("smoke")
    await world.annotate("v2")
    await world.settle()
    second = await world.job_of("smoke")
    assert second["metadata"]["name"] != first["metadata"]["name"]
    assert await world.find("Job", first["metadata"]["name"]) is None
    await world.finish_check("smoke")
    assert (await world.status())["lastHandledRevalidate"] == "v2"


async def test_a_regression_keeps_its_traffic(world: World) -> None:
    await world.apply(resource(validation=TWO))
    await world.prove(checks=("smoke", "bench"))
    served = await world.served()
    await world.annotate("v1")
    await world.settle()
    await world.finish_check("smoke", result="Failed", reason="WrongName")
    assert await world.conditions() == {
        "Ready": "False/Regression",
        "Stalled": "True/Regression",
        "Available": "True/Serving",
        "Validated": "False/ValidationFailed",
    }
    assert await world.served() == served
    assert len(await world.children("Deployment")) == 1
    await world.annotate("v2")
    await world.settle()
    await world.finish_check("smoke")
    await world.finish_check("bench")
    assert await world.conditions() == BEFORE


async def test_a_revalidation_without_a_verdict_leaves_ready_as_it_was(world: World) -> None:
    await world.apply(resource(validation=TWO))
    await world.prove(checks=("smoke", "bench"))
    await world.annotate("v1")
    await world.settle()
    await world.finish_check("smoke", result="Error", reason="ServerUnreachable")
    assert await world.conditions() == BEFORE | {"Validated": "Unknown/ValidationError"}
    assert (await world.status())["verdict"] == "Error"
    assert (await world.status())["lastHandledRevalidate"] == "v1"


async def test_a_bench_that_saw_clients_leaves_the_verdict_before_it(world: World) -> None:
    await world.apply(resource(validation={"bench": {}, "retries": 0}))
    await world.prove(checks=("bench",))
    await world.annotate("v1")
    await world.settle()
    await world.finish_check("bench", result="Skipped", reason="OtherTraffic")
    assert await world.conditions() == BEFORE
    shown = await world.check("bench")
    assert (shown["result"], shown["outputThroughput"]) == ("Passed", 177.75)
    assert "OtherTraffic" in shown["message"]
    assert (await world.status())["history"][0]["result"] == "Skipped"


async def test_a_first_bench_that_saw_clients_proves_nothing(world: World) -> None:
    await world.apply(resource(validation=None))
    await world.load()
    await world.apply(resource(validation={"bench": {}, "retries": 1}))
    await world.settle()
    await world.finish_check("bench", result="Skipped", reason="OtherTraffic")
    assert (await world.conditions())["Ready"] == "Unknown/Retrying"
    world.pass_time(seconds=15)
    await world.settle()
    await world.finish_check("bench", result="Skipped", reason="OtherTraffic")
    assert (await world.conditions())["Ready"] == "False/ValidationError"
    await world.apply(resource(validation={"bench": {"underLoad": True}, "retries": 1}))
    await world.settle()
    assert "--under-load" in arguments(await world.job_of("bench"))
    await world.finish_check("bench", otherRequests=12)
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_schedule(world: World) -> None:
    # Two hours away from any slot, whatever the time is now.
    hour = (datetime.now(UTC) + timedelta(hours=12)).hour
    nightly = {"smoke": {}, "schedule": f"0 {hour} * * *"}
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    await world.apply(resource(validation=nightly))
    wake = await world.reconcile()
    await world.settle()
    assert await world.running_job() is None, "a schedule runs nothing by itself"
    assert wake is not None
    wake = await world.reconcile()
    assert wake is not None
    assert 10 * 3600 < wake <= 12 * 3600
    before = await world.versions()
    await world.settle()
    assert await world.versions() == before

    world.pass_time(seconds=wake + 1)
    await world.settle()
    assert await world.conditions() == BEFORE | {"Validated": "True/Revalidating"}
    await world.finish_check("smoke")
    assert await world.running_job() is None
    world.pass_time(days=5)
    await world.settle()
    await world.finish_check("smoke")
    assert await world.running_job() is None, "one run for five slots"
    slots = [record["slot"] for record in await records(world, "smoke")]
    assert slots[0] == ""
    assert len(slots) == 3
    assert slots == sorted(slots)


async def test_a_moved_tag_under_a_standing_value(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    await world.annotate("v1")
    await world.settle()
    await world.finish_check("smoke")
    await world.move_pods(image_id="sha256:" + "b" * 64)
    await world.settle()
    assert (await world.conditions())["Ready"] == "Unknown/Validating"
    assert (await world.status())["lastHandledRevalidate"] == "v1"
    await world.finish_check("smoke")
    assert await world.conditions() == BEFORE
    assert (await records(world, "smoke"))[-1]["revalidate"] == "v1"


async def test_a_run_is_held_against_the_last_passed_one(world: World) -> None:
    checks = {"bench": {"regression": {"tolerance": 10}}, "retries": 0}
    await world.apply(resource(validation=checks))
    await world.prove(checks=("bench",))
    await world.annotate("v1")
    await world.settle()
    await world.finish_check("bench", outputThroughput=100)
    assert (await world.conditions())["Ready"] == "False/Regression"
    shown = await world.check("bench")
    assert (shown["result"], shown["reason"]) == ("Failed", "Regression")
    sealed = json.loads((await world.get("ConfigMap", shown["report"]))["data"]["sealed.json"])
    assert (sealed["result"], sealed["outputThroughput"]) == ("Failed", 100)
    await world.apply(resource(validation={"bench": {"regression": {"tolerance": 50}}}))
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert await world.running_job() is None


async def test_another_resources_figures_stand_beside_ours(world: World) -> None:
    await world.apply(resource(validation={"bench": {"compareTo": {"name": "other"}}}))
    await world.prove(checks=("bench",))
    assert "there is no AscendLLM other" in (await world.check("bench"))["message"]
    other = resource(validation={"bench": {}})
    other["metadata"]["name"] = "other"
    await world.apply(other)
    await world.prove("other", checks=("bench",))
    await world.settle()
    rows = {row["figure"]: row for row in (await world.check("bench"))["comparison"]}
    assert rows["outputThroughput"]["changePercent"] == 0
    before = await world.versions()
    await world.settle()
    assert await world.versions() == before
    assert await world.gets_at_rest("other") == 1
    assert await world.gets_at_rest() == 2, "the other resource is looked up"


async def test_goodput_is_judged_on_the_stored_requests(world: World) -> None:
    def asked(ttft: int) -> dict[str, Any]:
        bound = {"requestGoodput": {"min": 0.2}}
        return resource(validation={"bench": {"goodput": {"ttftMs": ttft}, "thresholds": bound}})

    await world.apply(asked(60))
    await world.load()
    rows = json.dumps([[55, 20, 1000]] * 10 + [[70, 20, 1000]] * 10)
    await world.write_data(await world.job_of("bench"), **{"requests.json": rows})
    await world.finish_check("bench")
    shown = await world.check("bench")
    assert (shown["result"], shown["requestGoodput"]) == ("Passed", 0.69)
    await world.apply(asked(50))
    await world.settle()
    shown = await world.check("bench")
    assert (shown["reason"], shown["requestGoodput"]) == ("ThresholdMissed", 0)
    assert await world.running_job() is None
    assert await world.gets_at_rest() == 1, "a sealed run's requests are kept at hand"


async def test_a_tolerance_under_a_reference_goes_on_from_the_answers(world: World) -> None:
    def asked(tolerance: float) -> dict[str, Any]:
        reference = {"configMap": "golden"}
        return resource(validation={"mmlu": {"reference": reference, "tolerance": tolerance}})

    await world.apply(asked(1.0))
    await world.load()
    await world.write_data(await world.job_of("mmlu"), checkpoint="ABCD....")
    paired = {"questions": 570, "looks": 1, "delta": 0.1, "lower": -0.4, "upper": 0.6}
    await world.finish_check("mmlu", paired=paired)
    first = (await world.check("mmlu"))["report"]
    assert (await world.check("mmlu"))["paired"]["questions"] == 570

    await world.apply(asked(0.25))
    await world.settle()
    job = await world.job_of("mmlu")
    run = await world.get("ConfigMap", job["metadata"]["name"])
    assert run["data"]["checkpoint"] == "ABCD...."
    assert json.loads(run["data"]["run.json"])["goesOnFrom"] == first
    assert run["metadata"]["annotations"][names.JOB_STATE] == "started", "and survives an apply"
    before = await world.versions()
    await world.settle()
    assert await world.versions() == before
    await world.finish_check("mmlu", paired=paired | {"questions": 1140})
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_answers_are_handed_over_wherever_the_operator_is_killed(
    world: World, settings: Settings
) -> None:
    def asked(tolerance: float) -> dict[str, Any]:
        reference = {"configMap": "golden"}
        return resource(validation={"mmlu": {"reference": reference, "tolerance": tolerance}})

    paired = {"questions": 570, "looks": 1, "delta": 0.1, "lower": -0.4, "upper": 0.6}
    await world.apply(asked(1.0))
    await world.load()
    await world.write_data(await world.job_of("mmlu"), checkpoint="ABCD....")
    await world.finish_check("mmlu", paired=paired)
    writes = 99
    for life in range(1, 30):
        mortal = world.operate(settings, life=life)
        await world.apply(asked(1.0 + life))
        await world.settle()
        job = await world.job_of("mmlu")
        run = await world.get("ConfigMap", job["metadata"]["name"])
        assert run["data"]["checkpoint"] == "ABCD....", f"killed after write {life}"
        writes = mortal.writes
        world.operate(settings)
        await world.finish_check("mmlu", paired=paired)
        if writes < life:
            break
    assert 5 < writes < 29


async def test_what_was_refuted_is_raised_again_by_a_new_value(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    await world.finish_check("smoke", result="Failed", reason="WrongName")
    await world.apply(resource(validation=SMOKE, suspend=True))
    await world.settle()
    await world.move_pods()
    await world.apply(resource(validation=SMOKE))
    await world.settle()
    assert (await world.conditions())["Ready"] == "False/ValidationFailed"
    revision = await world.revision()
    workload = await world.get("Deployment", f"llama-{revision}")
    assert workload["spec"]["replicas"] == 0
    await world.annotate("v1")
    await world.load()
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert await world.served() == revision


@pytest.mark.parametrize("value", ["x" * 200_000, "\U0001f600\n\t\u2028", '"}{\\'])
async def test_hostile_values(world: World, value: str) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    await world.annotate(value)
    await world.settle()
    await world.finish_check("smoke")
    handled = (await world.status())["lastHandledRevalidate"]
    assert handled == value if len(value) < 200 else handled.startswith("sha256:")
    assert await world.running_job() is None
    before = await world.versions()
    await world.settle()
    assert await world.versions() == before


async def test_the_provenance_is_recorded_and_shown(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.settle()
    await world.move_pods(facts={"vllm": "0.18.0", "cann": "8.3.RC1", "soc": "ascend910_9391"})
    (pod,) = await world.serving_pods()
    devices = {"metadata": {"annotations": {"huawei.com/AscendReal": "Ascend910-4"}}}
    await world.edit("Pod", pod["metadata"]["name"], devices)
    await world.settle()
    job = await world.job_of("smoke")
    runtime = (await world.status())["runtime"]
    assert runtime["soc"] == "ascend910_9391"
    assert runtime["vllm"] == "0.18.0"
    record = json.loads((await world.get("ConfigMap", job["metadata"]["name"]))["data"]["run.json"])
    assert record["runtime"]["cann"] == "8.3.RC1"
    await world.finish_check("smoke")
    shown = await world.check("smoke")
    assert shown["protocolNumber"] == 1
    assert shown["harness"]
    assert shown["inputsHash"] == record["inputsHash"]
