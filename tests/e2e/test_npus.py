"""A model gets its NPUs in both of the device plugin's ways, and never a broken one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cluster.npu import Npus
from cluster.provider import Provider
from e2e.resources import model, resource
from e2e.space import Space

pytestmark = pytest.mark.timeout(300)

RESOURCE = "huawei.com/Ascend910"
_PATH = "{.status.allocatable.huawei\\.com/Ascend910}"


@pytest.fixture
def device_nodes(installed: Provider) -> Iterator[None]:
    """The device plugin gives device nodes, as it does without Ascend Docker Runtime."""
    installed.up(Npus(mode="devices"))
    yield
    installed.up(Npus())


@pytest.mark.usefixtures("device_nodes")
def test_a_model_is_proven_on_device_nodes(installed: Provider, space: Space) -> None:
    path = model(installed, "devices")
    space.apply(resource("llama", path, {"smoke": {}}, npu={"generation": "A3", "count": 2}))

    space.wait_for_ready("llama")

    (pod,) = space.serving_pods("llama")
    name = pod["metadata"]["name"]
    devices = space.kubectl("exec", name, "--", "sh", "-c", "ls /dev | grep davinci").split()
    environment = space.kubectl("exec", name, "--", "env")
    assert len([device for device in devices if device != "davinci_manager"]) == 2
    assert "davinci_manager" in devices
    assert "ASCEND_VISIBLE_DEVICES" not in environment
    assert space.status("llama")["npus"] == 2
    assert "--tensor-parallel-size=2" in pod["spec"]["containers"][0]["args"]


def test_an_unhealthy_npu_is_given_to_nobody(installed: Provider, space: Space) -> None:
    path = model(installed, "unhealthy")
    installed.set_health(3, healthy=False)
    try:
        space.kubectl("wait", "node", "--all", f"--for=jsonpath={_PATH}=15", "--timeout=60s")
        space.apply(resource("all", path, None, npu={"generation": "A3", "count": 16}))
        status = space.until("all", "Unschedulable")
    finally:
        installed.set_health(3, healthy=True)
    (told,) = [c["message"] for c in status["conditions"] if c["type"] == "Ready"]
    assert f"Insufficient {RESOURCE}" in told

    space.kubectl("wait", "node", "--all", f"--for=jsonpath={_PATH}=16", "--timeout=60s")
    (node,) = json.loads(space.kubectl("get", "nodes", "--output=json"))["items"]
    assert node["status"]["capacity"][RESOURCE] == "16"
