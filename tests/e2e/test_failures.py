"""What goes wrong is said, with its cause, and holds nothing else up.

All resources of this file are applied at once, in one namespace: each test looks at its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.provider import Provider
from e2e.resources import CHECKS, model, resource
from e2e.space import Space, condition, namespace
from e2e.watch import Object

pytestmark = pytest.mark.timeout(300)

SMOKE: dict[str, Any] = {"smoke": {}, "retries": 0}
MMLU: dict[str, Any] = {"mmlu": CHECKS["mmlu"], "retries": 0}
GREETING = {"prompt": "Say hello in Korean.", "expect": "안녕"}
"""The simulated model does not speak it."""

LATER = {"after": 1}
"""The startup probe's one completion is answered, those of the checks are not."""


def broken(cluster: Provider, name: str, **failure: Any) -> str:
    """A model that fails in a chosen way."""
    return model(cluster, name, failure=failure)


def resources(cluster: Provider) -> list[dict[str, Any]]:
    good = model(cluster, "good")
    return [
        resource("good", good),
        resource("crashing", broken(cluster, "crashing", mode="crashOnLoad", cause="outOfMemory")),
        resource(
            "undriven",
            broken(cluster, "undriven", mode="crashOnLoad", cause="noDriver", trace=True),
        ),
        resource("orphaned", broken(cluster, "orphaned", mode="crashOnLoad", cause="noFreeMemory")),
        resource("capturing", model(cluster, "capturing", loadSeconds=1, captureSeconds=600)),
        resource(
            "late",
            broken(cluster, "late", mode="loadForever"),
            rollout={"progressDeadline": "20s"},
        ),
        resource("no-image", good, runtime={"version": "v9.9.9", "imagePullPolicy": "Never"}),
        resource("greedy", good, npu={"generation": "A3", "count": 17}),
        resource("worse", model(cluster, "worse", accuracy=60), MMLU),
        resource("guessing", model(cluster, "guessing", accuracy=26), MMLU),
        resource("picky", good, {"smoke": {"prompts": [GREETING]}, "mmlu": CHECKS["mmlu"]}),
        resource("mistaken", broken(cluster, "mistaken", mode="wrongModel"), {**SMOKE, **MMLU}),
        resource(
            "erring", broken(cluster, "erring", mode="http500", **LATER), {**SMOKE, "retries": 1}
        ),
        resource(
            "hanging", broken(cluster, "hanging", mode="hang", **LATER), {**SMOKE, "timeout": "10s"}
        ),
        resource("wrong-option", good, engine={"args": ["--max-modle-len=4096"]}),
        resource("taken", good),
    ]


@pytest.fixture(scope="module")
def space(installed: Provider) -> Iterator[Space]:
    with namespace(installed, "failures") as made:
        made.apply(users_service())
        made.start_client()
        made.apply(*resources(installed))
        yield made


def users_service() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "taken", "labels": {"app": "somebody-elses"}},
        "spec": {"selector": {"app": "somebody-elses"}, "ports": [{"port": 80}]},
    }


def ready(status: dict[str, Any]) -> tuple[str, str]:
    found = condition({"status": status}, "Ready")
    return found["status"], found["reason"]


def restarted(pod: Object) -> bool:
    statuses = pod["status"].get("containerStatuses", [])
    return any(container["restartCount"] > 0 for container in statuses)


def message(status: dict[str, Any]) -> str:
    return str(condition({"status": status}, "Ready")["message"])


def message_of(item: Any) -> str:
    return str(condition(item, "Ready").get("message", ""))


def assert_stalled(status: dict[str, Any], reason: str) -> None:
    assert ready(status) == ("False", reason)
    assert condition({"status": status}, "Stalled")["status"] == "True"
    assert not condition({"status": status}, "Reconciling")
    assert status["phase"] == "Failed"


def assert_reached_by_nobody(space: Space, name: str) -> None:
    assert "servedRevision" not in space.status(name)
    assert space.ask(f"http://{name}:8000/health")["status"] is None


def test_a_wrong_option_is_named_before_any_pod_starts(space: Space) -> None:
    status = space.until("wrong-option", "InvalidEngineArgs")

    assert_stalled(status, "InvalidEngineArgs")
    assert "--max-modle-len" in message(status)
    assert "--max-model-len" in message(status), "the remedy"
    assert space.objects("wrong-option") == set()


def test_a_service_of_somebody_else_is_left_alone(space: Space) -> None:
    status = space.until("taken", "NameTaken")
    service = space.get("service", "taken")

    assert_stalled(status, "NameTaken")
    assert "Service taken" in message(status)
    assert service["spec"]["selector"] == {"app": "somebody-elses"}
    assert service["metadata"]["labels"] == {"app": "somebody-elses"}
    assert "ownerReferences" not in service["metadata"]


def test_too_many_npus_cannot_be_scheduled(space: Space) -> None:
    status = space.until("greedy", "Unschedulable")

    assert ready(status) == ("Unknown", "Unschedulable")
    assert "17 huawei.com/Ascend910 are wanted on one node" in message(status)
    assert "of 16 free" in message(status)
    assert "Insufficient huawei.com/Ascend910" in message(status)


def test_an_image_that_does_not_exist_is_named(space: Space) -> None:
    status = space.until("no-image", "ImagePullFailed")

    assert ready(status) == ("Unknown", "ImagePullFailed")
    assert "localhost/ascendllm/vllm-ascend:v9.9.9-a3" in message(status)


def test_a_crash_loop_tells_its_cause(space: Space) -> None:
    status = space.until("crashing", "CrashLooping")

    assert ready(status) == ("Unknown", "CrashLooping")
    assert "exit code 1" in message(status)
    assert message(status).startswith("OutOfMemory: an NPU's memory is too small for it")
    assert "torch.OutOfMemoryError: NPU out of memory" in message(status)
    assert_reached_by_nobody(space, "crashing")


def test_a_cause_further_up_the_log_than_the_kubelet_keeps_is_found(space: Space) -> None:
    with space.watch("ascendllm") as watch:
        there = watch.until(
            lambda items: "NoDriver" in message_of(items.get("undriven")), "the log is read"
        )
    status = there["undriven"]["status"]

    assert ready(status) == ("Unknown", "CrashLooping")
    assert "spec.runtime.driverMounts" in message(status)
    assert "libascend_hal.so" in message(status)


def test_memory_that_a_dead_process_holds_is_waited_for(space: Space) -> None:
    status = space.until("orphaned", "OrphanedMemory")

    assert ready(status) == ("Unknown", "OrphanedMemory")
    assert "10.21 of 60.96 GiB" in message(status)
    assert "tried again with growing pauses" in message(status)


def test_a_load_is_followed_to_its_graphs(space: Space) -> None:
    status = space.until("capturing", "GraphCapture")

    assert ready(status) == ("Unknown", "GraphCapture")
    assert "capturing graphs, 0 of 5" in message(status)


def test_a_model_that_only_looks_healthy_is_never_ready(installed: Provider, space: Space) -> None:
    """/health answers 200; the first completion kills the engine, and the process ends with 0."""
    path = broken(installed, "false-ready", mode="falseReady")
    # The watch begins first: it sees the pod's whole life.
    with space.watch("pods", "ascendllm.io/name=false-ready") as watch:
        space.apply(resource("false-ready", path))
        status = space.until("false-ready", "CrashLooping")
        watch.until(lambda pods: any(map(restarted, pods.values())), "its end is seen")
        events = list(watch.events)

    assert ready(status) == ("Unknown", "CrashLooping")
    assert not [e for e in events if condition(e.item, "Ready").get("status") == "True"]
    assert not space.items("jobs", "ascendllm.io/name=false-ready")


def test_a_missed_deadline_is_put_down_and_stays(space: Space) -> None:
    status = space.until("late", "ProgressDeadlineExceeded")
    ((name, run),) = space.runs("late").items()

    assert_stalled(status, "ProgressDeadlineExceeded")
    assert "20s" in message(status)
    assert name.startswith("late-load-")
    assert run["immutable"]
    assert json.loads(run["sealed.json"])["result"] == "Error"
    assert not space.items("jobs", "ascendllm.io/name=late")


def test_an_accuracy_below_the_baseline_fails(space: Space) -> None:
    status = space.until("worse", "ValidationFailed")
    mmlu = status["validation"]["mmlu"]

    assert_stalled(status, "ValidationFailed")
    assert (mmlu["result"], mmlu["macroAverage"], mmlu["delta"]) == ("Failed", 60, -6.7)
    assert status["verdict"] == "Failed"
    assert condition({"status": status}, "Validated")["status"] == "False"
    assert space.get("service", "worse")["spec"]["selector"]["ascendllm.io/revision"] == "none"
    assert_reached_by_nobody(space, "worse")
    assert len(space.runs("worse")) == 1, "a verdict is no reason to try again"


def test_an_accuracy_of_guessing_is_no_verdict(space: Space) -> None:
    status = space.until("guessing", "ValidationError")
    mmlu = status["validation"]["mmlu"]

    assert_stalled(status, "ValidationError")
    assert (mmlu["result"], mmlu["reason"]) == ("Error", "BrokenMethod")
    assert condition({"status": status}, "Validated")["status"] == "Unknown"
    assert_reached_by_nobody(space, "guessing")


def test_an_answer_without_what_is_expected_is_shown(space: Space) -> None:
    status = space.until("picky", "ValidationFailed")
    smoke = status["validation"]["smoke"]
    wrong = [item for item in smoke["checks"] if item["result"] == "Failed"]

    assert_stalled(status, "ValidationFailed")
    assert (smoke["result"], smoke["reason"]) == ("Failed", "WrongAnswers")
    assert [item["name"] for item in wrong] == ["prompt1"]
    assert wrong[0]["expected"] == "an answer with '안녕'"
    assert wrong[0]["seen"].startswith("' ")
    assert "안녕" in message(status)
    assert status["validation"]["mmlu"]["reason"] == "Blocked"
    assert_reached_by_nobody(space, "picky")


def test_answers_of_another_model_are_no_verdict(space: Space) -> None:
    status = space.until("mistaken", "ValidationError")
    smoke = status["validation"]["smoke"]

    assert_stalled(status, "ValidationError")
    assert smoke["result"] == "Error"
    assert "another-model" in message(status)
    mmlu = status["validation"]["mmlu"]
    assert (mmlu["result"], mmlu["reason"]) == ("Skipped", "Blocked")
    assert_reached_by_nobody(space, "mistaken")


def test_a_server_that_errs_is_tried_again_and_then_given_up(space: Space) -> None:
    status = space.until("erring", "ValidationError")
    smoke = status["validation"]["smoke"]

    assert_stalled(status, "ValidationError")
    assert (smoke["result"], smoke["attempt"]) == ("Error", 2)
    assert "500" in message(status)
    attempts = [json.loads(run["run.json"])["attempt"] for run in space.runs("erring").values()]
    assert sorted(attempts) == [1, 2]


def test_a_server_that_hangs_ends_with_an_error(space: Space) -> None:
    status = space.until("hanging", "ValidationError")
    smoke = status["validation"]["smoke"]

    assert_stalled(status, "ValidationError")
    assert (smoke["result"], smoke["reason"]) == ("Error", "TimedOut")
    assert_reached_by_nobody(space, "hanging")


def test_the_others_go_on(space: Space) -> None:
    space.wait_for_ready("good")

    assert space.status("good")["verdict"] == "Passed"
    assert space.ask("http://good:8000/health")["status"] == 200


def test_what_was_mended_goes_on(space: Space) -> None:
    """A refusal is taken back by a change of the spec, or of what stood in the way."""
    space.patch("wrong-option", {"engine": {"args": ["--max-model-len=4096"]}, "suspend": True})
    refused = space.settle("wrong-option")
    space.patch("wrong-option", {"engine": {"args": None}})
    space.until("wrong-option", "Suspended")

    assert_stalled(refused, "InvalidEngineArgs")
    assert "spec.engine.maxModelLen" in message(refused), "a field of ours sets that option"
