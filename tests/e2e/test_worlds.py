"""Models come up on the resources of other device plugins, and under another scheduler.

The node offers CCE's and HAMi's resources as any node may offer extended ones; who registers them
makes no difference to pods. What Volcano does to a pod, the test does in its place.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from cluster.provider import Provider
from e2e.resources import model, resource
from e2e.space import Space, settings

pytestmark = pytest.mark.timeout(300)

CCE = "huawei.com/ascend-1980"
HAMI = "huawei.com/Ascend910C"
OFFERED = {CCE: "8", HAMI: "4", f"{HAMI}-memory": "262144", f"{HAMI}-core": "400"}
NPUS = "huawei.com/Ascend910"

DRIVER = "/opt/driver"


@pytest.fixture
def node(installed: Provider) -> Iterator[str]:
    """The node's name, while it offers what other plugins register."""
    (item,) = json.loads(installed.kubectl("get", "nodes", "--output=json"))["items"]
    name = str(item["metadata"]["name"])

    def offer(capacity: Mapping[str, str | None]) -> None:
        patch = json.dumps({"status": {"capacity": capacity, "allocatable": capacity}})
        installed.kubectl(
            "patch", "node", name, "--subresource=status", "--type=merge", f"--patch={patch}"
        )

    offer(OFFERED)
    yield name
    offer(dict.fromkeys(OFFERED))


@pytest.fixture
def runtime_class(installed: Provider) -> Iterator[dict[str, Any]]:
    """HAMi's RuntimeClass, which is not there yet; the node's own runtime stands behind it."""
    item = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": "ascend"},
        "handler": "runc",
    }
    yield item
    installed.kubectl("delete", "runtimeclass", "ascend", "--ignore-not-found")


def environment(space: Space, pod: Mapping[str, Any]) -> dict[str, str]:
    told = space.kubectl("exec", pod["metadata"]["name"], "--", "env")
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


@pytest.mark.usefixtures("node")
def test_cces_npus(installed: Provider, space: Space) -> None:
    path = model(installed, "cce")
    space.apply(resource("cce", path, {"smoke": {}}, npu={"resource": CCE, "count": 2}))
    space.wait_for_ready("cce")

    (pod,) = space.serving_pods("cce")
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {CCE: "2"}
    assert "ASCEND_VISIBLE_DEVICES" not in environment(space, pod)
    runtime = space.status("cce")["runtime"]
    assert (runtime["generation"], runtime["chip"]) == ("A3", "Ascend910"), "the node tells it"
    assert (runtime["variant"], runtime["memory"]) == ("a3", "64Gi")


@pytest.mark.usefixtures("node")
def test_a_slice_of_hamis_once_its_runtime_class_is_there(
    installed: Provider, space: Space, runtime_class: dict[str, Any]
) -> None:
    path = model(installed, "hami")
    limits = {f"{HAMI}-memory": "32768", f"{HAMI}-core": "40"}
    space.apply(
        resource(
            "hami",
            path,
            {"smoke": {}},
            npu={"resource": HAMI},
            engine={"memoryUtilization": 0.5},
            placement={"resources": {"limits": limits}},
        )
    )
    status = space.until("hami", "PodsRefused")
    (told,) = [c["message"] for c in status["conditions"] if c["type"] == "Ready"]
    assert "RuntimeClass 'ascend' not found" in told

    space.apply(runtime_class)
    space.wait_for_ready("hami")
    (pod,) = space.serving_pods("hami")
    assert pod["spec"]["runtimeClassName"] == "ascend"
    assert pod["metadata"]["annotations"]["huawei.com/vnpu-mode"] == "hami-core"
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {HAMI: "1", **limits}
    assert "--enforce-eager" in pod["spec"]["containers"][0]["args"]


def test_volcano_gives_the_cards_by_its_annotation(installed: Provider, space: Space) -> None:
    path = model(installed, "volcano")
    space.apply(
        resource(
            "gang",
            path,
            {"smoke": {}},
            npu={"count": 2},
            placement={"schedulerName": "volcano"},
        )
    )
    with space.watch("pods", "ascendllm.io/name=gang") as watch:
        waiting = watch.until(lambda items: len(items) == 1, "a pod waits for Volcano")
    (pod,) = waiting.values()
    assert pod["spec"]["schedulerName"] == "volcano"
    assert pod["metadata"]["annotations"]["huawei.com/schedule_policy"] == "chip2-node16"
    name = pod["metadata"]["name"]

    (node,) = json.loads(space.kubectl("get", "nodes", "--output=json"))["items"]
    cards = "Ascend910-4,Ascend910-5"
    space.kubectl("annotate", "pod", name, f"{NPUS}={cards}")
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"]},
    }
    where = f"/api/v1/namespaces/{space.name}/pods/{name}/binding"
    space.kubectl("create", f"--raw={where}", "--filename=-", text=json.dumps(binding))

    space.wait_for_ready("gang")
    (pod,) = space.serving_pods("gang")
    (given,) = [
        item
        for item in pod["spec"]["containers"][0]["env"]
        if item["name"] == "ASCEND_VISIBLE_DEVICES"
    ]
    path = given["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == f"metadata.annotations['{NPUS}']"


def test_the_drivers_files_from_the_node(installed: Provider, space: Space) -> None:
    made = f"mkdir -p {DRIVER}/lib64 && echo 1 > {DRIVER}/version.info && echo > {DRIVER}-smi"
    subprocess.run(installed.node_command(["sh", "-c", made]), check=True, timeout=30)
    path = model(installed, "driver")
    with settings(installed, driverPaths=f"{DRIVER}/, {DRIVER}-smi"):
        space.apply(resource("bare", path, {"smoke": {}}, runtime={"driverMounts": "hostPath"}))
        space.wait_for_ready("bare")
    (pod,) = space.serving_pods("bare")
    seen = space.kubectl(
        "exec",
        pod["metadata"]["name"],
        "--",
        "sh",
        "-c",
        f"cat {DRIVER}/version.info; ls {DRIVER}*",
    )
    assert seen.split()[0] == "1"
    assert f"{DRIVER}-smi" in seen
    refused = space.answers(
        "exec", pod["metadata"]["name"], "--", "sh", "-c", f"touch {DRIVER}/x 2>&1"
    )
    assert "Read-only file system" in refused
