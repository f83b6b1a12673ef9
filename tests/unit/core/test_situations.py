"""The table of design: what the conditions say, and what kstatus (Flux, Helm) makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from ascendllm.exceptions import SpecError
from ascendllm.status.build import failed_status, refused_status
from unit.core.stage import Stage, spec_of

KStatus = Literal["InProgress", "Failed", "Current"]
SMOKE = {"smoke": {}}
MMLU = {"mmlu": {"baseline": {"value": 66.7, "average": "macro"}}}


def kstatus(generation: int, status: dict[str, Any]) -> KStatus:
    """kstatus for a custom resource (cli-utils pkg/kstatus/status, GetStatus and generic.go)."""
    if status.get("observedGeneration", generation) != generation:
        return "InProgress"
    conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
    for kind in conditions:
        if kind == "Reconciling" and conditions[kind] == "True":
            return "InProgress"
        if kind == "Stalled" and conditions[kind] == "True":
            return "Failed"
    if "Ready" in conditions:
        return "Current" if conditions["Ready"] == "True" else "InProgress"
    return "Current"


def suspended() -> Stage:
    stage = Stage(spec_of(suspend=True))
    stage.settle()
    return stage


def suspended_after_the_proof() -> Stage:
    stage = Stage()
    stage.prove()
    stage.change(spec_of(suspend=True))
    stage.load()
    return stage


def not_allowed() -> Stage:
    stage = Stage(spec_of(model={"source": {"hostPath": "/etc"}}))
    stage.settle()
    return stage


def past_the_deadline() -> Stage:
    stage = Stage()
    stage.settle()
    stage.move_pods(ready=False)
    stage.settle()
    stage.pass_time(minutes=30)
    stage.settle()
    return stage


def not_allowed_behind_traffic() -> Stage:
    stage = Stage()
    stage.prove()
    stage.change(spec_of(engine={"args": ["--nonsense"]}))
    stage.settle()
    return stage


def created() -> Stage:
    stage = Stage()
    stage.settle()
    return stage


def loading() -> Stage:
    stage = Stage()
    stage.settle()
    stage.move_pods(ready=False)
    stage.settle()
    return stage


def validating() -> Stage:
    stage = Stage()
    stage.load()
    return stage


def validating_behind_traffic() -> Stage:
    stage = Stage()
    stage.prove()
    stage.move_pods(image_id="sha256:" + "b" * 64)
    stage.settle()
    return stage


def retrying() -> Stage:
    stage = Stage()
    stage.load()
    stage.finish("smoke", result="Error", reason="ServerUnreachable")
    return stage


def not_ready_any_more_while_a_retry_waits() -> Stage:
    stage = retrying()
    stage.move_pods(ready=False)
    stage.settle()
    return stage


def failed() -> Stage:
    stage = Stage()
    stage.load()
    stage.finish("smoke", result="Failed", reason="WrongName")
    return stage


def failed_behind_older_traffic() -> Stage:
    stage = Stage(spec_of(validation=SMOKE))
    stage.prove("smoke")
    stage.change(spec_of(validation=SMOKE, engine={"maxModelLen": 1}))
    stage.load()
    stage.finish("smoke", result="Failed", reason="WrongName")
    return stage


def spent() -> Stage:
    stage = Stage(spec_of(validation={**SMOKE, "retries": 0}))
    stage.load()
    stage.finish("smoke", result="Inconclusive", reason="TooNoisy")
    return stage


def pods_lost() -> Stage:
    stage = Stage()
    stage.prove()
    stage.move_pods(ready=False)
    stage.settle()
    return stage


def judged_anew() -> Stage:
    stage = Stage(spec_of(validation=MMLU))
    stage.prove("mmlu")
    stage.change(spec_of(validation={"mmlu": {**MMLU["mmlu"], "tolerance": 0.1}}))
    stage.settle()
    return stage


def again(stage: Stage, value: str) -> Stage:
    """Have all checks run again."""
    stage.pass_time(seconds=1)
    stage.annotate(value)
    stage.settle()
    return stage


def serving(**validation: Any) -> Stage:
    stage = Stage(spec_of(validation={**SMOKE, "bench": {}, "retries": 0, **validation}))
    stage.prove("smoke", "bench")
    return stage


def revalidating() -> Stage:
    return again(serving(), "v1")


def revalidating_the_second_check() -> Stage:
    stage = revalidating()
    stage.finish("smoke")
    return stage


def revalidation_retrying() -> Stage:
    stage = again(serving(retries=1), "v1")
    stage.finish("smoke", result="Error", reason="ServerUnreachable")
    return stage


def revalidation_on_its_second_attempt() -> Stage:
    stage = revalidation_retrying()
    stage.pass_time(minutes=1)
    stage.settle()
    return stage


def revalidation_failed() -> Stage:
    stage = revalidating()
    stage.finish("smoke", result="Failed", reason="WrongName")
    return stage


def revalidation_failed_while_another_check_runs() -> Stage:
    checks = {"bench": {"thresholds": {"outputThroughput": {"min": 100}}}, "mmlu": {}}
    stage = Stage(spec_of(validation=checks))
    stage.prove("bench", "mmlu")
    again(stage, "v1").finish("bench", outputThroughput=50)
    return stage


def revalidation_spent() -> Stage:
    stage = revalidating()
    stage.finish("smoke", result="Error", reason="ServerUnreachable")
    return stage


def revalidating_after_a_spent_one() -> Stage:
    return again(revalidation_spent(), "v2")


def revalidated_after_a_spent_one() -> Stage:
    stage = revalidating_after_a_spent_one()
    stage.finish("smoke")
    stage.finish("bench")
    return stage


def revalidating_after_a_regression() -> Stage:
    return again(revalidation_failed(), "v2")


def spent_after_a_regression() -> Stage:
    stage = revalidating_after_a_regression()
    stage.finish("smoke", result="Error", reason="ServerUnreachable")
    return stage


def revalidating_after_that() -> Stage:
    return again(spent_after_a_regression(), "v3")


def mended_after_a_regression() -> Stage:
    stage = revalidating_after_a_regression()
    stage.finish("smoke")
    stage.finish("bench")
    return stage


def pods_lost_while_revalidating() -> Stage:
    stage = revalidating()
    stage.move_pods(ready=False)
    stage.settle()
    return stage


def other_traffic() -> Stage:
    stage = revalidating_the_second_check()
    stage.finish("bench", result="Skipped", reason="OtherTraffic")
    return stage


def other_traffic_at_the_first_run() -> Stage:
    stage = serving(retries=0)
    stage.change(spec_of(validation={**SMOKE, "bench": {"requests": 21}, "retries": 0}))
    stage.settle()
    stage.finish("bench", result="Skipped", reason="OtherTraffic")
    return stage


def other_traffic_and_another_attempt() -> Stage:
    stage = serving(retries=1)
    stage.change(spec_of(validation={**SMOKE, "bench": {"requests": 21}, "retries": 1}))
    stage.settle()
    stage.finish("bench", result="Skipped", reason="OtherTraffic")
    return stage


def changed_and_failed_behind_traffic() -> Stage:
    bench = {"requests": 21, "thresholds": {"outputThroughput": {"min": 500}}}
    stage = serving()
    stage.change(spec_of(validation={**SMOKE, "bench": bench, "retries": 0}))
    stage.settle()
    stage.finish("bench")
    return stage


def changed_and_spent_behind_traffic() -> Stage:
    stage = serving()
    stage.change(spec_of(validation={**SMOKE, "bench": {"requests": 21}, "retries": 0}))
    stage.settle()
    stage.finish("bench", result="Error", reason="RequestFailed")
    return stage


def scaling() -> Stage:
    stage = Stage()
    stage.prove()
    stage.change(spec_of(replicas=2))
    stage.settle()
    return stage


def no_checks() -> Stage:
    stage = Stage(spec_of(validation=None))
    stage.load()
    return stage


def proven() -> Stage:
    stage = Stage()
    stage.prove()
    return stage


NOTHING = "NothingProven"
ROWS: list[tuple[Callable[[], Stage], KStatus, dict[str, str]]] = [
    (suspended, "Current", {"Ready": "True/Suspended", "Validated": "Unknown/Unfinished"}),
    (
        suspended_after_the_proof,
        "Current",
        {"Ready": "True/Suspended", "Validated": "True/Passed"},
    ),
    (
        not_allowed,
        "Failed",
        {
            "Ready": "False/HostPathNotAllowed",
            "Stalled": "True/HostPathNotAllowed",
            "Available": f"False/{NOTHING}",
            "Validated": "Unknown/HostPathNotAllowed",
        },
    ),
    (
        not_allowed_behind_traffic,
        "Failed",
        {
            "Ready": "False/InvalidEngineArgs",
            "Stalled": "True/InvalidEngineArgs",
            "Available": "True/Serving",
            "Validated": "Unknown/InvalidEngineArgs",
        },
    ),
    (
        past_the_deadline,
        "Failed",
        {
            "Ready": "False/ProgressDeadlineExceeded",
            "Stalled": "True/ProgressDeadlineExceeded",
            "Available": f"False/{NOTHING}",
            "Validated": "Unknown/NotLoaded",
        },
    ),
    (
        created,
        "InProgress",
        {
            "Ready": "Unknown/Creating",
            "Reconciling": "True/Creating",
            "Available": f"Unknown/{NOTHING}",
            "Validated": "Unknown/Creating",
        },
    ),
    (
        loading,
        "InProgress",
        {
            "Ready": "Unknown/Loading",
            "Reconciling": "True/Loading",
            "Available": f"Unknown/{NOTHING}",
            "Validated": "Unknown/Loading",
        },
    ),
    (
        validating,
        "InProgress",
        {
            "Ready": "Unknown/Validating",
            "Reconciling": "True/Validating",
            "Available": f"Unknown/{NOTHING}",
            "Validated": "Unknown/Running",
        },
    ),
    (
        validating_behind_traffic,
        "InProgress",
        {
            "Ready": "Unknown/Validating",
            "Reconciling": "True/Validating",
            "Available": "True/Serving",
            "Validated": "Unknown/Running",
        },
    ),
    (
        retrying,
        "InProgress",
        {
            "Ready": "Unknown/Retrying",
            "Reconciling": "True/Retrying",
            "Available": f"Unknown/{NOTHING}",
            "Validated": "Unknown/Retrying",
        },
    ),
    (
        not_ready_any_more_while_a_retry_waits,
        "InProgress",
        {
            "Ready": "Unknown/Loading",
            "Reconciling": "True/Loading",
            "Available": f"Unknown/{NOTHING}",
            "Validated": "Unknown/Loading",
        },
    ),
    (
        failed,
        "Failed",
        {
            "Ready": "False/ValidationFailed",
            "Stalled": "True/ValidationFailed",
            "Available": f"False/{NOTHING}",
            "Validated": "False/ValidationFailed",
        },
    ),
    (
        failed_behind_older_traffic,
        "Failed",
        {
            "Ready": "False/ValidationFailed",
            "Stalled": "True/ValidationFailed",
            "Available": "False/NoReadyPods",
            "Validated": "False/ValidationFailed",
        },
    ),
    (
        spent,
        "Failed",
        {
            "Ready": "False/ValidationError",
            "Stalled": "True/ValidationError",
            "Available": f"False/{NOTHING}",
            "Validated": "Unknown/ValidationError",
        },
    ),
    (
        pods_lost,
        "InProgress",
        {
            "Ready": "Unknown/Unavailable",
            "Reconciling": "True/Unavailable",
            "Available": "Unknown/NoReadyPods",
            "Validated": "True/Passed",
        },
    ),
    (
        judged_anew,
        "Failed",
        {
            "Ready": "False/Regression",
            "Stalled": "True/Regression",
            "Available": "True/Serving",
            "Validated": "False/ValidationFailed",
        },
    ),
    (
        scaling,
        "InProgress",
        {
            "Ready": "True/Scaling",
            "Reconciling": "True/Scaling",
            "Available": "True/Serving",
            "Validated": "True/Passed",
        },
    ),
    (
        revalidating,
        "Current",
        {
            "Ready": "True/Proven",
            "Available": "True/Serving",
            "Validated": "True/Revalidating",
        },
    ),
    (
        revalidating_the_second_check,
        "Current",
        {
            "Ready": "True/Proven",
            "Available": "True/Serving",
            "Validated": "True/Revalidating",
        },
    ),
    (
        revalidation_retrying,
        "Current",
        {
            "Ready": "True/Proven",
            "Available": "True/Serving",
            "Validated": "True/Revalidating",
        },
    ),
    (
        revalidation_on_its_second_attempt,
        "Current",
        {
            "Ready": "True/Proven",
            "Available": "True/Serving",
            "Validated": "True/Revalidating",
        },
    ),
    (
        revalidation_failed,
        "Failed",
        {
            "Ready": "False/Regression",
            "Stalled": "True/Regression",
            "Available": "True/Serving",
            "Validated": "False/ValidationFailed",
        },
    ),
    (
        revalidation_failed_while_another_check_runs,
        "Failed",
        {
            "Ready": "False/Regression",
            "Stalled": "True/Regression",
            "Available": "True/Serving",
            "Validated": "False/ValidationFailed",
        },
    ),
    (
        revalidation_spent,
        "Current",
        {
            "Ready": "True/Proven",
            "Available": "True/Serving",
            "Validated": "Unknown/ValidationError",
        },
    ),
    (
        revalidating_after_a_spent_one,
        "Current",
        {
            "Ready": "True/Proven",
            "Available": "True/Serving",
            "Validated": "Unknown/Revalidating",
        },
    ),
    (
        revalidated_after_a_spent_one,
        "Current",
        {
            "Ready": "True/Proven",
            "Available": "True/Serving",
            "Validated": "True/Passed",
        },
    ),
    (
        revalidating_after_a_regression,
        "Failed",
        {
            "Ready": "False/Regression",
            "Stalled": "True/Regression",
            "Available": "True/Serving",
            "Validated": "False/ValidationFailed",
        },
    ),
    (
        spent_after_a_regression,
        "Failed",
        {
            "Ready": "False/Regression",
            "Stalled": "True/Regression",
            "Available": "True/Serving",
            "Validated": "False/ValidationError",
        },
    ),
    (
        revalidating_after_that,
        "Failed",
        {
            "Ready": "False/Regression",
            "Stalled": "True/Regression",
            "Available": "True/Serving",
            "Validated": "False/Revalidating",
        },
    ),
    (
        mended_after_a_regression,
        "Current",
        {
            "Ready": "True/Proven",
            "Available": "True/Serving",
            "Validated": "True/Passed",
        },
    ),
    (
        pods_lost_while_revalidating,
        "InProgress",
        {
            "Ready": "Unknown/Unavailable",
            "Reconciling": "True/Unavailable",
            "Available": "Unknown/NoReadyPods",
            "Validated": "True/Passed",
        },
    ),
    (
        other_traffic,
        "Current",
        {
            "Ready": "True/Proven",
            "Available": "True/Serving",
            "Validated": "True/Passed",
        },
    ),
    (
        other_traffic_and_another_attempt,
        "InProgress",
        {
            "Ready": "Unknown/Retrying",
            "Reconciling": "True/Retrying",
            "Available": "True/Serving",
            "Validated": "Unknown/Retrying",
        },
    ),
    (
        other_traffic_at_the_first_run,
        "Failed",
        {
            "Ready": "False/ValidationError",
            "Stalled": "True/ValidationError",
            "Available": "True/Serving",
            "Validated": "Unknown/ValidationError",
        },
    ),
    (
        changed_and_failed_behind_traffic,
        "Failed",
        {
            "Ready": "False/Regression",
            "Stalled": "True/Regression",
            "Available": "True/Serving",
            "Validated": "False/ValidationFailed",
        },
    ),
    (
        changed_and_spent_behind_traffic,
        "Failed",
        {
            "Ready": "False/ValidationError",
            "Stalled": "True/ValidationError",
            "Available": "True/Serving",
            "Validated": "Unknown/ValidationError",
        },
    ),
    (no_checks, "Current", {"Ready": "True/NoValidation", "Available": "True/Serving"}),
    (
        proven,
        "Current",
        {"Ready": "True/Proven", "Available": "True/Serving", "Validated": "True/Passed"},
    ),
]


@pytest.mark.parametrize(
    ("reached", "wanted", "conditions"), ROWS, ids=[row[0].__name__ for row in ROWS]
)
def test_a_row_of_the_table(
    reached: Callable[[], Stage], wanted: KStatus, conditions: dict[str, str]
) -> None:
    stage = reached()
    assert stage.conditions == conditions
    assert kstatus(stage.generation, stage.status) == wanted
    for condition in stage.status["conditions"]:
        assert condition["observedGeneration"] == stage.generation
    if wanted != "Failed":
        assert not [c for c in stage.conditions.values() if c.startswith("False/")], (
            "GitOps tools take any False for degraded"
        )


@pytest.mark.parametrize("reached", [row[0] for row in ROWS])
def test_an_older_generation_is_in_progress(reached: Callable[[], Stage]) -> None:
    stage = reached()
    assert kstatus(stage.generation + 1, stage.status) == "InProgress"


def test_what_the_operator_has_not_seen_is_in_progress() -> None:
    assert kstatus(1, {"observedGeneration": -1}) == "InProgress"


def test_a_time_stays_as_long_as_the_status_of_its_condition() -> None:
    stage = Stage()
    stage.load()
    before = {c["type"]: c["lastTransitionTime"] for c in stage.status["conditions"]}
    stage.pass_time(minutes=5)
    stage.finish("smoke")
    for condition in stage.status["conditions"]:
        assert condition["lastTransitionTime"] == before[condition["type"]]
    stage.finish("bench")
    stage.finish("mmlu")
    assert {c["type"]: c["lastTransitionTime"] for c in stage.status["conditions"]}["Ready"] == (
        "2026-01-01T00:05:00Z"
    )


def test_a_spec_that_cannot_be_read_is_stalled() -> None:
    stage = proven()
    status = refused_status(stage.observed(), SpecError("InvalidSpec", "no"))
    assert kstatus(1, status) == "Failed"
    assert status["servedRevision"] == stage.served
    assert _worded(status) == {
        "Ready": "False/InvalidSpec",
        "Stalled": "True/InvalidSpec",
        "Available": "True/Serving",
        "Validated": "True/Passed",
    }


def test_an_api_server_that_fails_is_in_progress() -> None:
    status = failed_status(proven().observed(), "Conflict", "try again")
    assert kstatus(1, status) == "InProgress"
    assert _worded(status) == {
        "Ready": "Unknown/Conflict",
        "Reconciling": "True/Conflict",
        "Available": "True/Serving",
        "Validated": "True/Passed",
    }


def _worded(status: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: f"{c['status']}/{c['reason']}" for c in status["conditions"]}
