"""Device plugins: what a resource's name, the nodes and the scheduler make of the pods."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.api.npu import Npu
from ascendllm.api.placement import Placement
from ascendllm.decide.policies import Input, first_problem
from ascendllm.decide.resolving import resolve
from ascendllm.desired.devices import host_files
from ascendllm.desired.part import Part, put_together
from ascendllm.desired.template import pod_template
from ascendllm.engine.chips import generation_of, memory_of
from ascendllm.engine.worlds import world_of
from ascendllm.exceptions import SpecError
from ascendllm.status.scene import Scene
from ascendllm.status.situations import conditions_of
from unit.core.stage import SETTINGS, Stage, node, spec_of

CHIP = "node.kubernetes.io/npu.chip.name"
VOLCANO = {"schedulerName": "volcano"}
SLICED = {"resources": {"limits": {"huawei.com/Ascend910B3-memory": "28672"}}}
SOFT = {
    "resources": {
        "limits": {
            "huawei.com/Ascend910B3-memory": "28672",
            "huawei.com/Ascend910B3-core": "40",
        }
    }
}
B3 = {"resource": "huawei.com/Ascend910B3"}


def labelled(name: str, resource: str = "huawei.com/Ascend910", **labels: str) -> dict[str, Any]:
    """A node with labels, whose names are given with _ for -, and `chip` and `memory` for short."""
    short = {"chip": CHIP, "memory": "mind-cluster/npu-chip-memory"}
    return {
        "metadata": {
            "name": name,
            "labels": {short.get(k, k.replace("_", "-")): v for k, v in labels.items()},
        },
        "status": {"capacity": {resource: "8"}},
    }


def template(nodes: tuple[Any, ...] = (), **fields: Any) -> dict[str, Any]:
    spec = spec_of(**fields)
    return pod_template(Stage().owner, spec, resolve(spec, SETTINGS, nodes))


@pytest.mark.parametrize(
    ("resource", "family", "generation", "memory"),
    [
        ("huawei.com/Ascend910", "MindCluster", None, None),
        ("huawei.com/Ascend310P-VPro", "MindCluster", "310P", None),
        ("huawei.com/Ascend910-12c.3cpu.32g", "MindCluster", None, "32Gi"),
        ("huawei.com/Ascend910-10c.4cpu.16g.dvpp", "MindCluster", None, "16Gi"),
        ("huawei.com/Ascend310P-4c.3cpu.ndvpp", "MindCluster", "310P", None),
        ("huawei.com/Ascend310P-2c", "MindCluster", "310P", None),
        ("huawei.com/ascend-1980", "CCE", None, None),
        ("huawei.com/Ascend910B4", "HAMi", "A2", "32Gi"),
        ("huawei.com/Ascend910B4-1", "HAMi", "A2", "64Gi"),
        ("huawei.com/Ascend910C", "HAMi", "A3", "64Gi"),
        ("example.test/Ascend910", "other", None, None),
        ("huawei.com/Ascend910-zebra", "other", None, None),
    ],
)
def test_what_a_name_tells(
    resource: str, family: str, generation: str | None, memory: str | None
) -> None:
    world = world_of(Npu(resource=resource), Placement())
    assert (world.family, world.generation, world.memory) == (family, generation, memory)
    assert not world.unserved


def test_310p_is_hamis_where_a_slice_is_asked_for() -> None:
    npu = {"resource": "huawei.com/Ascend310P"}
    limits = {"huawei.com/Ascend310P-memory": "6144"}
    assert "runtimeClassName" not in template(npu=npu)["spec"]
    sliced = template(npu=npu, placement={"resources": {"limits": limits}})
    assert sliced["spec"]["runtimeClassName"] == "ascend"
    assert "annotations" not in sliced["metadata"], "memory alone is a template"


@pytest.mark.parametrize(
    ("labels", "generation"),
    [
        ({"chip": "910B2C"}, "A2"),
        ({"chip": "A2G1"}, "A2"),
        ({"chip": "I2"}, "310P"),
        ({"accelerator_type": "module-910b-16"}, "A2"),
        ({"accelerator_type": "card-910b-infer"}, "A2"),
        ({"accelerator_type": "module-a3-16-super-pod"}, "A3"),
        ({"accelerator_type": "module"}, None),
        ({"servertype": "Ascend910B-20"}, "A2"),
        ({"servertype": "Ascend910A3-24"}, "A3"),
        ({"servertype": "Ascend310P-8"}, "310P"),
        ({"servertype": "Ascend910-32"}, None),
        ({"accelerator": "huawei-Ascend310P"}, "310P"),
        ({"accelerator": "huawei-Ascend910"}, None),
        ({"chip": "910A", "accelerator_type": "module-910b-8"}, None),
        ({"chip": "910B1", "accelerator_type": "module-a3-16"}, "A2"),
    ],
)
def test_the_labels_are_asked_in_the_order_of_trust(
    labels: dict[str, str], generation: str | None
) -> None:
    assert generation_of(labelled("n", **labels)["metadata"]["labels"]) == generation


@pytest.mark.parametrize(
    ("text", "memory"), [("64G", 64), ("32GB", 32), ("0G", None), ("64", None), ("much", None)]
)
def test_memory_as_the_plugin_writes_it(text: str, memory: int | None) -> None:
    assert memory_of({"mind-cluster/npu-chip-memory": text}) == memory


def test_only_nodes_that_are_asked_for_count() -> None:
    nodes = [
        labelled("a", chip="910B4", memory="32G", zone="x"),
        labelled("b", chip="910B3", memory="64G", zone="x"),
        labelled("c", chip="Ascend910", memory="64G", zone="y"),
        labelled("d", "gpu", chip="310P3", zone="x"),
    ]
    found = resolve(spec_of(npu={}, placement={"nodeSelector": {"zone": "x"}}), SETTINGS, nodes)
    assert found["generation"] == "A2"
    assert found["memory"] == "32Gi", "the least of them"
    assert "chip" not in found, "they differ"
    with pytest.raises(SpecError, match=r"A2: a, b; A3: c.*spec\.placement\.nodeSelector") as mixed:
        resolve(spec_of(npu={}), SETTINGS, nodes)
    assert mixed.value.reason == "AmbiguousGeneration"


def test_a_told_generation_takes_its_own_nodes_figures() -> None:
    nodes = [
        labelled("a", chip="910B3", memory="64G"),
        labelled("b", chip="Ascend910", memory="32G"),
    ]
    found = resolve(spec_of(npu={"generation": "A2"}), SETTINGS, nodes)
    assert (found["chip"], found["memory"]) == ("910B3", "64Gi")


def test_a_generation_that_no_node_has() -> None:
    with pytest.raises(SpecError, match=r"generation A3 .* have A2 \(n\)") as problem:
        resolve(spec_of(npu={"generation": "A3"}), SETTINGS, [labelled("n", chip="910B3")])
    assert problem.value.reason == "GenerationMismatch"
    resolve(spec_of(npu={"generation": "A3"}), SETTINGS, [labelled("n")])


def test_an_own_image_on_a_mixed_cluster_is_told_what_to_set() -> None:
    fields: dict[str, Any] = {"npu": {}, "runtime": {"image": "x:1"}}
    nodes = [labelled("a", chip="910B3"), labelled("b", chip="Ascend910")]
    with pytest.raises(SpecError, match=r"set spec\.npu\.generation"):
        resolve(spec_of(**fields), SETTINGS, nodes)
    assert resolve(spec_of(**fields), SETTINGS, nodes[:1]) == {
        "generation": "A2",
        "chip": "910B3",
        "image": "x:1",
    }
    assert resolve(spec_of(**fields), SETTINGS, [labelled("c")]) == {"image": "x:1"}


def test_other_nodes_are_looked_at_anew_with_the_version_that_stands() -> None:
    plain: dict[str, Any] = {"npu": {}, "runtime": None, "validation": None}
    nodes = (labelled("a", chip="910B3", zone="x"), labelled("b", chip="Ascend910", zone="y"))
    stage = Stage(spec_of(**plain, placement={"nodeSelector": {"zone": "x"}}), nodes=nodes)
    stage.load()
    assert stage.status["runtime"]["generation"] == "A2"
    stage.settings = SETTINGS.model_copy(update={"runtime_version": "v9"})
    stage.change(spec_of(**plain, placement={"nodeSelector": {"zone": "y"}}))
    stage.load()
    runtime = stage.status["runtime"]
    assert runtime["image"] == "registry.test/vllm-ascend:v0.18.0rc1-a3"
    assert (runtime["version"], runtime["variant"], runtime["chip"]) == (
        "v0.18.0rc1",
        "a3",
        "Ascend910",
    )


def test_what_was_resolved_outlives_the_nodes_labels() -> None:
    plain: dict[str, Any] = {"npu": {}, "runtime": None, "validation": None}
    stage = Stage(spec_of(**plain), nodes=(labelled("a", chip="910B3", memory="64G"),))
    stage.load()
    before = stage.of("Deployment")
    stage.nodes = (labelled("a", chip="Ascend910"),)
    assert not stage.step()
    assert stage.of("Deployment") == before
    stage.change(spec_of(**plain, engine={"maxModelLen": 4096}))
    stage.load()
    assert stage.status["runtime"]["memory"] == "64Gi"


def test_the_memory_of_a_slice() -> None:
    def memory(placement: dict[str, Any]) -> str:
        return str(resolve(spec_of(npu=B3, placement=placement), SETTINGS, ())["memory"])

    assert memory({}) == "64Gi"
    assert memory(SLICED) == "28672Mi", "a template is an NPU of its own"
    assert memory(SOFT) == "64Gi", "memoryUtilization is of the whole"

    plain: dict[str, Any] = {"npu": B3, "runtime": None, "validation": None}
    stage = Stage(spec_of(**plain, placement=SLICED))
    stage.load()
    stage.change(spec_of(**plain))
    stage.load()
    assert stage.status["runtime"]["memory"] == "64Gi", "another slice is another memory"


def test_a_taint_of_the_cards_is_tolerated() -> None:
    def keys(**npu: Any) -> list[str]:
        return [t["key"] for t in template(npu={"generation": "A2", **npu})["spec"]["tolerations"]]

    assert keys() == ["huawei.com/Ascend910"]
    assert keys(resource="huawei.com/Ascend910-6c.1cpu.16g") == ["huawei.com/Ascend910"]
    assert keys(resource="example.test/npu") == ["example.test/npu"]
    own = {"key": "huawei.com/Ascend910", "operator": "Exists", "effect": "NoSchedule"}
    assert template(placement={"tolerations": [own]})["spec"]["tolerations"] == [own]


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def test_the_users_affinity_stays_beside_ours() -> None:
    terms = [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]},
        {},
    ]
    asked = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}, "podAffinity": {}}
    affinity = template(placement={"affinity": asked})["spec"]["affinity"]
    first, second, nothing = affinity["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert [e["key"] for e in first["matchExpressions"]] == ["zone", CHIP]
    assert [e["key"] for e in second["matchExpressions"]] == [CHIP]
    assert second["matchFields"] == terms[1]["matchFields"]
    assert nothing == {}, "it fits no node, and must not begin to"
    assert "910B3" in first["matchExpressions"][1]["values"], "the tests' spec is of A3"


def test_names_that_tell_the_generation_keep_nothing_off() -> None:
    assert "affinity" not in template(npu=B3)["spec"]
    assert "affinity" not in template(npu={"resource": "huawei.com/Ascend310P"})["spec"]


def test_parts_put_together_say_where() -> None:
    one = Part(node_selector={"a": "1", "b": "1"}, tolerations=[{"key": "x"}])
    other = Part(node_selector={"b": "2"}, tolerations=[{"key": "y"}, {"key": "x"}])
    spec = put_together("c", (one, other))["spec"]
    assert spec["nodeSelector"] == {"a": "1", "b": "2"}
    assert spec["tolerations"] == [{"key": "x"}, {"key": "y"}]


def test_the_drivers_files_are_the_operators_owners() -> None:
    def paths(mounts: str, **settings: str) -> dict[str, str]:
        given = SETTINGS.model_validate({**SETTINGS.model_dump(by_alias=True), **settings})
        stage = Stage(spec_of(runtime={"driverMounts": mounts}, validation=None), settings=given)
        stage.settle()
        (deployment,) = stage.of("Deployment")
        volumes = deployment["spec"]["template"]["spec"]["volumes"]
        found = [v["hostPath"] for v in volumes if v["name"].startswith("driver")]
        return {item["path"]: item["type"] for item in found}

    assert paths("auto") == paths("runtime") == {}
    assert paths("hostPath") == {
        "/usr/local/Ascend/driver": "Directory",
        "/usr/local/dcmi": "Directory",
        "/usr/local/bin/npu-smi": "File",
    }
    assert paths("hostPath", driverPaths="/opt/driver/, /usr/local/sbin/npu-smi") == {
        "/opt/driver": "Directory",
        "/usr/local/sbin/npu-smi": "File",
    }


def test_host_files_are_mounted_read_only_where_they_are() -> None:
    volumes, mounts = host_files("net", ("/etc/hccn.conf", "/opt/a/"))
    assert [v["hostPath"]["type"] for v in volumes] == ["File", "Directory"]
    assert mounts == [
        {"name": "net-0", "mountPath": "/etc/hccn.conf", "readOnly": True},
        {"name": "net-1", "mountPath": "/opt/a", "readOnly": True},
    ]


def volcano(
    *nodes: dict[str, Any], count: int = 2, **fields: Any
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Labels, annotations and nodeSelector that a pod has for Volcano."""
    fields = {"npu": {"count": count}, "placement": VOLCANO, **fields}
    made = template(nodes, **fields)
    labels = {k: v for k, v in made["metadata"]["labels"].items() if "ascendllm" not in k + v}
    return labels, made["metadata"].get("annotations", {}), made["spec"].get("nodeSelector", {})


POLICY = "huawei.com/schedule_policy"


@pytest.mark.parametrize(
    ("chip", "server", "policy"),
    [
        ("910B3", "module-910b-8", "chip8-node8"),
        ("910B3", "module-910b-16", "chip8-node16"),
        ("910B4", "card-910b-infer", "chip1-node2"),
        ("910B3", None, "chip8-node8"),
        ("Ascend910", "module-a3-16", "chip2-node16"),
        ("Ascend910", "module-a3-16-super-pod", "chip2-node16"),
        ("Ascend910", "module-a3-8-super-pod", "chip2-node8"),
        ("Ascend910", None, "chip2-node16"),
        ("Ascend910", "of-the-house", "chip2-node16"),
    ],
)
def test_volcano_is_told_how_the_cards_hang_together(
    chip: str, server: str | None, policy: str
) -> None:
    kind = {"accelerator_type": server} if server is not None else {}
    labels, annotations, selector = volcano(labelled("n", chip=chip, **kind))
    assert annotations == {POLICY: policy, "huawei.com/recover_policy_path": "pod"}
    assert selector == ({"accelerator-type": server} if server is not None else {})
    assert (labels["fault-scheduling"], labels["pod-rescheduling"]) == ("grace", "on")


def test_servers_that_volcano_schedules_differently() -> None:
    nodes = (
        labelled("a", chip="910B3", accelerator_type="module-910b-8"),
        labelled("b", chip="910B3", accelerator_type="module-910b-16"),
    )
    with pytest.raises(SpecError, match=r"set accelerator-type in spec\.placement") as problem:
        volcano(*nodes)
    assert problem.value.reason == "AmbiguousServers"
    one = {**VOLCANO, "nodeSelector": {"accelerator-type": "module-910b-16"}}
    assert volcano(*nodes, placement=one)[1][POLICY] == "chip8-node16"
    own = {**VOLCANO, "annotations": {POLICY: "multilevel"}}
    assert volcano(*nodes, placement=own)[1][POLICY] == "multilevel"


def test_what_the_user_says_to_volcano_stands() -> None:
    labels, _, _ = volcano(
        labelled("n", chip="910B3"), placement={**VOLCANO, "labels": {"fault-scheduling": "off"}}
    )
    assert labels["fault-scheduling"] == "off"


def test_only_volcano_on_whole_cards_of_mindcluster_gets_its_annotation() -> None:
    def named(**fields: Any) -> bool:
        (container,) = template(**fields)["spec"]["containers"]
        return any("VISIBLE" in item["name"] for item in container.get("env", []))

    assert named(placement=VOLCANO)
    assert named(placement=VOLCANO, npu={"resource": "huawei.com/Ascend310P"})
    assert not named(placement={"schedulerName": "default-scheduler"})
    vnpu = {"resource": "huawei.com/Ascend910-6c.1cpu.16g", "generation": "A2"}
    assert not named(placement=VOLCANO, npu=vnpu)
    cce = {"resource": "huawei.com/ascend-1980", "generation": "A3"}
    assert not named(placement=VOLCANO, npu=cce)
    assert not named(placement=VOLCANO, npu=B3)


def refused(**fields: Any) -> SpecError | None:
    """What a resource with these fields is refused for, by policies or on the way."""
    stage = Stage(spec_of(**fields), nodes=(node("n", "Ascend910"),))
    return stage.decision()[1].problem


@pytest.mark.parametrize(
    ("count", "replicas", "told"),
    [
        (3, 1, "1, 2, 4, 6, 8, 10, 12, 14, 16"),
        (18, 1, "take one of these"),
        (1, 2, "set npu.count to 2, or spec.replicas to 1"),
        (1, 1, None),
        (16, 4, None),
    ],
)
def test_counts_that_volcano_leaves_pending(count: int, replicas: int, told: str | None) -> None:
    problem = refused(npu={"count": count}, placement=VOLCANO, replicas=replicas)
    if told is None:
        assert problem is None
    else:
        assert problem is not None
        assert problem.reason == "InvalidNpuCount"
        assert told in problem.message
    assert refused(npu={"count": count}, replicas=replicas) is None, "other schedulers don't mind"


REFUSED: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"npu": {"resource": "huawei.com/Ascend310"}}, "UnsupportedChip", ["Ascend 310", "A2, A3"]),
    ({"npu": {"resource": "huawei.com/Ascend910A"}}, "UnsupportedChip", ["910A"]),
    ({"npu": {"resource": "huawei.com/Ascend910-2c"}}, "UnsupportedChip", ["910A"]),
    ({"npu": {"resource": "huawei.com/npu-core"}}, "UnsupportedChip", ["dynamic vNPUs"]),
    (
        {"npu": {"generation": "A2"}, "runtime": {"variant": "a3"}},
        "GenerationMismatch",
        ["spec.npu.generation says A2", "spec.runtime.variant says A3"],
    ),
    (
        {"npu": {**B3, "generation": "A3"}},
        "GenerationMismatch",
        ["huawei.com/Ascend910B3 says A2", "leave generation and variant at auto"],
    ),
    (
        {"npu": {"resource": "huawei.com/Ascend910-6c.1cpu.16g", "generation": "A2", "count": 2}},
        "InvalidNpuCount",
        ["one static vNPU", "set both to 1"],
    ),
    (
        {"npu": {"resource": "huawei.com/Ascend910C", "count": 3}},
        "InvalidNpuCount",
        ["modules of two", "even number"],
    ),
    (
        {"placement": {"resources": {"limits": {"huawei.com/Ascend910-memory": "1024"}}}},
        "InvalidSlice",
        ["only HAMi", "MindCluster's", "huawei.com/Ascend910-memory"],
    ),
    (
        {
            "npu": B3,
            "placement": {"resources": {"limits": {"huawei.com/Ascend910B3-memory": "16Gi"}}},
        },
        "InvalidSlice",
        ["plain MiB", "16384"],
    ),
    (
        {
            "npu": B3,
            "placement": {"resources": {"requests": {"huawei.com/Ascend910B3-core": "101"}}},
        },
        "InvalidSlice",
        ["percent", "at most 100"],
    ),
    ({"npu": {**B3, "count": 2}, "placement": SLICED}, "InvalidSlice", ["one NPU a pod"]),
    (
        {
            "npu": B3,
            "placement": {"resources": {"limits": {"huawei.com/Ascend910B3-memory": "65537"}}},
        },
        "InvalidSlice",
        ["has 65536 MiB", "lower it"],
    ),
    ({"npu": B3, "placement": SOFT}, "InvalidSlice", ["memoryUtilization 0.9", "at most 0.43"]),
    (
        {"npu": {**B3, "count": 2}, "placement": SOFT},
        "InvalidSlice",
        ["of 131072 MiB", "at most 0.21"],
    ),
    (
        {
            "npu": B3,
            "placement": SOFT,
            "engine": {"memoryUtilization": 0.4, "enforceEager": False},
        },
        "InvalidSlice",
        ["enforceEager false", "remove it"],
    ),
    (
        {"npu": {"resource": "huawei.com/npu"}, "placement": VOLCANO},
        "InvalidPlacement",
        [POLICY, "spec.placement.annotations"],
    ),
]


@pytest.mark.parametrize(("fields", "reason", "told"), REFUSED)
def test_refused(fields: dict[str, Any], reason: str, told: list[str]) -> None:
    problem = first_problem(Input(spec_of(**{"runtime": None, **fields}), SETTINGS, "llama"))
    assert problem is not None
    assert problem.reason == reason
    for part in told:
        assert part in problem.message


@pytest.mark.parametrize(
    "fields",
    [
        {"npu": B3, "placement": SLICED},
        {"npu": B3, "placement": SOFT, "engine": {"memoryUtilization": 0.43}},
        {
            "npu": {**B3, "count": 2},
            "placement": {**SLICED, "annotations": {"huawei.com/vnpu-mode": "hami-core"}},
            "engine": {"memoryUtilization": 0.2, "enforceEager": True},
        },
        {"npu": {"resource": "example.test/npu", "count": 4}},
        {
            "npu": {"resource": "example.test/npu"},
            "placement": {"resources": {"limits": {"example.test/npu-memory": "8192"}}},
        },
        {"runtime": {"variant": "a2"}, "npu": {"generation": "A2"}},
        {
            "npu": {"resource": "huawei.com/npu", "count": 8},
            "placement": {**VOLCANO, "annotations": {POLICY: "chip4-node8"}},
        },
    ],
)
def test_acted_on(fields: dict[str, Any]) -> None:
    assert first_problem(Input(spec_of(**fields), SETTINGS)) is None


def test_a_soft_slice_captures_no_graphs() -> None:
    def arguments(**engine: Any) -> list[str]:
        (container,) = template(npu=B3, placement=SOFT, engine=engine)["spec"]["containers"]
        return list(container["args"])

    assert "--enforce-eager" in arguments()
    assert arguments(enforceEager=True).count("--enforce-eager") == 1
    whole = template(npu=B3, placement=SLICED)["spec"]["containers"][0]["args"]
    assert "--enforce-eager" not in whole, "a template is an NPU of its own"


def test_the_users_runtime_class_stands() -> None:
    assert template(npu=B3)["spec"]["runtimeClassName"] == "ascend"
    own = template(npu=B3, placement={"runtimeClassName": "mine"})
    assert own["spec"]["runtimeClassName"] == "mine"


def test_pods_that_the_api_server_refuses_are_told_of() -> None:
    stage = Stage(spec_of(npu=B3, validation=None))
    stage.settle()
    (deployment,) = stage.of("Deployment")
    why = 'pods "llama-1" is forbidden: pod rejected: RuntimeClass "ascend" not found'
    failure = {"type": "ReplicaFailure", "status": "True", "message": why}
    deployment["status"] = {"conditions": [failure]}
    observed, decision = stage.decision()
    told = conditions_of(Scene(stage.spec, observed, decision))
    (ready,) = [each for each in told if each.type == "Ready"]
    assert ready.reason == "PodsRefused"
    assert why.replace('"', "'") in ready.message
    stage.objects["Deployment", deployment["metadata"]["name"]]["status"] = {
        "conditions": [{**failure, "status": "False"}]
    }
    assert stage.decision()[1].rollout is not None
    assert stage.decision()[1].rollout.stage.reason == "Creating"  # type: ignore[union-attr]
