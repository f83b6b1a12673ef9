"""What a serving pod waits for, as its containers say."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.state.pods import Pod
from ascendllm.state.replicas import replicas

SCHEDULED = [{"type": "PodScheduled", "status": "True"}]
SERVING = {"name": "vllm", "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}


def stage(facts: dict[str, Any], **serving: Any) -> tuple[str, str]:
    """Reason and message of a pod whose init container is in this state."""
    status = {
        "phase": "Pending",
        "conditions": SCHEDULED,
        "initContainerStatuses": [{"name": "facts", "restartCount": 0, **facts}],
        "containerStatuses": [SERVING | serving],
    }
    pod = Pod.read({"metadata": {"name": "llama-1"}, "status": status})
    return pod.stage.reason, pod.stage.message


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"])
def test_an_image_that_the_init_container_cannot_get_is_named(reason: str) -> None:
    """It has the server's image and comes first: the server only says that it waits."""
    waiting = {"reason": reason, "message": "localhost/vllm:9 is not there"}
    told, message = stage({"state": {"waiting": waiting}})
    assert told == "ImagePullFailed"
    assert "localhost/vllm:9 is not there" in message
    assert "check spec.runtime" in message


@pytest.mark.parametrize("state", [{"running": {}}, {"waiting": {"reason": "PodInitializing"}}, {}])
def test_an_init_container_on_its_way_is_no_stage_of_its_own(state: dict[str, Any]) -> None:
    assert stage({"state": state})[0] == "Pulling"


def test_an_init_container_that_ended_says_nothing_of_the_server() -> None:
    facts = {"state": {"terminated": {"exitCode": 0, "message": "{}"}}}
    assert stage(facts, state={"running": {}})[0] == "Loading"


def of_group(number: int, index: int, **changes: Any) -> dict[str, Any]:
    """A pod of a LeaderWorkerSet of two pods a group, as its controller makes it."""
    name = f"llama-rev-{number}" + (f"-{index}" if index else "")
    role = "ascendllm.io/worker-of" if index else "ascendllm.io/revision"
    ready = {"type": "Ready", "status": changes.pop("ready", "True")}
    container = {"name": "vllm", "restartCount": changes.pop("restarts", 0)}
    return {
        "metadata": {
            "name": name,
            "labels": {role: "rev", "leaderworkerset.sigs.k8s.io/group-index": str(number)},
            "annotations": {"leaderworkerset.sigs.k8s.io/size": changes.pop("size", "2")},
        },
        "status": {
            "phase": "Running",
            "conditions": [ready],
            "containerStatuses": [container],
        },
    }


def ready(*pods: dict[str, Any]) -> list[bool]:
    return [replica.ready for replica in replicas([Pod.read(pod) for pod in pods])]


def test_a_pod_of_a_deployment_is_a_replica_by_itself() -> None:
    pods = [
        {"metadata": {"name": name, "labels": {"ascendllm.io/revision": "rev"}}, "status": status}
        for name, status in {
            "llama-rev-x": {"conditions": [{"type": "Ready", "status": "True"}]},
            "llama-rev-y": {},
        }.items()
    ]
    assert ready(*pods) == [True, False]


def test_a_group_is_ready_when_all_of_it_is() -> None:
    assert ready(of_group(0, 1), of_group(1, 0), of_group(0, 0), of_group(1, 1)) == [True, True]
    assert ready(of_group(0, 0), of_group(0, 1, ready="False")) == [False]
    assert ready(of_group(0, 0, ready="False"), of_group(0, 1)) == [False]
    assert ready(of_group(0, 0), of_group(0, 1, restarts=1)) == [False], "it has lost its leader"
    assert ready(of_group(0, 0)) == [False], "its worker is gone"
    assert ready(of_group(0, 1)) == [False], "its leader is gone"
    assert ready(of_group(0, 1), of_group(0, 2, size="2")) == [False], "no leader among as many"


@pytest.mark.parametrize("size", ["", "-1", "two", "²", "9" * 5000])
def test_nonsense_in_the_groups_size_is_none(size: str) -> None:
    assert Pod.read(of_group(0, 0, size=size)).size == 1
