"""Checks that run again though nothing has changed: by annotation, and on a schedule."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ascendllm.decide.demand import SCHEDULE, SINCE
from ascendllm.desired import names
from unit.core.stage import Stage, spec_of

SMOKE = {"smoke": {}}
TWO = {"smoke": {}, "bench": {}}
NIGHTLY = "0 3 * * *"


def records(stage: Stage, check: str) -> list[dict[str, Any]]:
    """What the operator recorded of a check's runs, oldest first."""
    found = [json.loads(item["data"]["run.json"]) for item in stage.of("ConfigMap")]
    return sorted((r for r in found if r["check"] == check), key=lambda r: int(r["serial"]))


def revalidate(stage: Stage, value: str | None) -> None:
    stage.pass_time(seconds=1)
    stage.annotate(value)
    stage.settle()


def scheduled(schedule: str | None = NIGHTLY, **checks: Any) -> Any:
    return spec_of(validation={**(checks or SMOKE), "schedule": schedule, "retries": 0})


def test_a_new_value_runs_every_check_again_and_no_pod() -> None:
    stage = Stage(spec_of(validation=TWO))
    stage.prove("smoke", "bench")
    deployment = stage.of("Deployment")
    revalidate(stage, "v1")
    assert stage.running() == "smoke"
    assert stage.status.get("lastHandledRevalidate") is None
    stage.finish("smoke")
    assert stage.running() == "bench"
    assert stage.status.get("lastHandledRevalidate") is None
    stage.finish("bench")
    assert stage.running() is None
    assert stage.status["lastHandledRevalidate"] == "v1"
    assert stage.of("Deployment") == deployment
    assert [r["revalidate"] for r in records(stage, "smoke")] == ["", "v1"]
    assert len({r["inputsHash"] for r in records(stage, "smoke")}) == 1


def test_an_absent_annotation_asks_for_nothing() -> None:
    stage = Stage(spec_of(validation=SMOKE))
    stage.prove("smoke")
    revalidate(stage, "v1")
    stage.finish("smoke")
    for value in (None, "", "v1"):
        revalidate(stage, value)
        assert stage.running() is None
        assert stage.status["lastHandledRevalidate"] == "v1"


def test_a_value_that_came_before_is_new_again_after_another() -> None:
    stage = Stage(spec_of(validation=SMOKE))
    stage.prove("smoke")
    for value in ("v1", "v2", "v1", "v2"):
        revalidate(stage, value)
        stage.finish("smoke")
        assert stage.status["lastHandledRevalidate"] == value
    assert [r["revalidate"] for r in records(stage, "smoke")] == ["", "v1", "v2", "v1", "v2"]
    assert len({r["run"] for r in records(stage, "smoke")}) == 5


def test_first_runs_bear_the_value_that_stands() -> None:
    stage = Stage(spec_of(validation=SMOKE))
    stage.annotate("v0")
    stage.prove("smoke")
    assert stage.status["lastHandledRevalidate"] == "v0"
    assert stage.running() is None


def test_a_value_set_while_a_check_runs_supersedes_the_run() -> None:
    stage = Stage(spec_of(validation=TWO))
    stage.load()
    stage.finish("smoke")
    (job,) = [job for job in stage.of("Job") if "status" not in job]
    revalidate(stage, "v1")
    assert stage.objects.get(("Job", job["metadata"]["name"])) is None
    assert stage.running() == "smoke", "from the first check on"
    stage.finish("smoke")
    assert stage.running() == "bench"
    (again,) = [job for job in stage.of("Job") if "status" not in job]
    assert again["metadata"]["name"] != job["metadata"]["name"]
    stage.finish("bench")
    assert stage.status["lastHandledRevalidate"] == "v1"
    assert stage.served != "none"


def test_a_value_taken_away_lets_the_run_go_on() -> None:
    stage = Stage(spec_of(validation=SMOKE))
    stage.prove("smoke")
    revalidate(stage, "v1")
    (job,) = [job for job in stage.of("Job") if "status" not in job]
    revalidate(stage, None)
    assert ("Job", job["metadata"]["name"]) in stage.objects
    stage.finish("smoke")
    assert stage.status["lastHandledRevalidate"] == "v1"


def test_attempts_start_anew() -> None:
    stage = Stage(spec_of(validation={**SMOKE, "retries": 1}))
    stage.load()
    for _ in range(2):
        stage.finish("smoke", result="Error")
        stage.pass_time(minutes=10)
        stage.settle()
    assert stage.conditions["Ready"] == "False/ValidationError"
    assert stage.running() is None
    revalidate(stage, "v1")
    for _ in range(2):
        assert stage.status.get("lastHandledRevalidate") is None
        stage.finish("smoke", result="Error")
        stage.pass_time(minutes=10)
        stage.settle()
    assert stage.running() is None
    assert stage.status["lastHandledRevalidate"] == "v1", "nothing more will come of it"
    assert [r["attempt"] for r in records(stage, "smoke")] == [1, 2, 1, 2]
    assert [r["serial"] for r in records(stage, "smoke")] == [1, 2, 3, 4]


def test_it_is_handled_though_a_check_is_blocked() -> None:
    stage = Stage(spec_of(validation=TWO))
    stage.prove("smoke", "bench")
    revalidate(stage, "v1")
    stage.finish("smoke", result="Failed")
    assert stage.running() is None
    assert stage.status["lastHandledRevalidate"] == "v1"
    assert stage.status["validation"]["bench"]["result"] == "Passed", "its verdict is in force"
    assert stage.status["verdict"] == "Failed"


def test_nothing_to_run_is_handled_at_once() -> None:
    stage = Stage(spec_of(validation=None))
    stage.annotate("v1")
    stage.load()
    assert stage.status["lastHandledRevalidate"] == "v1"


def test_a_refused_spec_handles_nothing() -> None:
    stage = Stage(spec_of(validation=SMOKE))
    stage.annotate("v1")
    stage.prove("smoke")
    stage.change(spec_of(validation=SMOKE, engine={"args": ["--nonsense"]}))
    revalidate(stage, "v2")
    assert stage.status["lastHandledRevalidate"] == "v1"


def test_what_is_suspended_answers_once_it_runs_again() -> None:
    stage = Stage(spec_of(validation=SMOKE))
    stage.prove("smoke")
    stage.change(spec_of(validation=SMOKE, suspend=True))
    stage.settle()
    stage.move_pods()
    revalidate(stage, "v1")
    assert stage.running() is None
    assert "lastHandledRevalidate" not in stage.status
    assert stage.conditions["Ready"] == "True/Suspended"
    stage.change(spec_of(validation=SMOKE))
    stage.load()
    stage.finish("smoke")
    assert stage.status["lastHandledRevalidate"] == "v1"


@pytest.mark.parametrize(
    "value",
    ["x" * 200_000, "\u0000\n\t", "\U0001f600" * 60_000, "é" * 126, '"}{', " ", "none"],
    ids=["long", "control", "emoji", "short-unicode", "json", "space", "word"],
)
def test_any_value_is_answered_in_bounded_size(value: str) -> None:
    stage = Stage(spec_of(validation=SMOKE))
    stage.prove("smoke")
    revalidate(stage, value)
    stage.finish("smoke")
    handled = stage.status["lastHandledRevalidate"]
    assert len(handled.encode()) <= 253
    assert (handled == value) == (len(value.encode()) <= 253)
    assert stage.running() is None
    for item in stage.of("ConfigMap"):
        assert len(item["data"]["run.json"].encode()) < 4000


def replicas(stage: Stage) -> list[int]:
    return [item["spec"]["replicas"] for item in stage.of("Deployment")]


def test_a_refuted_revision_is_raised_by_a_new_value_and_by_no_slot() -> None:
    stage = Stage(scheduled())
    stage.load()
    stage.finish("smoke", result="Failed")
    stage.change(scheduled().model_copy(update={"suspend": True}))
    stage.settle()
    stage.move_pods()
    stage.change(scheduled())
    stage.settle()
    assert replicas(stage) == [0]
    stage.pass_time(days=2)
    stage.settle()
    assert replicas(stage) == [0], "what failed is not loaded again every night"
    assert stage.conditions["Ready"] == "False/ValidationFailed"
    revalidate(stage, "v1")
    assert replicas(stage) == [1]
    stage.move_pods()
    stage.settle()
    stage.finish("smoke")
    assert stage.conditions["Ready"] == "True/Proven"
    assert stage.served != "none"


def test_a_missed_deadline_is_tried_again_by_a_new_value() -> None:
    def missed(stage: Stage) -> bool:
        return stage.conditions["Ready"] == "False/ProgressDeadlineExceeded"

    stage = Stage(spec_of(validation=SMOKE))
    stage.settle()
    stage.pass_time(minutes=31)
    stage.settle()
    assert missed(stage)
    stage.change(spec_of(validation=SMOKE, suspend=True))
    stage.settle()
    stage.change(spec_of(validation=SMOKE))
    stage.settle()
    assert replicas(stage) == [0]
    for value in ("v1", "v2", "v1"):
        revalidate(stage, value)
        assert replicas(stage) == [1]
        assert not missed(stage)
        stage.pass_time(minutes=31)
        stage.settle()
        assert missed(stage), "and says so each time"
        stage.change(spec_of(validation=SMOKE, suspend=True))
        stage.settle()
        stage.change(spec_of(validation=SMOKE))
        stage.settle()
        assert replicas(stage) == [0]


def test_a_slot_runs_every_check_again_once() -> None:
    stage = Stage(scheduled(smoke={}, bench={}))
    stage.prove("smoke", "bench")
    assert stage.now.hour == 0
    wake = stage.decision()[1].plan.wake_at
    assert wake is not None
    assert wake.hour == 3
    stage.now = wake
    stage.settle()
    stage.finish("smoke")
    stage.finish("bench")
    assert stage.running() is None
    assert [r["slot"] for r in records(stage, "smoke")] == ["", "2026-01-01T03:00:00Z"]
    assert "lastHandledRevalidate" not in stage.status
    assert stage.conditions["Ready"] == "True/Proven"


def test_an_operator_that_was_away_makes_up_for_many_slots_with_one_run() -> None:
    stage = Stage(scheduled())
    stage.prove("smoke")
    stage.pass_time(days=9, hours=5)
    stage.settle()
    stage.finish("smoke")
    assert stage.running() is None
    assert len(records(stage, "smoke")) == 2


def test_a_slot_lets_a_run_end_that_is_under_way() -> None:
    stage = Stage(scheduled("*/10 * * * *"))
    stage.prove("smoke")
    stage.pass_time(minutes=10)
    stage.settle()
    (job,) = [job for job in stage.of("Job") if "status" not in job]
    stage.pass_time(minutes=25)
    stage.settle()
    assert ("Job", job["metadata"]["name"]) in stage.objects
    stage.finish("smoke")
    assert stage.running() == "smoke", "for the slot that came meanwhile"
    stage.finish("smoke")
    assert stage.running() is None


def test_a_slot_hides_no_run_that_goes_on() -> None:
    stage = Stage(scheduled("*/10 * * * *", smoke={}, mmlu={}))
    stage.load()
    stage.finish("smoke")
    stage.pass_time(minutes=25)
    stage.settle()
    assert stage.running() == "mmlu"
    assert stage.status["validation"]["mmlu"]["result"] == "Running"
    stage.finish("mmlu")
    assert stage.served != "none", "both have passed"
    assert stage.running() == "smoke"
    assert stage.conditions["Validated"] == "True/Revalidating"


def test_adding_or_changing_a_schedule_runs_nothing_by_itself() -> None:
    stage = Stage(spec_of(validation={**SMOKE, "retries": 0}))
    stage.prove("smoke")
    stage.pass_time(days=3, hours=12)
    for schedule in (NIGHTLY, "0 11 * * *", None, NIGHTLY):
        stage.change(scheduled(schedule))
        stage.settle()
        assert stage.running() is None
        stage.pass_time(minutes=5)
    (record,) = stage.of("ControllerRevision")
    assert record["metadata"]["annotations"][SCHEDULE] == NIGHTLY
    stage.pass_time(days=1)
    stage.settle()
    assert stage.running() == "smoke"


def test_without_a_schedule_nothing_is_noted() -> None:
    stage = Stage(scheduled())
    stage.prove("smoke")
    (record,) = stage.of("ControllerRevision")
    assert set(record["metadata"]["annotations"]) == {SCHEDULE, SINCE}
    stage.change(scheduled(None))
    stage.settle()
    (record,) = stage.of("ControllerRevision")
    assert "annotations" not in record["metadata"]


@pytest.mark.parametrize("since", ["9999-01-01T00:00:00Z", "nonsense", ""])
def test_a_noted_moment_that_cannot_be_is_taken_for_now(since: str) -> None:
    stage = Stage(scheduled())
    stage.prove("smoke")
    stage.pass_time(days=3)
    (record,) = stage.of("ControllerRevision")
    record["metadata"]["annotations"][SINCE] = since
    stage.settle()
    assert stage.running() is None
    stage.pass_time(days=1)
    stage.settle()
    assert stage.running() == "smoke"


def test_a_suspended_resource_waits_for_no_slot() -> None:
    stage = Stage(scheduled())
    stage.prove("smoke")
    stage.change(scheduled().model_copy(update={"suspend": True}))
    stage.settle()
    stage.move_pods()
    stage.pass_time(days=2)
    stage.settle()
    assert stage.running() is None
    assert stage.decision()[1].plan.wake_at is None
    stage.change(scheduled())
    stage.load()
    stage.finish("smoke")
    assert stage.running() is None, "one run for the slots that passed"


def test_a_value_and_a_slot_at_once_are_one_run() -> None:
    stage = Stage(scheduled())
    stage.prove("smoke")
    stage.pass_time(days=1)
    revalidate(stage, "v1")
    stage.finish("smoke")
    assert stage.running() is None
    assert len(records(stage, "smoke")) == 2


def test_a_moved_tag_runs_all_checks_and_keeps_traffic() -> None:
    stage = Stage(spec_of(validation=TWO))
    stage.prove("smoke", "bench")
    served = stage.served
    stage.move_pods(image_id="sha256:" + "b" * 64)
    stage.settle()
    assert stage.conditions["Ready"] == "Unknown/Validating"
    assert stage.served == served
    stage.finish("smoke")
    stage.finish("bench", outputThroughput=90)
    assert stage.conditions["Ready"] == "True/Proven"
    assert len({r["inputsHash"] for r in records(stage, "smoke")}) == 2


def test_superseded_runs_do_not_pile_up() -> None:
    stage = Stage(spec_of(validation=SMOKE))
    stage.load()
    for number in range(40):
        revalidate(stage, f"v{number}")
    assert len(stage.of("ConfigMap")) <= 13
    stage.finish("smoke")
    assert stage.status["lastHandledRevalidate"] == "v39"


def test_a_verdict_in_force_outlives_many_skipped_runs() -> None:
    bench = {"bench": {"thresholds": {"outputThroughput": {"min": 100}}}}
    stage = Stage(spec_of(validation=bench))
    stage.prove("bench")
    revalidate(stage, "bad")
    stage.finish("bench", outputThroughput=50)
    assert stage.conditions["Ready"] == "False/Regression"
    for number in range(30):
        revalidate(stage, f"v{number}")
        stage.finish("bench", result="Skipped", reason="OtherTraffic")
        assert stage.conditions["Ready"] == "False/Regression"
        assert stage.status["lastHandledRevalidate"] == f"v{number}"
    assert len(stage.of("ConfigMap")) <= 14


def test_the_provenance_of_a_run_is_in_its_record() -> None:
    stage = Stage(spec_of(validation=SMOKE))
    stage.settle()
    stage.move_pods(
        facts={"vllm": "0.18.0", "cann": "8.3.RC1", "soc": "ascend910_9391", "python": "3.11"},
        annotations={"huawei.com/AscendReal": "Ascend910-10,Ascend910-4"},
    )
    stage.settle()
    (record,) = records(stage, "smoke")
    (pod,) = [p for p in stage.of("Pod") if names.REVISION in p["metadata"]["labels"]]
    assert record["runtime"] == {
        "imageID": pod["status"]["containerStatuses"][0]["imageID"],
        "vllm": "0.18.0",
        "cann": "8.3.RC1",
        "soc": "ascend910_9391",
        "devices": ["Ascend910-4", "Ascend910-10"],
    }
    assert record["npus"] == 1
    assert stage.status["runtime"]["soc"] == "ascend910_9391"
    stage.finish("smoke")
    stage.change(spec_of(validation=SMOKE, suspend=True))
    stage.settle()
    stage.move_pods()
    stage.settle()
    assert stage.status["runtime"]["devices"] == ["Ascend910-4", "Ascend910-10"]
