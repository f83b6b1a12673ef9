"""A server that can't go on gives way to one that can: a failing NPU, an engine that hangs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.provider import Provider
from e2e.resources import model, resource
from e2e.space import Space, condition
from e2e.watch import Object

pytestmark = pytest.mark.timeout(400)

DEVICES = "huawei.com/AscendReal"
SETTINGS = ("-n", "ascendllm-system")
OPERATOR = "deployment/ascendllm-operator"


def devices(pod: Object) -> str:
    return str(pod["metadata"].get("annotations", {}).get(DEVICES, ""))


def warnings(space: Space, reason: str) -> list[str]:
    """The messages of the resource's warning events of a reason."""
    return [
        item["message"]
        for item in space.items("events")
        if item["reason"] == reason
        and item["type"] == "Warning"
        and item["involvedObject"]["kind"] == "AscendLLM"
    ]


def record(space: Space, name: str) -> list[dict[str, str]]:
    return list(json.loads(space.get("configmap", f"{name}-replaced")["data"]["replaced.json"]))


def test_a_server_on_a_failing_npu_is_moved_to_a_healthy_one(
    installed: Provider, space: Space
) -> None:
    path = model(installed, "failing", loadSeconds=2)
    space.apply(resource("llama", path, {"smoke": {}}))
    space.wait_for_ready("llama")
    with space.watch("pods", "ascendllm.io/name=llama,ascendllm.io/revision") as watch:
        there = watch.until(
            lambda pods: any(devices(pod) for pod in pods.values()), "the plugin tells the device"
        )
        ((old, pod),) = there.items()
        number = int(devices(pod).rsplit("-", 1)[1])
        with space.watch("ascendllm") as resources:
            installed.set_health(number, healthy=False)
            try:
                resources.until(
                    lambda items: (
                        condition(items.get("llama"), "Ready").get("reason") == "DeviceUnhealthy"
                    ),
                    "it is told",
                )
                moved = watch.until(
                    lambda pods: old not in pods and any(devices(p) for p in pods.values()),
                    "another pod has another device",
                )
                space.wait_for_ready("llama")
            finally:
                installed.set_health(number, healthy=True)
    ((new, pod),) = moved.items()
    assert new != old
    assert devices(pod) != f"Ascend910-{number}"
    assert [(r["pod"], r["reason"]) for r in record(space, "llama")] == [(old, "DeviceUnhealthy")]
    (told,) = [text for text in warnings(space, "DeviceUnhealthy") if "is replaced" in text]
    assert f"Ascend910-{number}: RestartNPU" in told
    assert space.status("llama")["verdict"] == "Passed"


@pytest.fixture
def impatient(installed: Provider) -> Iterator[None]:
    """An operator that waits for an engine's next step for 10 s."""
    set_hang_timeout(installed, "10s")
    yield
    set_hang_timeout(installed, "6m")


def set_hang_timeout(cluster: Provider, value: str) -> None:
    patch = json.dumps({"data": {"hangTimeout": value}})
    settings = ("configmap/ascendllm-operator", "--type=merge", f"--patch={patch}")
    cluster.kubectl("patch", *SETTINGS, *settings)
    cluster.kubectl("rollout", "restart", *SETTINGS, OPERATOR)
    cluster.kubectl("rollout", "status", *SETTINGS, OPERATOR, "--timeout=120s")


@pytest.mark.usefixtures("impatient")
def test_an_engine_that_hangs_is_replaced_though_it_looks_healthy(
    installed: Provider, space: Space
) -> None:
    hangs = {"mode": "hang", "after": 1}
    path = model(installed, "hangs", failure=hangs)
    space.apply(resource("llama", path, None))
    space.wait_for_ready("llama")
    space.start_client()
    (pod,) = space.serving_pods("llama")
    body: dict[str, Any] = {"model": "llama", "prompt": "Hello", "max_tokens": 4}
    with (
        space.watch("ascendllm") as resources,
        space.watch("pods", "ascendllm.io/name=llama,ascendllm.io/revision") as pods,
        space.asking("http://llama:8000/v1/completions", body),
    ):
        resources.until(
            lambda items: condition(items.get("llama"), "Ready").get("reason") == "Hung",
            "it is told",
        )
        pods.until(
            lambda there: bool(there) and pod["metadata"]["name"] not in there, "it is replaced"
        )
        resources.until(
            lambda items: condition(items.get("llama"), "Ready").get("status") == "True",
            "the next one serves",
        )
    assert [r["reason"] for r in record(space, "llama")] == ["Hung"]
    (told,) = [text for text in warnings(space, "Hung") if "is replaced" in text]
    assert "/health answers 200" in told
