"""What waiting pods are said to wait for."""

from __future__ import annotations

from typing import Any

from ascendllm_simulator.behaviour import CRASHES
from unit.core.stage import Stage, node, spec_of

NPU = "huawei.com/Ascend910"
UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient huawei.com/Ascend910.",
        }
    ],
}


def npu_node(name: str, free: int, **spec: Any) -> dict[str, Any]:
    """A node with 16 NPUs of which so many are healthy."""
    item = node(name, "Ascend910")
    item["status"]["allocatable"] = {NPU: str(free)}
    return {**item, "spec": spec}


def waiting(
    status: dict[str, Any], *nodes: dict[str, Any], count: int = 17, log: str = "", **pod: Any
) -> Stage:
    stage = Stage(spec_of(npu={"generation": "A3", "count": count}), nodes=nodes)
    stage.settle()
    stage.move_pods(ready=False)
    stage.log = log
    for (kind, _), item in stage.objects.items():
        if kind == "Pod":
            asked = {"limits": {NPU: str(count)}, "requests": {NPU: str(count)}}
            item["spec"] = {"containers": [{"name": "vllm", "resources": asked}], **pod}
            item["status"] = status
    stage.settle()
    return stage


def said(stage: Stage) -> tuple[str, str]:
    (ready,) = [c for c in stage.status["conditions"] if c["type"] == "Ready"]
    return ready["reason"], ready["message"]


def crashed(message: str, restarts: int = 3, **state: Any) -> dict[str, Any]:
    ended = {"exitCode": 1, "reason": "Error", "message": message}
    container = {
        "name": "vllm",
        "restartCount": restarts,
        "state": state or {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": ended},
    }
    return {
        "phase": "Running",
        "conditions": [{"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [container],
    }


def test_missing_npus_are_counted_by_node() -> None:
    nodes = (
        npu_node("small", 8),
        npu_node("whole", 16),
        npu_node("closed", 16, unschedulable=True),
        npu_node("theirs", 16, taints=[{"key": "team", "value": "b", "effect": "NoSchedule"}]),
    )
    reason, message = said(waiting(UNSCHEDULABLE, *nodes))
    assert reason == "Unschedulable"
    assert f"17 {NPU} are wanted on one node" in message
    assert "whole has 16 of 16 free, 1 missing" in message
    assert "small has 8 of 16 free (8 unhealthy), 9 missing" in message
    assert "closed has 16 of 16 free and is cordoned" in message
    assert "1 more node" in message
    assert "in all 56 of 64 are free on 4 nodes" in message
    assert "Insufficient huawei.com/Ascend910" in message, "the scheduler's own words"


def test_what_others_hold_is_not_free() -> None:
    stage = Stage(spec_of(npu={"generation": "A3", "count": 4}), nodes=(npu_node("n", 16),))
    held = {"requests": {NPU: "14"}}
    stage.others = [
        {"metadata": {"uid": "x"}, "spec": {"containers": [{"resources": held}]}},
        {
            "metadata": {"uid": "over"},
            "spec": {"containers": [{"resources": held}]},
            "status": {"phase": "Succeeded"},
        },
    ]
    stage.settle()
    stage.move_pods(ready=False)
    (pod,) = stage.of("Pod")
    pod["spec"] = {"containers": [{"resources": {"requests": {NPU: "4"}}}]}
    pod["status"] = UNSCHEDULABLE
    stage.settle()
    assert "n has 2 of 16 free, 2 missing" in said(stage)[1]


def test_a_number_is_read_as_kubernetes_writes_it() -> None:
    item = npu_node("n", 16)
    item["status"] = {"capacity": {NPU: "1k"}, "allocatable": {NPU: "63"}}
    _, message = said(waiting(UNSCHEDULABLE, item, count=64))
    assert "n has 63 of 1000 free (937 unhealthy), 1 missing" in message


def test_where_npus_are_free_something_else_is_missing() -> None:
    _, message = said(waiting(UNSCHEDULABLE, npu_node("n", 16), count=2))
    assert "2 huawei.com/Ascend910 are free on node n: what is missing is something else" in message


def test_where_no_node_offers_it_the_device_plugin_is_named() -> None:
    _, message = said(waiting(UNSCHEDULABLE, count=1))
    assert "no node offers huawei.com/Ascend910" in message
    assert "device plugin" in message


def test_a_tolerated_taint_keeps_nobody_off() -> None:
    taint = {"key": "team", "value": "b", "effect": "NoSchedule"}
    tolerated = [{"key": "team", "operator": "Exists"}]
    _, message = said(
        waiting(UNSCHEDULABLE, npu_node("n", 16, taints=[taint]), count=1, tolerations=tolerated)
    )
    assert "free on node n" in message
    _, message = said(waiting(UNSCHEDULABLE, npu_node("n", 16, taints=[taint]), count=1))
    assert "n has 16 of 16 free and is tainted team" in message


def test_a_load_is_followed_in_the_log() -> None:
    running = {
        "phase": "Running",
        "conditions": [{"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [{"name": "vllm", "restartCount": 0, "state": {"running": {}}}],
    }
    line = "Loading safetensors checkpoint shards:  62% Completed | 10/16 [00:06<00:04]"
    stage = waiting(running, log=line)
    assert said(stage)[0] == "Loading"
    assert "10 of 16 files (62 %)" in said(stage)[1]
    wake = stage.decision()[1].plan.wake_at
    assert wake is not None
    assert (wake - stage.now).total_seconds() == 10

    stage.pass_time(minutes=20)
    wake = stage.decision()[1].plan.wake_at
    assert wake is not None
    assert (wake - stage.now).total_seconds() == 60, "later it is looked at less often"

    stage.log = "Capturing CUDA graphs (decode, FULL):  27%|██ | 3/11 [00:01<00:03]"
    stage.settle()
    assert said(stage)[0] == "GraphCapture"
    stage.log = "not a word of it"
    stage.settle()
    assert said(stage) == (
        "Loading",
        "pod " + stage.of("Pod")[0]["metadata"]["name"] + " is loading the model",
    )


def test_a_crash_is_told_with_its_cause_and_the_remedy() -> None:
    reason, message = said(waiting(crashed(CRASHES["wrongImage"])))
    assert reason == "CrashLooping"
    assert message.startswith("WrongImageVariant: the image is built for A2, the chip is A3")
    assert "spec.npu.generation" in message
    assert "crashed 3 times, last with exit code 1" in message


def test_a_cause_that_the_kubelet_did_not_keep_is_read_from_the_log() -> None:
    last = "RuntimeError: Engine core initialization failed. See root cause above."
    reason, message = said(waiting(crashed(last), log=CRASHES["noDriver"]))
    assert reason == "CrashLooping"
    assert message.startswith("NoDriver")


def test_an_unknown_crash_shows_its_last_words() -> None:
    reason, message = said(waiting(crashed("Segmentation fault"), log="nothing known"))
    assert reason == "CrashLooping"
    assert "Segmentation fault" in message


def test_orphaned_memory_is_waited_for() -> None:
    reason, message = said(waiting(crashed(CRASHES["noFreeMemory"])))
    assert reason == "OrphanedMemory"
    assert "tried again with growing pauses" in message


def test_what_was_killed_for_the_nodes_memory_is_told_so() -> None:
    killed = crashed("")
    killed["containerStatuses"][0]["lastState"]["terminated"]["reason"] = "OOMKilled"
    reason, message = said(waiting(killed))
    assert reason == "CrashLooping"
    assert message.startswith("NodeMemoryFull")


def test_a_server_that_stops_answering_is_neither_loading_nor_crashing() -> None:
    running = {"startedAt": "2026-01-01T00:00:00Z"}
    lost = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T08:00:00Z"}
    status = crashed("of yesterday", restarts=1, running=running)
    status["conditions"].append(lost)
    reason, message = said(waiting(status))
    assert reason == "NotAnswering"
    assert "/health does not answer 200" in message


def test_between_two_crashes_nothing_else_is_said() -> None:
    between = waiting(crashed(CRASHES["noDriver"], running={"startedAt": "2026-01-01T00:00:00Z"}))
    assert said(between)[0] == "CrashLooping"


def test_a_missed_deadline_names_the_phase_and_what_each_took() -> None:
    running = {
        "phase": "Running",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "True",
                "lastTransitionTime": "2026-01-01T00:00:04Z",
            }
        ],
        "containerStatuses": [
            {
                "name": "vllm",
                "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-01T00:01:45Z"}},
            }
        ],
    }
    stage = waiting(running, log="Starting to capture ACL graphs for cases: [2]")
    stage.pass_time(minutes=30)
    stage.settle()
    reason, message = said(stage)
    assert reason == "ProgressDeadlineExceeded"
    assert message.startswith("GraphCapture: not ready within 30m")
    assert "scheduling 4s, set-up and pull 1m41s, load 28m15s" in message
    stage.log = "Graph capturing finished in 8 secs"
    stage.settle()
    assert said(stage)[1].startswith("GraphCapture"), "what was put down stands"
    assert stage.decision()[1].plan.wake_at is None
