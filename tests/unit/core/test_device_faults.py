"""What MindCluster's device plugin and the kubelet say of failing NPUs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ascendllm.state.device_faults import Fault, device_faults, ends_work, unhealthy_devices


def config_map(faults: Any = (), unhealthy: str = "", network: str = "", **more: str) -> Any:
    devices = {
        "huawei.com/Ascend910": "Ascend910-0,Ascend910-1",
        "huawei.com/Ascend910-Unhealthy": unhealthy,
        "huawei.com/Ascend910-NetworkUnhealthy": network,
        "huawei.com/Ascend910-Recovering": "",
        "huawei.com/Ascend910-Fault": faults if isinstance(faults, str) else json.dumps(faults),
    }
    info = {"DeviceInfo": {"DeviceList": devices, "UpdateTime": 1718702470}, "CheckCode": "x"}
    return {"data": {"DeviceInfoCfg": json.dumps(info), **more}}


def fault(device: str, handling: str, kind: str = "CardUnhealthy") -> dict[str, Any]:
    """As the plugin writes it (mind-cluster, pkg/common/proto.go, DeviceFault)."""
    return {
        "fault_type": kind,
        "npu_name": device,
        "large_model_fault_level": handling,
        "fault_level": handling,
        "fault_handling": handling,
        "fault_code": "80E01801",
        "fault_time_and_level_map": {"80E01801": {"fault_time": 1, "fault_level": handling}},
    }


def test_a_fault_is_read_with_what_the_plugin_would_do() -> None:
    found = device_faults(config_map([fault("Ascend910-3", "RestartNPU")], "Ascend910-3"))
    assert found == (Fault("Ascend910-3", "card", "RestartNPU", "80E01801"),)
    assert found[0].told == "Ascend910-3: RestartNPU, code 80E01801"


def test_what_is_only_called_unhealthy_is_one_too() -> None:
    found = device_faults(config_map("[]", "Ascend910-3,Ascend910-4", "Ascend910-5"))
    assert found == (
        Fault("Ascend910-3", "card", "Unhealthy", ""),
        Fault("Ascend910-4", "card", "Unhealthy", ""),
        Fault("Ascend910-5", "network", "Unhealthy", ""),
    )


def test_what_a_person_separated_is_one_too() -> None:
    found = device_faults(config_map("[]", ManuallySeparateNPU="Ascend910-7"))
    assert found == (Fault("Ascend910-7", "card", "ManuallySeparateNPU", ""),)


def test_a_fault_of_the_node_has_no_device() -> None:
    (found,) = device_faults(config_map([fault("", "", "NodeUnhealthy")]))
    assert (found.device, found.kind) == ("", "node")
    assert found.told == "the node (node): Unhealthy, code 80E01801"


@pytest.mark.parametrize(
    "spoiled",
    [
        {},
        {"data": None},
        {"data": {"DeviceInfoCfg": "{"}},
        {"data": {"DeviceInfoCfg": "[]"}},
        {"data": {"DeviceInfoCfg": '{"DeviceInfo": {"DeviceList": []}}'}},
        {"data": {"DeviceInfoCfg": "[" * 100_000}},
        config_map("nonsense"),
        config_map('[1, null, {"fault_type": 7}, {"fault_type": []}]'),
        config_map('{"a": 1}'),
    ],
)
def test_nonsense_tells_nothing(spoiled: Any) -> None:
    assert device_faults(spoiled) == ()


def test_what_is_written_by_others_is_bounded_and_cleaned() -> None:
    many = [fault(f"Ascend910-{n}\n\x1b[31m" + "x" * 200, "RestartNPU" * 50) for n in range(1000)]
    found = device_faults(config_map(many))
    assert len(found) <= 256
    assert all(len(one.device) <= 64 and "\n" not in one.device for one in found)


@pytest.mark.parametrize(
    ("handling", "ends"),
    [
        ("NotHandleFault", False),
        ("SubHealthFault", False),
        ("RestartRequest", False),
        ("PreSeparateNPU", False),
        ("RestartBusiness", True),
        ("FreeRestartNPU", True),
        ("RestartNPU", True),
        ("SeparateNPU", True),
        ("ManuallySeparateNPU", True),
        ("Unhealthy", True),
        ("SomethingNew", False),
    ],
)
def test_which_faults_end_what_runs(handling: str, ends: bool) -> None:
    assert ends_work(Fault("Ascend910-1", "card", handling, ""), across_nodes=False) is ends


def test_a_network_port_matters_between_nodes_alone() -> None:
    port = Fault("Ascend910-1", "network", "SeparateNPU", "")
    assert not ends_work(port, across_nodes=False)
    assert ends_work(port, across_nodes=True)
    assert not ends_work(Fault("", "node", "Unhealthy", ""), across_nodes=True)


def test_the_kubelets_own_word() -> None:
    held = {
        "name": "huawei.com/Ascend910",
        "resources": [
            {"resourceID": "Ascend910-3", "health": "Unhealthy"},
            {"resourceID": "Ascend910-4", "health": "Healthy"},
        ],
    }
    pod = {"status": {"containerStatuses": [{"name": "vllm", "allocatedResourcesStatus": [held]}]}}
    assert unhealthy_devices(pod) == ("Ascend910-3",)
    assert unhealthy_devices({}) == ()
