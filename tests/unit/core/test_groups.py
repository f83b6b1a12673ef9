"""A replica of several pods: counted as one, served by its leader, changed as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ascendllm.decide.policies import Input, first_problem
from ascendllm.desired import names
from ascendllm.desired.revision import revision_inputs
from unit.core.stage import SETTINGS, Stage, spec_of

SMOKE = {"smoke": {}}
GROUP: dict[str, Any] = {"npu": {"count": 8, "generation": "A3"}, "nodes": 2, "validation": SMOKE}


def group(stage: Stage) -> dict[str, Any]:
    (found,) = stage.of("LeaderWorkerSet")
    return found


def selected(stage: Stage, service: str) -> list[str]:
    """The pods that a Service selects."""
    wanted = stage.objects["Service", service]["spec"]["selector"].items()
    pods = stage.of("Pod")
    return sorted(
        pod["metadata"]["name"] for pod in pods if wanted <= pod["metadata"]["labels"].items()
    )


def unready(stage: Stage, *pods: str) -> None:
    for name in pods:
        (_, ready) = stage.objects["Pod", name]["status"]["conditions"]
        ready["status"] = "False"
    stage.settle()


def test_clients_and_checks_reach_leaders_alone() -> None:
    stage = Stage(spec_of(**GROUP, replicas=2))
    stage.prove("smoke")
    workload = group(stage)["metadata"]["name"]
    assert len(stage.of("Pod")) == 4
    leaders = [f"{workload}-0", f"{workload}-1"]
    assert selected(stage, "llama") == leaders
    assert selected(stage, workload) == leaders
    assert (
        stage.status["selector"] == f"ascendllm.io/name=llama,ascendllm.io/revision={workload[6:]}"
    )


def test_replicas_are_groups_and_npus_those_of_all_pods() -> None:
    stage = Stage(spec_of(**GROUP, replicas=2))
    stage.prove("smoke")
    workload = group(stage)["metadata"]["name"]
    counted = {key: stage.status[key] for key in ("replicas", "readyReplicas", "npus")}
    assert counted == {"replicas": 2, "readyReplicas": 2, "npus": 32}
    run = next(item for item in stage.of("ConfigMap") if "run.json" in item["data"])
    assert '"npus":32' in run["data"]["run.json"]

    unready(stage, f"{workload}-1-1")
    assert stage.status["readyReplicas"] == 1, "a leader without its worker computes nothing"
    assert stage.conditions["Ready"] == "True/Scaling"
    unready(stage, f"{workload}-0")
    assert stage.status["readyReplicas"] == 0
    assert stage.conditions["Ready"] == "Unknown/Unavailable"


def test_nothing_is_checked_before_every_pod_of_a_group_is_there() -> None:
    stage = Stage(spec_of(**GROUP))
    stage.settle()
    assert "0 of 2 pods exist; should none come" in stage.status["conditions"][0]["message"]
    stage.move_pods()
    worker = group(stage)["metadata"]["name"] + "-0-1"
    pod = stage.objects.pop(("Pod", worker))
    stage.settle()
    assert stage.running() is None
    assert stage.conditions["Ready"] == "Unknown/Creating"
    assert "1 of 2 pods exist" in stage.status["conditions"][0]["message"]
    stage.objects["Pod", worker] = pod
    stage.settle()
    assert stage.running() == "smoke"


@pytest.mark.parametrize("suffix", ["-0", "-0-1"])
def test_a_restart_of_any_pod_of_the_group_is_another_server(suffix: str) -> None:
    stage = Stage(spec_of(**GROUP))
    stage.load()
    name = group(stage)["metadata"]["name"] + suffix
    (container,) = stage.objects["Pod", name]["status"]["containerStatuses"]
    container["restartCount"] = 1
    stage.finish("smoke")
    told = stage.status["history"][0]
    assert (told["result"], told["reason"]) == ("Error", "ServerChanged")


def crash(stage: Stage, name: str, words: str) -> None:
    """A pod's server ends and is started again, as the controller sees it once."""
    (container,) = stage.objects["Pod", name]["status"]["containerStatuses"]
    ended = {"exitCode": 1, "reason": "Error", "message": words}
    container |= {"restartCount": 1, "lastState": {"terminated": ended}}
    unready(stage, name)


def test_what_a_group_crashed_of_outlives_its_pods() -> None:
    """The controller makes all of it anew, so no count of restarts grows."""
    stage = Stage(spec_of(**GROUP))
    stage.settle()
    stage.move_pods(ready=False)
    stage.settle()
    workload = group(stage)["metadata"]["name"]
    crash(stage, f"{workload}-0", "engine core died")
    crash(stage, f"{workload}-0-1", "OSError: libascend_hal.so: cannot open shared object file")
    assert stage.conditions["Ready"] == "Unknown/CrashLooping"

    for pod in stage.of("Pod"):
        del stage.objects["Pod", pod["metadata"]["name"]]
    stage.move_pods(ready=False)
    stage.settle()
    assert stage.conditions["Ready"] == "Unknown/Loading"
    told = stage.status["conditions"][0]["message"]
    assert "made anew after a crash: NoDriver" in told, "the cause, not what followed from it"
    assert f"pod {workload}-0-1" in told
    assert not stage.step(), "it is noted once"

    stage.pass_time(minutes=31)
    stage.settle()
    assert stage.conditions["Ready"] == "False/ProgressDeadlineExceeded"
    assert "NoDriver" in stage.status["conditions"][0]["message"]

    stage.move_pods()
    stage.settle()
    assert names.LAST_CRASH not in group(stage)["metadata"]["annotations"]
    assert stage.running() == "smoke"


def test_one_pod_becomes_a_group_and_one_pod_again() -> None:
    stage = Stage(spec_of(npu=GROUP["npu"], validation=SMOKE))
    stage.prove("smoke")
    alone = stage.of("Deployment")[0]["metadata"]["name"]

    stage.change(spec_of(**GROUP))
    stage.settle()
    assert not stage.of("Deployment")
    assert not stage.of("LeaderWorkerSet"), "the old pod still holds its NPUs"
    assert stage.conditions["Ready"] == "Unknown/Recreating"
    stage.prove("smoke")
    assert stage.served == names.digest(stage.decision()[1].revision.template)  # type: ignore[union-attr]

    stage.change(spec_of(npu=GROUP["npu"], validation=SMOKE))
    stage.settle()
    assert not stage.of("LeaderWorkerSet")
    assert not stage.of("Deployment"), "the group's worker still holds its NPUs, too"
    stage.load()
    assert stage.of("Deployment")[0]["metadata"]["name"] == alone, "as it was recorded"
    assert len(stage.of("Pod")) == 1


def test_what_is_recorded_is_what_is_run() -> None:
    stage = Stage(spec_of(**GROUP))
    stage.settle()
    recorded = stage.of("ControllerRevision")[0]["data"]["template"]
    spec = group(stage)["spec"]["leaderWorkerTemplate"]
    for role, label in (("leader", names.REVISION), ("worker", names.WORKER_OF)):
        template = spec[f"{role}Template"]
        assert template["metadata"]["labels"].pop(label) == names.digest(recorded)
        assert template == recorded[role]
    assert spec["size"] == recorded["size"] == 2


def test_the_budget_is_of_all_pods_of_the_groups() -> None:
    stage = Stage(spec_of(**GROUP, replicas=2))
    stage.prove("smoke")
    (budget,) = stage.of("PodDisruptionBudget")
    workload = group(stage)["metadata"]["name"]
    assert budget["spec"]["selector"]["matchLabels"] == {
        "ascendllm.io/name": "llama",
        "leaderworkerset.sigs.k8s.io/name": workload,
    }


def test_the_key_is_the_leaders_alone() -> None:
    """A worker has no HTTP, so it needs no key."""
    secret = {"apiKeySecret": {"name": "keys", "key": "llama"}}
    stage = Stage(spec_of(**GROUP, service=secret))
    stage.settle()
    spec = group(stage)["spec"]["leaderWorkerTemplate"]
    keys = [
        any("VLLM_API_KEY" in item["name"] for item in template["spec"]["containers"][0]["env"])
        for template in (spec["leaderTemplate"], spec["workerTemplate"])
    ]
    assert keys == [True, False]


def test_what_its_controller_reads_of_the_set_stands_there() -> None:
    noted = {
        "leaderworkerset.sigs.k8s.io/exclusive-topology": "example.com/super-pod",
        "scheduling.volcano.sh/queue-name": "models",
        "example.com/team": "a",
    }
    stage = Stage(spec_of(**GROUP, placement={"annotations": noted}))
    stage.settle()
    item = group(stage)
    assert noted.items() - item["metadata"]["annotations"].items() == {("example.com/team", "a")}
    template = item["spec"]["leaderWorkerTemplate"]["workerTemplate"]
    assert noted.items() <= template["metadata"]["annotations"].items()


def test_hccn_conf_is_mounted_once() -> None:
    """The owner may name it among the driver's files."""
    for paths in ("", "/usr/local/Ascend/driver/,/etc/hccn.conf"):
        settings = SETTINGS.model_copy(
            update={"driver_paths": tuple(filter(None, paths.split(",")))}
        )
        runtime = {"version": "v0.18.0rc1", "driverMounts": "hostPath"}
        stage = Stage(spec_of(**GROUP, runtime=runtime), settings=settings)
        stage.settle()
        template = group(stage)["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]
        mounted = [mount["mountPath"] for mount in template["containers"][0]["volumeMounts"]]
        assert mounted.count("/etc/hccn.conf") == 1
        volumes = [volume["name"] for volume in template["volumes"]]
        assert len(volumes) == len(set(volumes))


@pytest.mark.parametrize(
    "written",
    [
        {"nodes": 2},
        {"engine": {"tensorParallelSize": 16}},
        {"runtime": {"version": "v0.18.0rc1", "shmSize": "128Gi"}},
    ],
)
def test_the_defaults_of_a_group_written_out_are_no_change(written: dict[str, Any]) -> None:
    plain, other = spec_of(**GROUP), spec_of(**GROUP | written)
    assert revision_inputs(plain, "llama") == revision_inputs(other, "llama")


def test_one_node_is_no_part_of_the_inputs() -> None:
    assert revision_inputs(spec_of(nodes=1), "llama") == revision_inputs(spec_of(), "llama")
    smaller = GROUP | {"runtime": {"version": "v0.18.0rc1", "shmSize": "16Gi"}}
    assert revision_inputs(spec_of(**smaller), "llama")["runtime"]["shmSize"] == "16Gi"


REFUSED: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"tensorParallelSize": 8}, "ParallelismMismatch", ["= 8 NPUs", "8 x spec.nodes 2 = 16"]),
    ({"pipelineParallelSize": 3}, "ParallelismMismatch", ["= 15 NPUs"]),
    (
        {"tensorParallelSize": 1, "pipelineParallelSize": 16, "dataParallelSize": 2},
        "ParallelismMismatch",
        ["= 32 NPUs"],
    ),
    ({"args": ["--nnodes=2"]}, "InvalidEngineArgs", ["spec.nodes"]),
    ({"args": ["--headless"]}, "InvalidEngineArgs", ["spec.nodes"]),
    ({"args": ["--data-parallel-rank=1"]}, "InvalidEngineArgs", ["a server of its own"]),
    (
        {"args": ["--distributed-executor-backend=ray"]},
        "InvalidEngineArgs",
        ["spec.nodes is more than 1: remove it"],
    ),
]


@pytest.mark.parametrize(("engine", "reason", "told"), REFUSED)
def test_refused(engine: dict[str, Any], reason: str, told: list[str]) -> None:
    problem = first_problem(Input(spec_of(**GROUP, engine=engine), SETTINGS))
    assert problem is not None
    assert problem.reason == reason
    for part in told:
        assert part in problem.message


def test_a_copy_over_pods_is_alone() -> None:
    four = GROUP | {"nodes": 4}
    for sizes in ({"dataParallelSize": 2}, {"dataParallelSize": 2, "pipelineParallelSize": 2}):
        problem = first_problem(Input(spec_of(**four, engine=sizes), SETTINGS))
        assert problem is not None
        assert "within a pod" in problem.message
        assert "16 NPUs" in problem.message
    for engine in (
        {},
        {"pipelineParallelSize": 4},
        {"dataParallelSize": 4},
        {"dataParallelSize": 8, "pipelineParallelSize": 2},
        {"dataParallelSize": 32},
    ):
        assert first_problem(Input(spec_of(**four, engine=engine), SETTINGS)) is None


def test_an_executor_may_be_chosen_where_one_pod_serves() -> None:
    engine = {"args": ["--distributed-executor-backend=mp"]}
    assert first_problem(Input(spec_of(engine=engine), SETTINGS)) is None


def test_a_cluster_without_the_kind_is_told_what_to_install() -> None:
    absent = frozenset({"LeaderWorkerSet"})
    problem = first_problem(Input(spec_of(**GROUP), SETTINGS, absent=absent))
    assert problem is not None
    assert problem.reason == "LeaderWorkerSetMissing"
    assert "spec.nodes is 2" in problem.message
    assert problem.unwatched, "nobody tells us when it is installed"
    assert first_problem(Input(spec_of(), SETTINGS, absent=absent)) is None


def test_storage_of_one_node_is_refused() -> None:
    cache = {"size": "1Ti", "accessMode": "ReadWriteOnce"}
    model = {"source": {"huggingFace": {"repo": "org/model"}}, "cache": cache}
    spec_of(**GROUP | {"nodes": 1}, model=model)
    with pytest.raises(ValidationError, match="leave accessMode out"):
        spec_of(**GROUP, model=model)
