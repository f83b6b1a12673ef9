"""rollout.strategy BlueGreen: what serves is kept until the new revision has taken its place."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.desired import names
from unit.core.stage import Stage, node, spec_of

SMOKE = {"smoke": {}}


def change(stage: Stage, sequences: int | None = None, **fields: Any) -> None:
    engine = {} if sequences is None else {"engine": {"maxNumSeqs": sequences}}
    rollout = {"rollout": {"strategy": "BlueGreen"}}
    stage.change(spec_of(**{"validation": SMOKE, **rollout, **engine, **fields}))


@pytest.fixture
def stage() -> Stage:
    """A proven revision."""
    stage = Stage(spec_of(validation=SMOKE, rollout={"strategy": "BlueGreen"}))
    stage.prove("smoke")
    return stage


def replicas(stage: Stage) -> dict[str, int]:
    """What each revision's workload says, by revision."""
    return {
        item["metadata"]["labels"][names.REVISION]: item["spec"]["replicas"]
        for item in stage.of("Deployment")
    }


def uids(stage: Stage, revision: str) -> set[str]:
    return {
        pod["metadata"]["uid"]
        for pod in stage.of("Pod")
        if pod["metadata"]["labels"].get(names.REVISION) == revision
    }


def candidate(stage: Stage) -> str:
    return str(stage.status["candidateRevision"])


def test_what_serves_goes_only_after_the_switch(stage: Stage) -> None:
    old, pods = stage.served, uids(stage, stage.served)
    change(stage, 8)
    stage.load()
    new = candidate(stage)
    assert replicas(stage) == {old: 1, new: 1}
    assert stage.conditions["Available"] == "True/Serving"
    (job,) = [job for job in stage.of("Job") if "status" not in job]
    assert f"{new}.default.svc" in str(job["spec"]["template"]["spec"]["containers"][0]["args"])

    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    result = stage.objects["ConfigMap", job["metadata"]["name"]]["data"]
    result["result.json"] = next(
        item["data"]["result.json"]
        for item in stage.of("ConfigMap")
        if "result.json" in item.get("data", {})
    )
    served = []
    while stage.step():
        served.append((stage.served, old in replicas(stage)))
    assert list(dict.fromkeys(served)) == [(old, True), (new, True), (new, False)]
    assert uids(stage, old) == pods, "its pods drain: the Deployment's end is theirs"
    stage.move_pods()
    assert uids(stage, old) == set()
    assert stage.conditions["Ready"] == "True/Proven"
    assert "candidateRevision" not in stage.status


def test_a_candidate_without_npus_waits_and_says_so(stage: Stage) -> None:
    stage.nodes = (node("a", "910B3", **{"huawei.com/Ascend910": "1"}),)
    old = stage.served
    change(stage, 8)
    stage.settle()
    stage.move_pods()
    for pod in stage.of("Pod"):
        if pod["metadata"]["labels"].get(names.REVISION) == candidate(stage):
            told = "0/1 nodes are available: 1 Insufficient huawei.com/Ascend910."
            pod["spec"] = {"containers": [{"name": "vllm", "resources": {}}]}
            pod["status"] = {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "message": told}],
            }
    stage.settle()
    ready = next(c for c in stage.status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "Unschedulable")
    assert "what serves keeps its NPUs" in ready["message"]
    assert "or set Recreate" in ready["message"]
    assert stage.conditions["Available"] == "True/Serving"
    stage.pass_time(minutes=31)
    stage.settle()
    assert stage.conditions["Ready"] == "False/ProgressDeadlineExceeded"
    assert stage.conditions["Available"] == "True/Serving"
    assert replicas(stage)[old] == 1

    change(stage, 8, rollout={"strategy": "Recreate"})
    stage.settle()
    assert old not in replicas(stage)


def test_a_change_that_is_taken_back_restarts_nothing(stage: Stage) -> None:
    old, pods = stage.served, uids(stage, stage.served)
    runs = len(stage.of("ConfigMap"))
    change(stage, 8)
    stage.load()
    change(stage)
    stage.load()
    assert replicas(stage) == {old: 1}
    assert uids(stage, old) == pods
    assert stage.running() is None
    assert stage.conditions["Ready"] == "True/Proven"
    assert len([c for c in stage.of("ConfigMap") if "sealed.json" in c["data"]]) == runs


def test_a_third_revision_waits_for_the_second_and_not_for_what_serves(stage: Stage) -> None:
    old = stage.served
    change(stage, 8)
    stage.load()
    second = candidate(stage)
    change(stage, 4)
    stage.settle()
    third = candidate(stage)
    assert third not in (old, second)
    assert replicas(stage) == {old: 1}
    assert stage.conditions["Ready"] == "Unknown/Recreating", "the second one's NPUs are awaited"
    stage.load()
    assert replicas(stage) == {old: 1, third: 1}


def test_a_candidate_that_fails_keeps_its_pods_without_traffic(stage: Stage) -> None:
    old = stage.served
    change(stage, 8)
    stage.load()
    new = candidate(stage)
    stage.finish("smoke", result="Failed")
    assert replicas(stage) == {old: 1, new: 1}
    assert stage.served == old
    assert stage.conditions["Ready"] == "False/ValidationFailed"
    assert stage.conditions["Available"] == "True/Serving"


def test_suspended_in_the_middle_and_taken_up_again(stage: Stage) -> None:
    old = stage.served
    change(stage, 8)
    stage.load()
    new = candidate(stage)
    change(stage, 8, suspend=True)
    stage.load()
    assert replicas(stage) == {old: 0, new: 0}
    assert uids(stage, old) == uids(stage, new) == set()
    assert stage.conditions["Ready"] == "True/Suspended"
    change(stage, 8)
    stage.load()
    assert replicas(stage) == {old: 1, new: 1}
    assert stage.served == old
    stage.finish("smoke")
    assert replicas(stage) == {new: 1}
    assert stage.served == new


def test_both_are_scaled(stage: Stage) -> None:
    change(stage, 8, replicas=2)
    stage.load()
    assert set(replicas(stage).values()) == {2}
    assert len(replicas(stage)) == 2


def test_what_serves_comes_back_where_the_strategy_is_changed(stage: Stage) -> None:
    old = stage.served
    change(stage, 8, rollout={"strategy": "Recreate"})
    stage.load()
    assert old not in replicas(stage)
    assert stage.conditions["Available"] != "True/Serving"
    change(stage, 8)
    stage.load()
    assert replicas(stage)[old] == 1
    assert stage.conditions["Available"] == "True/Serving"


def test_what_is_changed_by_hand_is_put_right(stage: Stage) -> None:
    old = stage.served
    change(stage, 8)
    stage.load()
    name = f"llama-{old}"
    stage.objects["Deployment", name]["spec"]["replicas"] = 5
    del stage.objects["Service", name]
    stage.settle()
    assert replicas(stage)[old] == 1
    assert ("Service", name) in stage.objects


def test_without_a_gate_the_switch_waits_for_ready_pods() -> None:
    fields: dict[str, Any] = {"validation": None, "rollout": {"strategy": "BlueGreen"}}
    stage = Stage(spec_of(**fields))
    stage.load()
    old = stage.served
    stage.change(spec_of(engine={"maxNumSeqs": 8}, **fields))
    stage.settle()
    assert len(replicas(stage)) == 2
    assert stage.served == old
    stage.load()
    assert stage.served != old
    assert list(replicas(stage)) == [stage.served]


def test_the_strategy_is_no_part_of_a_revision(stage: Stage) -> None:
    old, pods = stage.served, uids(stage, stage.served)
    change(stage, rollout={"strategy": "Recreate"})
    stage.load()
    assert (stage.served, uids(stage, old)) == (old, pods)
