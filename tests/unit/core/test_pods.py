"""What a serving pod waits for, as its containers say."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.state.pods import Pod

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
