"""Runs of checks: started, lost, gone on with, sealed, retried, spent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ascendllm.desired import names
from integration.world import World, resource

SMOKE = {"smoke": {}}
TWO = {"smoke": {}, "bench": {}}


async def run_record(world: World, run_name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(
        (await world.get("ConfigMap", run_name))["data"]["run.json"]
    )
    return record


async def test_behind_a_running_smoke_the_others_wait(world: World) -> None:
    await world.apply(resource())
    await world.load()
    assert (await world.check("smoke"))["result"] == "Running"
    assert (await world.check("bench"))["result"] == "Pending"
    assert (await world.check("mmlu"))["result"] == "Pending"


async def test_behind_a_failed_smoke_the_others_are_skipped(world: World) -> None:
    await world.apply(resource())
    await world.load()
    await world.finish_check("smoke", result="Failed", reason="WrongName", message="other name")

    assert await world.running_job() is None
    for check in ("bench", "mmlu"):
        state = await world.check(check)
        assert (state["result"], state["reason"]) == ("Skipped", "Blocked")
    assert (await world.conditions())["Ready"] == "False/ValidationFailed"
    assert await world.served() == "none"


async def test_progress_is_shown_while_a_check_runs(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    job = await world.job_of("smoke")
    progress = {"done": 3, "total": 8, "ratePerSecond": 1.2345, "etaSeconds": 5}
    await world.write_data(job, **{"progress.json": json.dumps(progress)})
    await world.settle()
    assert (await world.check("smoke"))["progress"] == progress | {"ratePerSecond": 1.23}


async def test_errors_are_retried_with_a_growing_pause_until_spent(world: World) -> None:
    await world.apply(resource(validation=TWO))
    await world.load()
    runs = set()
    for attempt, pause in ((1, 10), (2, 20)):
        runs.add((await world.job_of("smoke"))["metadata"]["name"])
        await world.finish_check("smoke", result="Error", reason="ServerUnreachable")
        assert (await world.conditions())["Ready"] == "Unknown/Retrying"
        assert (await world.check("bench"))["result"] == "Pending"
        assert await world.running_job() is None
        wake = await world.reconcile()
        assert wake is not None
        assert pause - 5 < wake <= pause
        world.pass_time(seconds=pause)
        await world.settle()
        assert (await world.check("smoke"))["attempt"] == attempt + 1
    runs.add((await world.job_of("smoke"))["metadata"]["name"])
    await world.finish_check("smoke", result="Inconclusive", reason="TooNoisy")

    assert len(runs) == 3
    assert await world.conditions() == {
        "Ready": "False/ValidationError",
        "Stalled": "True/ValidationError",
        "Available": "False/NothingProven",
        "Validated": "Unknown/ValidationError",
    }
    assert (await world.check("bench"))["reason"] == "Blocked"
    world.pass_time(hours=24)
    await world.settle()
    assert await world.running_job() is None, "what is spent does not run again"


async def test_a_retry_that_passes_makes_up_for_the_error(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    await world.finish_check("smoke", result="Error", reason="ServerUnreachable")
    world.pass_time(seconds=11)
    await world.settle()
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert [e["result"] for e in (await world.status())["history"]] == ["Passed", "Error"]


async def test_no_retries(world: World) -> None:
    await world.apply(resource(validation={**SMOKE, "retries": 0}))
    await world.load()
    await world.finish_check("smoke", result="Error", reason="ServerUnreachable")
    assert (await world.conditions())["Ready"] == "False/ValidationError"


async def test_more_retries_go_on_where_they_were_spent(world: World) -> None:
    await world.apply(resource(validation={**SMOKE, "retries": 0}))
    await world.load()
    await world.finish_check("smoke", result="Error", reason="ServerUnreachable")
    await world.apply(resource(validation={**SMOKE, "retries": 1}))
    world.pass_time(seconds=11)
    await world.settle()
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_the_termination_message_is_enough(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    job = await world.job_of("smoke")
    await world.create_job_pod(job, message=world.result_text("smoke"), phase="Succeeded")
    await world.end_job(job)
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_the_stored_result_outweighs_the_termination_message(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    job = await world.job_of("smoke")
    await world.write_result(job)
    failed = world.result_text("smoke", result="Failed", reason="WrongName")
    await world.create_job_pod(job, message=failed, phase="Succeeded")
    await world.end_job(job)
    await world.settle()
    assert (await world.check("smoke"))["result"] == "Passed"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "{}",
        '{"check": "smoke"}',
        '{"check":"smoke","result":"Maybe","reason":"R","message":"m","startedAt":"a",'
        '"finishedAt":"b","protocolNumber":1,"harness":"1"}',
        "[" * 60_000,
        '"' + "x" * 70_000 + '"',
    ],
    ids=["empty", "text", "list", "object", "keys", "verdict", "deep", "long"],
)
async def test_an_unreadable_result_is_an_error(world: World, text: str) -> None:
    await world.apply(resource(validation={**SMOKE, "retries": 0}))
    await world.load()
    job = await world.job_of("smoke")
    await world.write_data(job, **{"result.json": text})
    await world.end_job(job)
    await world.settle()
    state = await world.check("smoke")
    assert (state["result"], state["reason"]) == ("Error", "ResultUnreadable")
    assert await world.served() == "none"


async def test_the_result_of_another_check_is_none(world: World) -> None:
    await world.apply(resource(validation={**SMOKE, "retries": 0}))
    await world.load()
    job = await world.job_of("smoke")
    await world.write_data(job, **{"result.json": world.result_text("bench")})
    await world.end_job(job)
    await world.settle()
    assert (await world.check("smoke"))["reason"] == "ResultUnreadable"


async def test_hostile_figures_never_reach_the_status(world: World) -> None:
    await world.apply(resource(validation={"bench": {}, "retries": 0}))
    await world.load()
    job = await world.job_of("bench")
    figures = {
        "completed": True,
        "failed": "0",
        "totalInputTokens": 10**30,
        "totalOutputTokens": 20.0,
        "duration": None,
        "meanTtftMs": [1, 2],
        "meanTpotMs": -5,
        "concurrency": 2.5,
        "outputThroughput": 1.23456,
        "nobody": "asked",
        "vllm": "\u0000\ud83d\ude00" + "x" * 5000,
    }
    await world.write_result(job, message="m" * 1900 + "\U0001f600", **figures)
    await world.end_job(job)
    await world.settle()
    shown = await world.check("bench")
    assert (shown["result"], shown["reason"]) == ("Error", "FigureMissing")
    assert shown["outputThroughput"] == 1.23
    for key in ("completed", "failed", "totalInputTokens", "meanTtftMs", "concurrency", "nobody"):
        assert key not in shown, key
    assert len(json.dumps(await world.status()).encode()) <= 16 * 1024


async def test_times_that_cannot_be_are_put_right(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    job = await world.job_of("smoke")
    text = json.loads(world.result_text("smoke", result="Error", reason="Strange"))
    text |= {"startedAt": "s" * 9000, "finishedAt": "9999-12-31T23:59:59Z"}
    await world.write_data(job, **{"result.json": json.dumps(text)})
    await world.end_job(job, failed=True)
    await world.settle()
    shown = await world.check("smoke")
    assert shown["finishedAt"] <= world.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
    assert len(shown["startedAt"]) == 20
    world.pass_time(seconds=11)
    await world.settle()
    await world.finish_check("smoke")


async def test_the_status_stays_small_whatever_the_jobs_say(world: World) -> None:
    wide = "\U0001f600"
    seen = {"name": wide * 99, "result": "Passed", "expected": wide * 400, "seen": wide * 400}
    await world.apply(resource())
    await world.load()
    await world.finish_check("smoke", message=wide * 1900, checks=[seen] * 12)
    await world.finish_check("bench", message=wide * 1900)
    await world.finish_check("mmlu", message=wide * 1900, worstSubjects=[wide * 500] * 60)
    text = json.dumps(await world.status(), ensure_ascii=False)
    assert len(text.encode()) <= 16 * 1024


async def test_a_lost_job_is_made_again_and_goes_on(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    job = await world.job_of("smoke")
    await world.write_data(job, checkpoint="half of it")
    await world.remove("Job", job["metadata"]["name"])
    await world.settle()

    again = await world.job_of("smoke")
    assert again["metadata"]["name"] == job["metadata"]["name"]
    assert again["metadata"]["uid"] != job["metadata"]["uid"]
    run = await world.get("ConfigMap", job["metadata"]["name"])
    assert run["data"]["checkpoint"] == "half of it"
    assert (await run_record(world, job["metadata"]["name"]))["lostJobs"] == 1
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_job_that_is_lost_thrice_is_an_error(world: World) -> None:
    await world.apply(resource(validation={**SMOKE, "retries": 0}))
    await world.load()
    for _ in range(3):
        job = await world.job_of("smoke")
        await world.remove("Job", job["metadata"]["name"])
        await world.settle()
    assert await world.running_job() is None
    state = await world.check("smoke")
    assert (state["result"], state["reason"]) == ("Error", "JobLost")


async def test_a_job_that_cannot_be_made_is_not_a_lost_one(world: World) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-jobs", "namespace": world.namespace},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    where = f"/api/v1/namespaces/{world.namespace}/resourcequotas"
    await world.admin._request("POST", where, None, quota)
    used = {"status": {"hard": quota["spec"]["hard"], "used": {"count/jobs.batch": "0"}}}  # type: ignore[index]
    await world.admin._request(
        "PATCH", f"{where}/no-jobs/status", None, used, "application/merge-patch+json"
    )
    await world.apply(resource(validation=SMOKE))
    await world.settle()
    await world.move_pods()
    for _ in range(6):
        with pytest.raises(Exception, match="exceeded quota"):
            await world.reconcile()
    assert "exceeded quota" in await world.message()
    await world.admin._request("DELETE", f"{where}/no-jobs")
    await world.settle()
    job = await world.job_of("smoke")
    assert (await run_record(world, job["metadata"]["name"]))["lostJobs"] == 0


async def test_a_pod_restarted_during_a_check_spoils_it(world: World) -> None:
    await world.apply(resource(validation={**SMOKE, "retries": 0}))
    await world.load()
    await world.move_pods(restarts=1)
    await world.finish_check("smoke")
    state = await world.check("smoke")
    assert (state["result"], state["reason"]) == ("Error", "ServerChanged")
    assert await world.served() == "none"


async def test_a_pod_replaced_during_a_check_spoils_it(world: World) -> None:
    await world.apply(resource(validation={**SMOKE, "retries": 0}))
    await world.load()
    pod = (await world.serving_pods())[0]["metadata"]["name"]
    await world.remove("Pod", pod)
    await world.move_pods()
    await world.finish_check("smoke")
    assert (await world.check("smoke"))["reason"] == "ServerChanged"


async def test_a_pod_gone_at_the_end_of_a_check_spoils_it(world: World) -> None:
    await world.apply(resource(validation={**SMOKE, "retries": 0}))
    await world.load()
    job = await world.job_of("smoke")
    await world.write_result(job)
    await world.remove("Pod", (await world.serving_pods())[0]["metadata"]["name"])
    await world.end_job(job)
    await world.settle()
    assert (await world.check("smoke"))["reason"] == "ServerChanged"


async def test_a_moved_tag_runs_every_check_again_and_leaves_traffic(world: World) -> None:
    await world.apply(resource(validation=TWO))
    await world.prove(checks=("smoke", "bench"))
    served = await world.served()
    before = await world.names_of("ConfigMap")

    await world.move_pods(image_id="sha256:" + "b" * 64)
    await world.settle()
    assert await world.served() == served
    conditions = await world.conditions()
    assert conditions["Ready"] == "Unknown/Validating"
    assert conditions["Available"] == "True/Serving"
    await world.finish_check("smoke")
    await world.finish_check("bench")
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert len(await world.names_of("ConfigMap")) == len(before) + 2

    await world.move_pods()
    await world.settle()
    assert await world.running_job() is None, "the old image's figures are still there"
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_served_pod_that_is_lost_starts_nothing(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    served = await world.served()
    await world.remove("Pod", (await world.serving_pods())[0]["metadata"]["name"])
    await world.settle()
    assert await world.conditions() == {
        "Ready": "Unknown/Unavailable",
        "Reconciling": "True/Unavailable",
        "Available": "Unknown/NoReadyPods",
        "Validated": "True/Passed",
    }
    await world.move_pods()
    await world.settle()
    assert await world.running_job() is None
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert await world.served() == served


async def test_results_count_that_came_while_the_operator_was_away(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    job = await world.job_of("smoke")
    pod = await world.create_job_pod(job)
    await world.write_result(job)
    await world.end_job(job)
    await world.remove("Pod", pod)
    world.pass_time(days=3)
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_result_counts_though_its_job_is_gone(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    job = await world.job_of("smoke")
    await world.write_result(job)
    await world.end_job(job)
    await world.remove("Job", job["metadata"]["name"])
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_job_without_a_result_is_an_error(world: World) -> None:
    await world.apply(resource(validation={**SMOKE, "retries": 0}))
    await world.load()
    await world.end_job(await world.job_of("smoke"), failed=True, reason="BackoffLimitExceeded")
    await world.settle()
    state = await world.check("smoke")
    assert (state["result"], state["reason"]) == ("Error", "JobFailed")
    assert "BackoffLimitExceeded" in state["message"]


async def test_a_job_past_its_deadline_is_an_error(world: World) -> None:
    await world.apply(resource(validation={**SMOKE, "retries": 0}))
    await world.load()
    await world.end_job(await world.job_of("smoke"), failed=True, reason="DeadlineExceeded")
    await world.settle()
    assert (await world.check("smoke"))["reason"] == "Timeout"


async def test_a_sealed_run_cannot_be_changed(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    run = (await world.check("smoke"))["report"]
    with pytest.raises(Exception, match="immutable"):
        await world.edit("ConfigMap", run, {"data": {"sealed.json": "{}"}})


async def test_only_one_job_at_a_time_even_while_the_last_ones_pod_ends(world: World) -> None:
    await world.apply(resource(validation=TWO))
    await world.load()
    job = await world.job_of("smoke")
    await world.write_result(job)
    await world.end_job(job)
    pod = await world.create_job_pod(job)
    await world.settle()
    assert await world.running_job() is None, "its pod may still ask"
    await world.remove("Pod", pod)
    await world.settle()
    assert (await world.job_of("bench"))["metadata"]["labels"][names.CHECK] == "bench"


async def test_a_job_that_never_begins_is_an_error(world: World) -> None:
    await world.apply(resource(validation=SMOKE | {"retries": 0}))
    await world.load()
    await world.job_of("smoke")
    world.pass_time(minutes=29)
    await world.settle()
    assert (await world.check("smoke"))["result"] == "Running"

    world.pass_time(minutes=2)
    await world.settle()
    check = await world.check("smoke")
    assert (check["result"], check["reason"]) == ("Error", "JobNotStarted")
    assert "30m" in check["message"]
    assert (await world.conditions())["Ready"] == "False/ValidationError"
    assert await world.children("Job") == [], "what never began would begin later"
