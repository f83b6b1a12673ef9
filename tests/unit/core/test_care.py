"""Pods that can't go on: replaced within limits, and what is said of it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from ascendllm.state.device_faults import Fault
from unit.core.stage import Stage, node, spec_of

NPU = "huawei.com/Ascend910"
DEVICES = {"huawei.com/AscendReal": "Ascend910-3"}
BAD = Fault("Ascend910-3", "card", "RestartNPU", "80E01801")
SINCE = "2026-01-01T00:10:00Z"


def served(replicas: int = 1, free: int = 15, **pod: Any) -> Stage:
    """A resource that serves on Ascend910-3 of node n, of which so many NPUs are healthy."""
    item = node("n", "Ascend910")
    item["status"]["allocatable"] = {NPU: str(free)}
    stage = Stage(spec_of(validation={"smoke": {}}, replicas=replicas), nodes=(item,))
    stage.prove("smoke")
    come(stage, **pod)
    return stage


def come(stage: Stage, *, ready: bool = True, **pod: Any) -> None:
    """The workload's controller, the scheduler and the device plugin have done their part."""
    stage.move_pods(ready=ready, annotations=DEVICES)
    for item in stage.of("Pod"):
        asked = {"requests": {NPU: "1"}}
        containers = [{"name": "vllm", "resources": asked}]
        item["spec"] = {"nodeName": "n", "containers": containers, **pod}
    stage.settle()


def uids(stage: Stage) -> list[str]:
    return [item["metadata"]["uid"] for item in stage.of("Pod")]


def record(stage: Stage) -> list[dict[str, str]]:
    found = stage.objects.get(("ConfigMap", "llama-replaced"))
    return list(json.loads(found["data"]["replaced.json"])) if found else []


def said(stage: Stage, kind: str = "Ready") -> tuple[str, str, str]:
    (found,) = [c for c in stage.status["conditions"] if c["type"] == kind]
    return found["status"], found["reason"], found["message"]


def hang(stage: Stage) -> None:
    stage.hung = dict.fromkeys(uids(stage), SINCE)


def test_a_pod_whose_engine_hangs_is_replaced_and_told() -> None:
    stage = served()
    (uid,) = uids(stage)
    hang(stage)
    stage.settle()
    assert uids(stage) == []
    assert [(r["uid"], r["reason"]) for r in record(stage)] == [(uid, "Hung")]
    assert said(stage)[:2] == ("Unknown", "Hung")
    assert f"has made no step since {SINCE}" in said(stage)[2]
    assert stage.conditions["Reconciling"] == "True/Hung"
    assert stage.conditions["Validated"] == "True/Passed"

    come(stage, ready=False)
    assert said(stage)[:2] == ("Unknown", "Hung")
    assert "is loading the model" in said(stage)[2]
    come(stage)
    assert said(stage)[:2] == ("True", "Proven")
    assert len(record(stage)) == 1


def test_what_hangs_again_waits_longer_each_time() -> None:
    stage = served()
    moments = []
    for _ in range(3):
        hang(stage)
        stage.settle()
        while uids(stage):
            assert said(stage)[:2] == ("Unknown", "Hung")
            assert "it is not replaced before" in said(stage)[2]
            assert stage.decision()[1].plan.wake_at is not None
            stage.pass_time(minutes=1)
            stage.settle()
        moments.append(stage.now)
        come(stage)
    assert [int((b - a).total_seconds() / 60) for a, b in pairwise(moments)] == [5, 15]

    hang(stage)
    stage.settle()
    stage.pass_time(minutes=30)
    stage.settle()
    assert len(uids(stage)) == 1, "three in an hour are enough"
    stage.pass_time(minutes=11)
    stage.settle()
    assert uids(stage) == []


def test_what_was_decided_outlives_the_operator() -> None:
    """Killed after the record was written, it deletes the pod, whatever it knows by then."""
    stage = served()
    hang(stage)
    _, decision = stage.decision()
    for item in decision.plan.apply:
        if item["kind"] == "ConfigMap":
            stage._apply(item)
    stage.hung = {}
    stage.settle()
    assert uids(stage) == []
    assert len(record(stage)) == 1

    come(stage)
    stage.settle()
    assert len(uids(stage)) == 1, "the next pod is another one"


def test_an_old_record_deletes_nothing() -> None:
    stage = served()
    hang(stage)
    _, decision = stage.decision()
    for item in decision.plan.apply:
        if item["kind"] == "ConfigMap":
            stage._apply(item)
    stage.hung = {}
    stage.pass_time(minutes=11)
    stage.settle()
    assert len(uids(stage)) == 1


def test_a_spoiled_record_is_begun_anew() -> None:
    for text in ("{", "[1]", '[{"at": "never"}]', "[" * 1000):
        stage = served()
        hang(stage)
        stage.objects["ConfigMap", "llama-replaced"] = {
            "kind": "ConfigMap",
            "metadata": {"name": "llama-replaced"},
            "data": {"replaced.json": text},
        }
        stage.settle()
        assert uids(stage) == []
        assert len(record(stage)) == 1


def test_a_run_that_measured_on_a_replaced_pod_is_no_verdict() -> None:
    stage = Stage(spec_of(validation={"smoke": {}, "retries": 0}))
    stage.load()
    assert stage.running() == "smoke"
    hang(stage)
    stage.settle()
    come(stage)
    stage.finish("smoke")
    assert stage.status["validation"]["smoke"]["reason"] == "ServerChanged"


def test_a_server_on_a_failing_npu_is_moved_to_healthy_ones() -> None:
    stage = served()
    (before,) = uids(stage)
    stage.faults = {"n": (BAD,)}
    stage.settle()
    assert uids(stage) == []
    (entry,) = record(stage)
    assert (entry["uid"], entry["reason"]) == (before, "DeviceUnhealthy")
    assert said(stage)[:2] == ("Unknown", "DeviceUnhealthy")
    assert "Ascend910-3: RestartNPU, code 80E01801" in said(stage)[2]


def test_a_server_that_answers_stays_where_no_healthy_npu_is_free() -> None:
    stage = served(free=0)
    stage.others = [
        {
            "metadata": {"uid": "x"},
            "spec": {"containers": [{"resources": {"requests": {NPU: "15"}}}]},
        }
    ]
    stage.nodes[0]["status"]["allocatable"][NPU] = "15"  # type: ignore[index]
    stage.faults = {"n": (BAD,)}
    stage.settle()
    assert len(uids(stage)) == 1
    assert said(stage)[:2] == ("True", "Proven")
    (warning,) = stage.status["warnings"]
    assert "no node has 1 healthy huawei.com/Ascend910 free" in warning

    come(stage, ready=False)
    assert uids(stage) == [], "what does not answer has nothing to lose"


def test_with_volcano_it_is_only_told() -> None:
    stage = served(schedulerName="volcano")
    stage.faults = {"n": (BAD,)}
    stage.settle()
    assert len(uids(stage)) == 1
    assert record(stage) == []
    assert "Volcano" in stage.status["warnings"][0]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("Ascend910-3", "card", "RestartRequest", "1"),
        Fault("Ascend910-3", "card", "PreSeparateNPU", "1"),
        Fault("Ascend910-3", "network", "SeparateNPU", "1"),
        Fault("", "node", "Unhealthy", "1"),
    ],
)
def test_a_fault_that_ends_nothing_is_only_told(fault: Fault) -> None:
    stage = served()
    stage.faults = {"n": (fault,)}
    stage.settle()
    assert len(uids(stage)) == 1
    assert said(stage)[:2] == ("True", "Proven")
    assert "what runs goes on" in stage.status["warnings"][0]


def test_who_crashes_on_a_card_that_is_set_aside_is_moved() -> None:
    stage = served()
    stage.faults = {"n": (Fault("Ascend910-3", "card", "PreSeparateNPU", "1"),)}
    come(stage, ready=False)
    assert len(uids(stage)) == 1
    stage.of("Pod")[0]["status"]["containerStatuses"][0]["restartCount"] = 1
    stage.settle()
    assert uids(stage) == []


def test_another_pods_npu_is_nobodys_business() -> None:
    stage = served()
    stage.faults = {"n": (Fault("Ascend910-4", "card", "RestartNPU", ""),), "m": (BAD,)}
    stage.settle()
    assert len(uids(stage)) == 1
    assert "warnings" not in stage.status


def test_servers_that_answer_are_moved_one_at_a_time() -> None:
    stage = served(replicas=3)
    stage.faults = {"n": (BAD,)}
    stage.settle()
    assert len(uids(stage)) == 2
    assert len(record(stage)) == 1
    assert said(stage)[:2] == ("True", "Scaling")
    assert "was replaced" in said(stage)[2]
    assert stage.decision()[1].plan.wake_at is not None


def test_a_refused_spec_keeps_nobody_from_being_moved() -> None:
    stage = served()
    stage.change(spec_of(validation={"smoke": {}}, model={"source": {"hostPath": "/etc"}}))
    stage.faults = {"n": (BAD,)}
    stage.settle()
    assert uids(stage) == []
    assert said(stage)[:2] == ("False", "HostPathNotAllowed")


def test_a_new_revision_is_not_told_of_what_was_replaced() -> None:
    stage = served()
    hang(stage)
    stage.settle()
    stage.hung = {}
    stage.change(spec_of(validation={"smoke": {}}, engine={"maxModelLen": 2048}))
    stage.settle()
    come(stage, ready=False)
    assert said(stage)[:2] == ("Unknown", "Loading")


def test_who_is_suspended_is_left_alone() -> None:
    stage = served()
    stage.change(spec_of(validation={"smoke": {}}, suspend=True))
    hang(stage)
    stage.settle()
    assert record(stage) == []
