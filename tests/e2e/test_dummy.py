"""The architecture gate: a server with random weights answers before the model's own are loaded."""

from __future__ import annotations

import pytest

from cluster.provider import Provider
from e2e.resources import model, resource
from e2e.space import NAME, Space, result

pytestmark = pytest.mark.timeout(300)

CHECKS = {"dummy": {}, "smoke": {}, "retries": 0}


def test_the_model_is_loaded_once_random_weights_have_answered(
    installed: Provider, space: Space
) -> None:
    space.apply(resource("gated", model(installed, "gated"), CHECKS))
    with space.watch("ascendllm") as watch:
        watch.until(lambda items: result(items.get("gated"), "dummy") == "Running", "dummy runs")
        assert not space.items("deployments", f"{NAME}=gated"), "the NPUs are the check's"
        watch.until(lambda items: result(items.get("gated"), "dummy") == "Passed", "dummy passed")
    space.wait_for_ready("gated")
    (pod,) = space.serving_pods("gated")
    assert "--load-format=dummy" not in pod["spec"]["containers"][0]["args"]


def test_a_server_that_cannot_come_up_never_takes_the_models_pods(
    installed: Provider, space: Space
) -> None:
    failure = {"mode": "crashOnLoad", "cause": "wrongImage"}
    space.apply(resource("foreign", model(installed, "foreign", failure=failure), CHECKS))
    status = space.until("foreign", "ValidationError")
    dummy = status["validation"]["dummy"]
    assert (dummy["result"], dummy["reason"]) == ("Error", "ServerCrashed")
    assert "the image is built for A2, the chip is A3" in dummy["message"]
    assert status["validation"]["smoke"]["result"] == "Skipped"
    assert not space.items("deployments", f"{NAME}=foreign")
