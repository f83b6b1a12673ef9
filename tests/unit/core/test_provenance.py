"""What pods say of themselves: versions and NPUs, from whoever writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ascendllm.state.provenance import device_names, read_facts, shared_facts

UUID = "E1A2-0001"


def status(message: object, name: str = "facts") -> dict[str, Any]:
    return {
        "initContainerStatuses": [{"name": name, "state": {"terminated": {"message": message}}}]
    }


def test_the_facts_of_a_pod() -> None:
    facts = {"vllm": "0.18.0", "vllmAscend": "0.18.0rc1", "torchNpu": "2.9.0", "arch": "aarch64"}
    assert read_facts(status(json.dumps(facts | {"python": "3.11"}))) == facts


@pytest.mark.parametrize(
    "hostile",
    [
        {},
        {"initContainerStatuses": None},
        {"initContainerStatuses": [{"name": "facts"}]},
        {"initContainerStatuses": [{"name": "facts", "state": {"running": {}}}]},
        status(None),
        status("no JSON"),
        status("[1, 2]"),
        status("[" * 4000),
        status(json.dumps({"vllm": "x" * 5000})),
        status(json.dumps({"vllm": 1, "cann": None, "soc": ["a"], "arch": ""})),
        status(json.dumps({"vllm": "0.18.0"}), name="other"),
    ],
)
def test_what_is_no_fact_is_left_out(hostile: dict[str, Any]) -> None:
    assert read_facts(hostile) == {}


def test_a_hostile_fact_is_one_short_line() -> None:
    facts = read_facts(status(json.dumps({"soc": "a\n\x1b[31mb" + "c" * 500, "vllm": "\ud800"})))
    assert "\n" not in facts["soc"]
    assert "\x1b" not in facts["soc"]
    assert len(facts["soc"]) <= 64
    facts["vllm"].encode()


@pytest.mark.parametrize(
    ("annotations", "devices"),
    [
        ({}, ()),
        ({"huawei.com/AscendReal": "Ascend910-4,Ascend910-5"}, ("Ascend910-4", "Ascend910-5")),
        ({"huawei.com/kltDev": "Ascend910-1"}, ("Ascend910-1",)),
        (
            {"huawei.com/kltDev": "Ascend910-1", "huawei.com/AscendReal": "Ascend910-4"},
            ("Ascend910-4",),
        ),
        (
            {
                "ascend.kubectl.kubernetes.io/ascend-910-configuration": json.dumps(
                    {"devices": [{"device_id": "4", "device_ip": "10.0.0.1"}, {"device_id": 5}]}
                )
            },
            ("Ascend910-4", "Ascend910-5"),
        ),
        ({"huawei.com/Ascend910": "Ascend910-0, Ascend910-1"}, ("Ascend910-0", "Ascend910-1")),
        (
            {"hami.io/Ascend910B-devices-allocated": f"{UUID},Ascend910B,65536,0:;"},
            (UUID,),
        ),
        ({"huawei.com/Ascend910B": '[{"UUID":"a","temp":"b"}]'}, ()),
        ({"huawei.com/AscendReal": ""}, ()),
        ({"huawei.com/AscendReal": "a,a,,a"}, ("a",)),
        ({"ascend.kubectl.kubernetes.io/ascend-910-configuration": "no JSON"}, ()),
        ({"ascend.kubectl.kubernetes.io/ascend-910-configuration": '{"devices": 1}'}, ()),
        ({"ascend.kubectl.kubernetes.io/ascend-910-configuration": "[" * 60_000}, ()),
    ],
)
def test_the_devices_of_a_pod(annotations: dict[str, str], devices: tuple[str, ...]) -> None:
    assert device_names(annotations) == devices


def test_devices_are_bounded() -> None:
    devices = device_names({"huawei.com/AscendReal": ",".join(f"x{n}" * 99 for n in range(999))})
    assert len(devices) <= 64
    assert max(map(len, devices)) <= 64


def test_pods_that_say_different_things_have_no_common_fact() -> None:
    assert shared_facts([]) == {}
    assert shared_facts([{"vllm": "1", "soc": "a"}, {"vllm": "2", "soc": "a"}, {}]) == {"soc": "a"}
