"""The cluster that `python tests/cluster` brings up is a node with NPUs, and leaves no trace.

The tests bring up one of their own beside the one that the demo or a person may be using.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.archive import write_image
from cluster.binaries import PROBE

_COMMAND = [sys.executable, str(Path(__file__).parent.parent / "cluster")]
_ENVIRONMENT = {**os.environ, "ASCENDLLM_CLUSTER": "15"}
_ENVIRONMENT.pop("ASCENDLLM_KUBECONFIG", None)  # the caller's cluster has real NPUs, or none

_IMAGE = "localhost/ascendllm/probe:1"
_RESOURCE = "huawei.com/Ascend910"
_REAL_DEVICES = "huawei.com/AscendReal"
_API_SERVICE = "kubernetes.default:443"

pytestmark = pytest.mark.timeout(300)


def run(*arguments: str, text: str | None = None) -> str:
    outcome = subprocess.run(
        [*_COMMAND, *arguments], env=_ENVIRONMENT, input=text, capture_output=True, text=True
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def kubectl(*arguments: str, text: str | None = None) -> str:
    return run("kubectl", *arguments, text=text)


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = traces()
    archive = tmp_path_factory.mktemp("images") / "probe.tar"
    write_image(archive, _IMAGE, PROBE.path())
    try:
        run("up")
        run("load", str(archive))
        yield
    finally:
        run("down")
    assert traces() == before


@pytest.fixture
def create_pod() -> Iterator[Callable[[str, int], None]]:
    """Create a pod that runs the probe with that many NPUs; it is deleted with the test."""
    made = []

    def create(name: str, npus: int) -> None:
        container = {
            "name": "probe",
            "image": _IMAGE,
            "args": [_API_SERVICE],
            "resources": {"limits": {_RESOURCE: npus}},
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"restartPolicy": "Never", "containers": [container]},
        }
        kubectl("create", "--filename=-", text=json.dumps(pod))
        made.append(name)

    yield create
    for name in made:
        kubectl("delete", "pod", name, "--now")


def findings(pod: str) -> dict[str, Any]:
    """What the probe in a pod found, once it has ended."""
    kubectl("wait", f"pod/{pod}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    return dict(json.loads(kubectl("logs", pod)))


def real_devices(pod: str) -> str:
    escaped = _REAL_DEVICES.replace(".", "\\.")
    path = f"{{.metadata.annotations.{escaped}}}"
    kubectl("wait", f"pod/{pod}", f"--for=jsonpath={path}", "--timeout=30s")
    return kubectl("get", "pod", pod, f"--output=jsonpath={path}")


def wait_for_allocatable(count: int) -> None:
    escaped = _RESOURCE.replace(".", "\\.")
    wanted = f"--for=jsonpath={{.status.allocatable.{escaped}}}={count}"
    kubectl("wait", "node", "--all", wanted, "--timeout=30s")


def test_the_node_bears_the_labels_of_an_a3() -> None:
    labels = json.loads(kubectl("get", "nodes", "--output=json"))["items"][0]["metadata"]["labels"]

    assert labels["node.kubernetes.io/npu.chip.name"] == "Ascend910"
    assert labels["accelerator"] == "huawei-Ascend910"
    assert labels["mind-cluster/npu-chip-memory"] == "64G"
    wait_for_allocatable(16)


def test_a_container_gets_the_environment_for_ascend_docker_runtime(
    create_pod: Callable[[str, int], None],
) -> None:
    create_pod("runtime", 2)

    found = findings("runtime")
    visible = found["environment"]["ASCEND_VISIBLE_DEVICES"].split(",")
    assert len(set(visible)) == 2
    assert set(visible) <= {str(number) for number in range(16)}
    assert found["environment"]["ASCEND_RUNTIME_OPTIONS"] == ""
    assert found["devices"] == []


def test_a_container_gets_device_nodes_without_it(
    create_pod: Callable[[str, int], None],
) -> None:
    run("up", "--npu-mode=devices")
    try:
        create_pod("devices", 2)
        found = findings("devices")
    finally:
        run("up")

    davincis = [device for device in found["devices"] if device[len("/dev/davinci") :].isdigit()]
    assert len(davincis) == 2
    managers = {"/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"}
    assert set(found["devices"]) - set(davincis) == managers
    assert found["environment"] == {}


def test_a_running_pod_is_annotated_with_its_devices() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "annotated"},
        "spec": {
            "containers": [
                {
                    "name": "pause",
                    "image": "localhost/ascendllm/pause:1",
                    "resources": {"limits": {_RESOURCE: 3}},
                }
            ]
        },
    }
    kubectl("create", "--filename=-", text=json.dumps(pod))
    try:
        devices = real_devices("annotated").split(",")
    finally:
        kubectl("delete", "pod", "annotated", "--now")

    assert len(set(devices)) == 3
    assert all(device.startswith("Ascend910-") for device in devices)


def test_a_pod_that_asks_for_too_many_stays_pending(
    create_pod: Callable[[str, int], None],
) -> None:
    create_pod("greedy", 17)

    unschedulable = '--for=jsonpath={.status.conditions[?(@.type=="PodScheduled")].reason}'
    kubectl("wait", "pod/greedy", f"{unschedulable}=Unschedulable", "--timeout=30s")
    status = json.loads(kubectl("get", "pod", "greedy", "--output=json"))["status"]
    assert status["phase"] == "Pending"
    assert f"Insufficient {_RESOURCE}" in status["conditions"][0]["message"]


def test_an_unhealthy_npu_is_not_allocatable() -> None:
    run("npu", "unhealthy", "3")
    wait_for_allocatable(15)

    run("npu", "healthy", "3")
    wait_for_allocatable(16)


def test_a_restarted_kubelet_finds_its_npus_again(
    create_pod: Callable[[str, int], None],
) -> None:
    run("restart", "kubelet")
    run("up")

    create_pod("after", 16)
    assert len(findings("after")["environment"]["ASCEND_VISIBLE_DEVICES"].split(",")) == 16


def test_a_pod_reaches_a_service_by_its_name(create_pod: Callable[[str, int], None]) -> None:
    create_pod("client", 1)

    assert findings("client")["services"][_API_SERVICE] == "10.96.0.1:443"


def test_what_is_copied_onto_the_node_does_not_reach_the_host(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "file").write_text("content")

    run("node-copy", str(tmp_path), "/opt/ascendllm-test/model")
    run("node-copy", str(tmp_path / "config.json"), "/opt/ascendllm-test/renamed.json")

    assert run("node-exec", "--", "cat", "/opt/ascendllm-test/model/deeper/file") == "content"
    assert run("node-exec", "--", "cat", "/opt/ascendllm-test/renamed.json") == "{}"
    assert not Path("/opt/ascendllm-test").exists()


def test_a_second_up_is_quick_and_changes_nothing() -> None:
    uid = kubectl("get", "nodes", "--output=jsonpath={.items[0].metadata.uid}")

    run("up")

    assert kubectl("get", "nodes", "--output=jsonpath={.items[0].metadata.uid}") == uid


def traces() -> dict[str, object]:
    """What a cluster could leave on this machine, its own names apart from everybody else's."""
    ours = ("ascendllm-15", "cluster-15", "allm15")
    settings = (
        "vm/overcommit_memory",
        "kernel/panic",
        "kernel/panic_on_oops",
        "net/ipv4/ip_forward",
    )
    folders = ("/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers")
    return {
        "processes": [name for name in command_lines() if any(our in name for our in ours)],
        "mounts": [
            line
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if any(our in line for our in ours)
        ],
        "links": [link for link in os.listdir("/sys/class/net") if link.startswith(ours)],
        "cgroups": [str(group) for group in Path("/sys/fs/cgroup").glob("**/ascendllm-15")],
        "firewall": subprocess.run(["iptables-save"], capture_output=True, text=True).stdout.count(
            "KUBE"
        ),
        "settings": {name: Path("/proc/sys", name).read_text() for name in settings},
        "folders": {name: Path(name).exists() for name in folders},
    }


def command_lines() -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it has ended meanwhile
