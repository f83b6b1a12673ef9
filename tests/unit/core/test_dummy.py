"""The check with random weights: before the model's own are loaded, and never after."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.desired import names
from unit.core.stage import IMAGE_ID, Stage, spec_of

ASKED = {"dummy": {}, "smoke": {}, "retries": 0}


@pytest.fixture
def stage() -> Stage:
    stage = Stage(spec_of(validation=ASKED))
    stage.settle()
    return stage


def pod_of(stage: Stage) -> dict[str, Any]:
    (job,) = [job for job in stage.of("Job") if job["metadata"]["labels"][names.CHECK] == "dummy"]
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


def ready(stage: Stage) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = stage.status["conditions"]
    return next(item for item in conditions if item["type"] == "Ready")


def crash(stage: Stage, times: int) -> None:
    """Let the server in the job's pod end."""
    (job,) = [job for job in stage.of("Job") if "status" not in job]
    ended = {"exitCode": 1, "reason": "Error", "message": "ValueError: no such architecture"}
    stage.objects["Pod", "dummy"] = {
        "kind": "Pod",
        "metadata": {
            "name": "dummy",
            "labels": dict(job["spec"]["template"]["metadata"]["labels"]),
        },
        "status": {
            "phase": "Pending",
            "initContainerStatuses": [
                {
                    "name": "vllm",
                    "restartCount": times,
                    "lastState": {"terminated": ended},
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                }
            ],
        },
    }


def test_nothing_is_loaded_before_it_has_passed(stage: Stage) -> None:
    assert stage.running() == "dummy"
    assert not stage.of("Deployment")
    assert ready(stage)["reason"] == "Validating"
    stage.finish("dummy")
    (deployment,) = stage.of("Deployment")
    assert deployment["spec"]["replicas"] == 1
    stage.move_pods()
    stage.settle()
    stage.finish("smoke")
    assert ready(stage)["status"] == "True"
    assert stage.status["validation"]["dummy"]["result"] == "Passed"


def test_its_server_is_the_revisions_own_with_random_weights(stage: Stage) -> None:
    pod = pod_of(stage)
    stage.finish("dummy")
    (deployment,) = stage.of("Deployment")
    serving = deployment["spec"]["template"]["spec"]
    (container,) = serving["containers"]
    server = pod["initContainers"][-1]
    assert server == {
        **container,
        "args": [*container["args"], "--load-format=dummy"],
        "restartPolicy": "Always",
    }
    (check,) = pod["containers"]
    assert "--base-url=http://127.0.0.1:8000" in check["args"]
    assert {volume["name"] for volume in serving["volumes"]} < {v["name"] for v in pod["volumes"]}


def test_the_server_never_sees_the_jobs_token(stage: Stage) -> None:
    pod = pod_of(stage)
    assert pod["automountServiceAccountToken"] is False
    for container in pod["initContainers"]:
        assert "token" not in {mount["name"] for mount in container.get("volumeMounts", [])}
    (check,) = pod["containers"]
    assert "token" in {mount["name"] for mount in check["volumeMounts"]}
    assert check["securityContext"]["runAsNonRoot"] is True
    assert "securityContext" not in pod, "the server runs as its image says"


@pytest.mark.parametrize("result", ["Failed", "Error"])
def test_what_did_not_answer_is_not_loaded(stage: Stage, result: str) -> None:
    stage.finish("dummy", result=result)
    assert not stage.of("Deployment")
    assert stage.running() is None
    reason = "ValidationFailed" if result == "Failed" else "ValidationError"
    assert (ready(stage)["status"], ready(stage)["reason"]) == ("False", reason)
    assert stage.status["validation"]["smoke"]["result"] == "Skipped"
    stage.annotate("again")
    stage.settle()
    assert stage.running() == "dummy"


def test_a_server_that_crashes_again_and_again_ends_it(stage: Stage) -> None:
    crash(stage, 1)
    stage.settle()
    assert stage.running() == "dummy"
    crash(stage, 2)
    stage.settle()
    dummy = stage.status["validation"]["dummy"]
    assert (dummy["result"], dummy["reason"]) == ("Error", "ServerCrashed")
    assert "no such architecture" in dummy["message"]
    assert stage.running() is None, "the NPUs are given back"


def test_it_takes_the_npus_once_the_old_revision_has_left_them(stage: Stage) -> None:
    stage.finish("dummy")
    stage.move_pods()
    stage.settle()
    stage.finish("smoke")
    served = stage.status["servedRevision"]
    stage.change(spec_of(engine={"maxModelLen": 2048}, validation=ASKED))
    stage.step()
    assert stage.running() is None
    assert not stage.of("Deployment")
    assert [pod for pod in stage.of("Pod")], "the old pods end"
    stage.move_pods()
    stage.settle()
    assert stage.running() == "dummy"
    stage.finish("dummy", result="Failed")
    assert stage.status["servedRevision"] == served


def test_a_model_that_has_loaded_needs_it_no_more() -> None:
    stage = Stage(spec_of(validation={"smoke": {}}))
    stage.load()
    stage.finish("smoke")
    stage.change(spec_of(validation=ASKED))
    stage.settle()
    assert stage.running() is None
    assert ready(stage)["status"] == "True"
    assert "dummy" not in stage.status["validation"]


def test_a_new_revalidate_value_runs_the_others_alone(stage: Stage) -> None:
    stage.finish("dummy")
    stage.move_pods()
    stage.settle()
    stage.finish("smoke")
    stage.annotate("2")
    stage.settle()
    assert stage.running() == "smoke"
    stage.finish("smoke")
    assert stage.status["lastHandledRevalidate"] == "2"
    assert stage.status["validation"]["dummy"]["result"] == "Passed"


def test_suspended_it_does_not_run() -> None:
    stage = Stage(spec_of(validation=ASKED, suspend=True))
    stage.settle()
    assert stage.running() is None
    stage.change(spec_of(validation=ASKED))
    stage.settle()
    assert stage.running() == "dummy"


def test_the_images_of_the_model_are_looked_at_for_the_others_only(stage: Stage) -> None:
    stage.finish("dummy")
    stage.move_pods(image_id="sha256:" + "b" * 64)
    stage.settle()
    stage.finish("smoke")
    stage.move_pods(image_id=IMAGE_ID)
    stage.settle()
    assert stage.running() == "smoke", "another image is another server; it has loaded all the same"
