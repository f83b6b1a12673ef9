"""Which revision is the spec's, and what its identity holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ascendllm.decide.needs import NodesNeeded
from ascendllm.decide.resolving import resolve
from ascendllm.desired import names
from ascendllm.desired.revision import controller_revision, revision_inputs
from ascendllm.desired.template import pod_template
from ascendllm.exceptions import SpecError
from unit.core.stage import SETTINGS, Stage, node, spec_of

SMOKE = {"smoke": {}}
OTHER = SETTINGS.model_copy(update={"runtime_version": "v9", "runtime_repository": "elsewhere/x"})
ARGUMENTS: dict[str, Any] = {"validation": SMOKE, "runtime": None}


def image(stage: Stage) -> str:
    (deployment,) = stage.of("Deployment")
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.mark.parametrize(
    "written",
    [
        {"engine": {"memoryUtilization": 0.9}},
        {"engine": {"tensorParallelSize": 1, "pipelineParallelSize": 1, "trustRemoteCode": False}},
        {"model": {"source": {"hostPath": "/opt/atomgit/llama"}, "servedName": "llama"}},
        {"model": {"source": {"hostPath": "/opt/atomgit/llama"}, "kind": "instruct"}},
        {"npu": {"generation": "A3", "count": 1, "resource": "huawei.com/Ascend910"}},
        {"runtime": {"version": "v0.18.0rc1", "variant": "auto", "shmSize": "16Gi"}},
        {"runtime": {"version": "v0.18.0rc1", "driverMounts": "auto"}, "placement": {}},
        {"replicas": 7, "suspend": True, "rollout": {"gate": False}, "service": {"port": 80}},
    ],
)
def test_what_is_no_part_of_the_inputs(written: dict[str, Any]) -> None:
    plain = spec_of(validation=SMOKE)
    assert revision_inputs(spec_of(validation=SMOKE, **written), "llama") == revision_inputs(
        plain, "llama"
    )


@pytest.mark.parametrize(
    "written",
    [
        {"engine": {"memoryUtilization": 0.8}},
        {"engine": {"additionalConfig": {"a": None}}},
        {"engine": {"args": ["--block-size=128"]}},
        {"model": {"source": {"hostPath": "/opt/atomgit/llama"}, "servedName": "other"}},
        {"npu": {"generation": "A2"}},
        {"npu": {"generation": "A3", "count": 2}},
        {"runtime": {"version": "v0.18.0rc1", "env": {"A": "1"}}},
        {"runtime": {"version": "v0.18.0rc1", "imagePullPolicy": "Always"}},
        {"runtime": {"version": "v0.18.0rc1", "driverMounts": "hostPath"}},
        {"placement": {"schedulerName": "volcano"}},
        {"placement": {"resources": {"requests": {"cpu": "8"}}}},
    ],
)
def test_what_is_part_of_the_inputs(written: dict[str, Any]) -> None:
    assert revision_inputs(spec_of(**written), "llama") != revision_inputs(spec_of(), "llama")


def test_a_revision_is_named_after_its_template_and_nothing_else() -> None:
    one, other = Stage(), Stage(spec_of(replicas=3, validation=None, rollout={"gate": False}))
    one.settle()
    other.settle()
    assert (
        one.of("ControllerRevision")[0]["metadata"] == other.of("ControllerRevision")[0]["metadata"]
    )
    template = one.of("ControllerRevision")[0]["data"]["template"]
    assert names.REVISION not in template["metadata"]["labels"]
    assert one.of("ControllerRevision")[0]["metadata"]["name"] == f"llama-{names.digest(template)}"


def test_an_unset_version_outlives_another_operator() -> None:
    stage = Stage(spec_of(**ARGUMENTS))
    stage.prove("smoke")
    stage.settings = OTHER
    assert not stage.step()

    stage.change(spec_of(**ARGUMENTS, engine={"maxModelLen": 1}))
    stage.load()
    assert image(stage) == "registry.test/vllm-ascend:v0.18.0rc1-a3", "carried over"
    stage.change(spec_of(validation=SMOKE, runtime={"env": {"A": "1"}}))
    stage.load()
    assert image(stage) == "elsewhere/x:v9-a3"


def test_what_an_older_operator_recorded_serves_on() -> None:
    """It kept no pods off other chips, tolerated no taint, and knew no memory."""
    stage = Stage(spec_of(**ARGUMENTS))
    template = pod_template(stage.owner, stage.spec, {"image": "registry.test/vllm-ascend:v1"})
    for field in ("affinity", "tolerations"):
        template["spec"].pop(field, None)
    record = controller_revision(
        stage.owner,
        inputs=revision_inputs(stage.spec, "llama"),
        resolved={"image": "registry.test/vllm-ascend:v1", "version": "v1", "variant": "a3"},
        template=template,
        number=1,
    )
    stage.objects["ControllerRevision", record["metadata"]["name"]] = record
    stage.load()
    assert image(stage) == "registry.test/vllm-ascend:v1"
    (deployment,) = stage.of("Deployment")
    assert deployment["metadata"]["name"] == record["metadata"]["name"]
    assert stage.of("ControllerRevision") == [record]
    assert stage.status["runtime"]["variant"] == "a3"

    stage.change(spec_of(**ARGUMENTS, engine={"maxModelLen": 1}))
    stage.load()
    assert image(stage) == "registry.test/vllm-ascend:v1", "carried over, without what is unknown"


def test_going_back_uses_the_record_whatever_would_be_rendered_now() -> None:
    stage = Stage(spec_of(**ARGUMENTS))
    stage.prove("smoke")
    first = stage.served
    stage.change(spec_of(validation=SMOKE, runtime={"version": "v1"}))
    stage.prove("smoke")
    stage.settings = OTHER
    stage.change(spec_of(**ARGUMENTS))
    stage.load()
    assert stage.served == first
    numbers = {
        item["metadata"]["labels"][names.REVISION]: item["revision"]
        for item in stage.of("ControllerRevision")
    }
    assert numbers[first] == max(numbers.values()) == 3


def test_other_words_for_the_same_pods_are_the_same_revision() -> None:
    stage = Stage(spec_of(validation=SMOKE, runtime={"version": "v1"}))
    stage.prove("smoke")
    before = stage.of("ControllerRevision")
    stage.change(spec_of(validation=SMOKE, runtime={"version": "v1", "variant": "a3"}))
    assert not stage.step()
    assert stage.of("ControllerRevision") == before


def test_the_order_of_keys_is_no_change() -> None:
    env = {"B": "2", "A": "1"}
    config = {"y": {"b": 1, "a": 2}, "x": 3}
    stage = Stage(
        spec_of(runtime={"version": "v1", "env": env}, engine={"additionalConfig": config})
    )
    stage.settle()
    turned = dict(reversed(env.items())), {"x": 3, "y": {"a": 2, "b": 1}}
    stage.change(
        spec_of(runtime={"env": turned[0], "version": "v1"}, engine={"additionalConfig": turned[1]})
    )
    assert not stage.step()


@pytest.mark.parametrize(
    ("chips", "told"),
    [
        ([], "no node offers"),
        ([None, None], "or label the nodes"),
        (["910A"], "or label the nodes"),
        (["Ascend910", "910B4"], "several generations"),
    ],
)
def test_a_generation_that_the_nodes_do_not_tell(chips: list[str | None], told: str) -> None:
    nodes = [node(f"n{number}", chip) for number, chip in enumerate(chips)]
    with pytest.raises(SpecError, match=told) as problem:
        resolve(spec_of(npu={}), SETTINGS, nodes)
    assert problem.value.reason == "AmbiguousGeneration"
    assert "spec.npu.generation" in problem.value.message


@pytest.mark.parametrize(
    ("chip", "tag"),
    [
        ("Ascend910", "v0.18.0rc1-a3"),
        ("Ascend910C", "v0.18.0rc1-a3"),
        ("910B1", "v0.18.0rc1"),
        ("Ascend910B4", "v0.18.0rc1"),
        ("310P3", "v0.18.0rc1-310p"),
    ],
)
def test_the_image_follows_the_chip(chip: str, tag: str) -> None:
    nodes = [node("n", chip), node("without", None, cpu="4"), node("other", "910B1", gpu="1")]
    resolved = resolve(spec_of(npu={}, runtime=None), SETTINGS, nodes)
    assert resolved["image"] == f"registry.test/vllm-ascend:{tag}"


@pytest.mark.parametrize(
    "fields",
    [
        {"npu": {"generation": "A2"}},
        {"npu": {}, "runtime": {"variant": "a3"}},
        {"npu": {}, "runtime": {"image": "x:1"}},
        {"npu": {"resource": "huawei.com/Ascend310P"}},
        {"npu": {"resource": "huawei.com/Ascend910B3"}},
    ],
)
def test_what_the_spec_tells_needs_no_node(fields: dict[str, Any]) -> None:
    resolve(spec_of(**fields), SETTINGS, ())


@pytest.mark.parametrize("npu", [{}, {"generation": "A2"}, {"resource": "huawei.com/Ascend310P"}])
def test_the_nodes_are_asked_for_what_no_name_tells(npu: dict[str, Any]) -> None:
    with pytest.raises(NodesNeeded):
        resolve(spec_of(npu=npu), SETTINGS, None)
    resolve(spec_of(npu={"resource": "huawei.com/Ascend910B3"}), SETTINGS, None)


def test_what_a_profile_filled_in_stays_as_it_was_recorded() -> None:
    spec = spec_of(**ARGUMENTS, engine={"profile": "latency"})
    new = Stage(spec)
    new.settle()
    (record,) = new.of("ControllerRevision")
    template = record["data"]["template"]
    assert "--max-num-seqs=8" in template["spec"]["containers"][0]["args"]

    # An operator whose profile had other figures made this one.
    text = json.dumps(template).replace("--max-num-seqs=8", "--max-num-seqs=4")
    record["data"]["template"] = json.loads(text)
    revision = names.digest(record["data"]["template"])
    record["metadata"]["name"] = names.child("llama", revision)
    record["metadata"]["labels"][names.REVISION] = revision
    stage = Stage(spec)
    stage.objects["ControllerRevision", record["metadata"]["name"]] = record
    stage.load()
    (workload,) = stage.of("Deployment")
    assert "--max-num-seqs=4" in workload["spec"]["template"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize(
    "engine",
    [
        {"profile": "balanced"},
        {"config": {"max-num-seqs": 8}},
        {"loras": [{"name": "a", "source": {"hostPath": "/opt/atomgit/a"}}]},
    ],
)
def test_each_of_these_makes_a_revision_and_its_absence_another(engine: dict[str, Any]) -> None:
    stage = Stage(spec_of(**ARGUMENTS))
    stage.prove("smoke")
    stage.change(spec_of(**ARGUMENTS, engine=engine))
    stage.prove("smoke")
    assert len(stage.of("ControllerRevision")) == 2
    stage.change(spec_of(**ARGUMENTS))
    stage.settle()
    assert len(stage.of("ControllerRevision")) == 2


def test_the_order_of_a_config_is_no_change() -> None:
    config = {"b-option": 1, "async-scheduling": True}
    inputs = revision_inputs(spec_of(engine={"config": config}), "llama")
    turned = dict(reversed(config.items()))
    assert revision_inputs(spec_of(engine={"config": turned}), "llama") == inputs
