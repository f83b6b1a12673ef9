"""What the API server itself refuses, and how it says so; and what it lets pass unchanged."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

from ascendllm.api.spec import Spec
from ascendllm.exceptions import ClusterError
from cluster.control_plane import ControlPlane
from cluster.errors import ClusterError as KubectlError
from integration.admin import Admin
from integration.conftest import REPOSITORY
from integration.world import World, resource
from unit.core import check_rules, edge_rules, placement_rules, source_rules

DATA = {"pvc": {"claimName": "mmlu"}}
BASELINE = {"value": 66.7, "average": "macro"}
REMOVED = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """The tests' resource with one field of its spec set, such as `engine.args`."""
    item = resource()
    item["metadata"]["namespace"] = "default"
    node = item["spec"]
    *parents, last = path.split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
    if value is REMOVED:
        node.pop(last)
    else:
        node[last] = value
    return item


async def refusal(admin: Admin, item: dict[str, Any]) -> str:
    with pytest.raises(ClusterError) as refused:
        await admin.post(item, dry_run=True)
    assert refused.value.status in (400, 422), refused.value
    return refused.value.message


RULES: list[tuple[str, Any, str]] = [
    ("validation", {}, "ask for at least one check"),
    ("validation", {"smoke": None}, "ask for at least one check"),
    ("validation.bench", {"requests": 3}, "requests must be at least concurrency"),
    ("model.source", {"hostPath": "/a/../etc"}, "must not contain '..'"),
    ("model.source", {"hostPath": "/.."}, "must not contain '..'"),
    ("model.source", {"pvc": {"claimName": "a", "path": "b/../.."}}, "must not contain '..'"),
    ("validation.mmlu.data", {}, "give exactly one place: pvc, image, hostPath or s3"),
    ("validation.mmlu.data", {**DATA, "image": "a"}, "give exactly one place"),
    (
        "engine.loras",
        [{"name": "a", "source": DATA}, {"name": "a", "source": DATA}],
        "each adapter's name may stand here once",
    ),
    ("runtime.env", {"1A": "x"}, "names are letters, digits and '_'"),
    ("runtime.env", {"A B": "x"}, "names are letters, digits and '_'"),
    ("runtime.env", {"A" * 129: "x"}, "at most 128 characters"),
    ("runtime.env", {"ASCEND_VISIBLE_DEVICES": "0"}, "remove them and set npu.count"),
    ("runtime.env", {"ASCEND_RT_VISIBLE_DEVICES": "0"}, "remove them and set npu.count"),
    ("rollout.progressDeadline", "9s", "must be from 10s to 168h"),
    ("rollout.progressDeadline", "169h", "must be from 10s to 168h"),
    ("rollout.progressDeadline", "99999h", "must be from 10s to 168h"),
    ("validation.timeout", "1s", "must be from 10s to 168h, such as 30m or 1h30m"),
    *edge_rules.RULES,
    *source_rules.RULES,
    *((f"placement.{path}", value, told) for path, value, told in placement_rules.RULES),
    *((f"validation.{path}", value, told) for path, value, told in check_rules.RULES),
]


@pytest.mark.parametrize(("path", "value", "told"), RULES, ids=[f"{r[0]}={r[1]}" for r in RULES])
async def test_a_rule_says_what_to_do(admin: Admin, path: str, value: Any, told: str) -> None:
    message = await refusal(admin, changed(path, value))
    assert told in message
    assert path.split(".")[-1] in message


BOUNDS: list[tuple[str, Any]] = [
    ("replicas", -1),
    ("replicas", 1001),
    ("replicas", 1.5),
    ("replicas", "1"),
    ("replicas", 2**70),
    ("suspend", "true"),
    ("model", REMOVED),
    ("model.servedName", ""),
    ("model.servedName", "-a"),
    ("model.servedName", "a" * 254),
    ("model.servedName", "名"),
    ("model.kind", "chat"),
    ("model.source.hostPath", "relative"),
    ("model.source.hostPath", "/"),
    ("model.source.hostPath", "/a\nb"),
    ("model.source.hostPath", "/" + "a" * 1024),
    ("runtime.version", ""),
    ("runtime.version", "a b"),
    ("runtime.version", "v" * 65),
    ("runtime.variant", "a5"),
    ("runtime.image", "registry/image with space"),
    ("runtime.image", "a" * 513),
    ("runtime.imagePullPolicy", "Sometimes"),
    ("runtime.imagePullSecrets", [{"name": "a"}] * 9),
    ("runtime.imagePullSecrets", [{}]),
    ("runtime.env", {f"A{n}": "x" for n in range(65)}),
    ("runtime.env", {"A": "x" * 4097}),
    ("runtime.driverMounts", "hostpath"),
    ("runtime.shmSize", "16gigs"),
    ("runtime.shmSize", "-1Gi"),
    ("runtime.shmSize", 16),
    ("npu.count", 0),
    ("npu.count", 65),
    ("npu.resource", "noslash"),
    ("npu.resource", "a/b/c"),
    ("npu.generation", "A4"),
    ("engine.tensorParallelSize", 0),
    ("engine.pipelineParallelSize", 65),
    ("engine.dataParallelSize", -1),
    ("engine.maxModelLen", 0),
    ("engine.maxModelLen", 16_777_217),
    ("engine.maxNumSeqs", 0),
    ("engine.maxNumBatchedTokens", 0),
    ("engine.memoryUtilization", 0),
    ("engine.memoryUtilization", 1.01),
    ("engine.memoryUtilization", "0.9"),
    ("engine.memoryUtilization", "NaN"),
    ("engine.dtype", "int4"),
    ("engine.quantization", "a;b"),
    ("engine.seed", -1),
    ("engine.seed", 2**32),
    ("engine.args", ["max-model-len"]),
    ("engine.args", ["--"]),
    ("engine.args", ["-O3"]),
    ("engine.args", ["--a=" + "x" * 4096]),
    ("engine.args", ["--a"] * 65),
    ("engine.args", "--a"),
    ("engine.profile", "fastest"),
    ("engine.config", []),
    ("engine.config", {f"k{n}": 1 for n in range(65)}),
    ("engine.loras", []),
    ("engine.loras", [{"name": f"a{n}", "source": DATA} for n in range(33)]),
    ("engine.loras", [{"name": "a=b", "source": DATA}]),
    ("engine.loras", [{"name": "a/b", "source": DATA}]),
    ("engine.loras", [{"name": "a" * 64, "source": DATA}]),
    ("engine.loras", [{"name": "a"}]),
    ("engine.additionalConfig", []),
    ("engine.additionalConfig", "{}"),
    ("service.type", "ExternalName"),
    ("service.port", 0),
    ("service.port", 65_536),
    ("service.annotations", {"a": 1}),
    ("service.annotations", {f"a{n}": "" for n in range(33)}),
    ("rollout.progressDeadline", "30 minutes"),
    ("rollout.progressDeadline", "30"),
    ("rollout.progressDeadline", ""),
    ("validation.bench.inputTokens", 0),
    ("validation.bench.outputTokens", 1),
    ("validation.bench.concurrency", 0),
    ("validation.bench.concurrency", 4097),
    ("validation.bench.requests", 100_001),
    ("validation.mmlu.shots", 6),
    ("validation.mmlu.shots", -1),
    ("validation.mmlu.tolerance", -0.1),
    ("validation.mmlu.tolerance", 101),
    ("validation.mmlu.baseline", {"value": 66.7}),
    ("validation.mmlu.baseline", {"value": 100.1, "average": "macro"}),
    ("validation.mmlu.baseline", {"value": -1, "average": "macro"}),
    ("validation.mmlu.baseline", {"value": 1, "average": "mean"}),
    ("validation.mmlu.baseline", {**BASELINE, "source": "x" * 257}),
    ("validation.mmlu.data", {"pvc": {"claimName": "Upper"}}),
    ("validation.mmlu.data", {"pvc": {"claimName": "a", "path": "/abs"}}),
    ("validation.retries", 11),
    ("validation.retries", -1),
    ("validation.job.resources", {"limits": {"cpu": "many"}}),
    ("validation.job.nodeSelector", {"a": "b c"}),
    ("validation.job.nodeSelector", {f"a{n}": "b" for n in range(33)}),
    ("validation.job.tolerations", [{"effect": "Never"}]),
    *edge_rules.BOUNDS,
    *source_rules.BOUNDS,
    *((f"placement.{path}", value) for path, value in placement_rules.BOUNDS),
    *((f"validation.{path}", value) for path, value in check_rules.BOUNDS),
]


@pytest.mark.parametrize(
    ("path", "value"), BOUNDS, ids=[f"{path}={str(value)[:30]}" for path, value in BOUNDS]
)
async def test_a_bound_is_kept_and_the_field_named(admin: Admin, path: str, value: Any) -> None:
    message = await refusal(admin, changed(path, value))
    assert path.split(".")[-1] in message


@pytest.mark.parametrize(
    "path",
    [
        "nodeCount",
        "autoscale",
        "autoscaling.behavior",
        "service.apiKey",
        "service.ingress.rules",
        "placement.affinity.nodes",
        "placement.queue",
        "model.source.gcs",
        "model.cache.folder",
        "runtime.drivers",
        "engine.maxModelLength",
        "validation.dummies",
        "validation.mmlu.references",
        "validation.bench.threshold",
        "rollout.strategies",
    ],
)
async def test_an_unknown_field_is_refused_by_its_name(admin: Admin, path: str) -> None:
    message = await refusal(admin, changed(path, {}))
    assert "unknown field" in message
    assert path.split(".")[-1] in message


@pytest.mark.parametrize(
    "name", ["1llama", "-llama", "llama-", "Llama", "a.b", "a_b", "a" * 37, "läma"]
)
async def test_a_name_that_no_object_could_bear(admin: Admin, name: str) -> None:
    item = changed("replicas", 1)
    item["metadata"]["name"] = name
    await refusal(admin, item)


async def test_the_rule_of_names_says_why(admin: Admin) -> None:
    item = changed("replicas", 1)
    item["metadata"]["name"] = "a" * 37
    message = await refusal(admin, item)
    assert "at most 36 characters" in message
    assert "the names of its objects are made from it" in message


@pytest.mark.parametrize("name", ["a", "a" * 36, "llama-3-1-8b", "a1"])
async def test_a_name_that_is_fine(admin: Admin, name: str) -> None:
    item = changed("replicas", 1)
    item["metadata"]["name"] = name
    await admin.post(item, dry_run=True)


EDGES: list[tuple[str, Any]] = [
    ("replicas", 0),
    ("replicas", 1000),
    ("engine.memoryUtilization", 1),
    ("engine.memoryUtilization", 0.0001),
    ("engine.seed", 2**32 - 1),
    ("engine.args", ["--a"] * 64),
    ("engine.config", {f"k{n}": [1, None, {"a": "\U0001f600"}] for n in range(64)}),
    ("engine.loras", [{"name": f"A.b_{n}", "source": DATA} for n in range(32)]),
    ("engine.profile", "balanced"),
    ("engine.additionalConfig", {"a": {"b": [1, None, "\U0001f600", 1e300, -(2**63)]}}),
    ("runtime.env", {"A": "\U0001f600\t\n\u0085\u2028\ufeff", "_B": ""}),
    ("runtime.env", {"A" * 128: "x" * 4096}),
    ("rollout.progressDeadline", "168h"),
    ("rollout.progressDeadline", "10s"),
    ("rollout.progressDeadline", "1h30m"),
    ("service.annotations", {"a/b": "\U0001f600"}),
    ("validation.mmlu.baseline", {"value": 100, "average": "micro", "source": "é" * 256}),
    ("validation.mmlu.tolerance", 0),
    ("validation.timeout", "604800s"),
    ("model.source", {"pvc": {"claimName": "a", "path": "b..c/d"}}),
    ("npu.resource", "huawei.com/Ascend910-2c"),
    *edge_rules.ACCEPTED,
    *source_rules.ACCEPTED,
    *((f"placement.{path}", value) for path, value in placement_rules.ACCEPTED),
    *((f"validation.{path}", value) for path, value in check_rules.ACCEPTED),
]


@pytest.mark.parametrize(("path", "value"), EDGES, ids=[f"{p}={str(v)[:30]}" for p, v in EDGES])
async def test_what_the_schema_lets_pass_the_models_read(
    admin: Admin, path: str, value: Any
) -> None:
    accepted = await admin.post(changed(path, value), dry_run=True)
    Spec.model_validate(accepted["spec"])


_OF_THE_MODELS_TOO = [
    (path, value)
    for path, value in BOUNDS
    if not isinstance(value, str | float) and not path.endswith(("hostPath", "progressDeadline"))
]
"""Without the types, which the models take more loosely, and what CEL rules alone say."""


@pytest.mark.parametrize(("path", "value"), _OF_THE_MODELS_TOO)
def test_what_the_schema_refuses_the_models_refuse(path: str, value: Any) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Spec.model_validate(changed(path, value)["spec"])


BASELINES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("base", {}, {"protocol": "original"}),
    ("base", {"protocol": "original"}, {"protocol": "lmEval"}),
    ("base", {"shots": 0}, {"shots": 5}),
    ("instruct", {}, {"protocol": "lmEval"}),
]
"""The model's kind, how it is asked, and a figure that was reached otherwise."""


@pytest.mark.parametrize(("kind", "asked", "figure"), BASELINES)
async def test_a_figure_of_another_protocol_is_refused_unless_told_to(
    admin: Admin, kind: str, asked: dict[str, Any], figure: dict[str, Any]
) -> None:
    item = changed("validation.mmlu", {**asked, "baseline": {**BASELINE, **figure}})
    item["spec"]["model"]["kind"] = kind
    message = await refusal(admin, item)
    assert "spec.validation.mmlu.baseline" in message
    assert "or baseline.acrossProtocols to true" in message
    item["spec"]["validation"]["mmlu"]["baseline"]["acrossProtocols"] = True
    await admin.post(item, dry_run=True)


@pytest.mark.parametrize(
    ("kind", "protocol"),
    [("base", "lmEval"), ("base", "original"), ("instruct", "metaInstruct")],
)
async def test_a_figure_of_the_same_protocol_is_fine(
    admin: Admin, kind: str, protocol: str
) -> None:
    figure = {**BASELINE, "protocol": protocol, "shots": 5}
    item = changed("validation.mmlu", {"protocol": protocol, "baseline": figure})
    item["spec"]["model"]["kind"] = kind
    await admin.post(item, dry_run=True)


async def test_an_instruct_model_is_not_asked_for_letters(admin: Admin) -> None:
    item = changed("validation.mmlu.protocol", "lmEval")
    item["spec"]["model"]["kind"] = "instruct"
    message = await refusal(admin, item)
    assert "spec.validation.mmlu.protocol" in message
    assert "use metaInstruct, or set model.kind to base" in message


async def test_the_servers_defaults_are_the_models(admin: Admin) -> None:
    item = resource()
    item["metadata"]["namespace"] = "default"
    item["spec"] = {
        "model": {"source": {"pvc": {"claimName": "a"}}},
        "validation": {
            "smoke": {"prompts": [{"prompt": "a"}]},
            "bench": {"regression": {}, "dataset": {"random": {}}, "goodput": {"ttftMs": 1}},
            "mmlu": {"data": DATA, "baseline": BASELINE},
            "evals": [{"task": "gsm8k"}],
            "parity": {"reference": {"configMap": "a"}, "thresholds": {"minRankAgreement": 99}},
            "schedule": "0 3 * * 1",
        },
    }
    accepted = await admin.post(item, dry_run=True)
    mine = Spec.model_validate(item["spec"])
    assert Spec.model_validate(accepted["spec"]) == mine
    dumped = mine.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert accepted["spec"] == dumped
    assert accepted["status"] == {"observedGeneration": -1}


async def test_kubectl_apply_refuses_and_says_so(world: World) -> None:
    item = resource()
    item["spec"]["engine"] = {"maxModelLength": 1}
    with pytest.raises(KubectlError, match=r'unknown field "spec\.engine\.maxModelLength"'):
        world.kubectl("apply", "-f", "-", text=yaml.safe_dump(item))
    item = resource(model={"source": {}})
    with pytest.raises(KubectlError, match="give exactly one source: hostPath, pvc"):
        world.kubectl("apply", "-f", "-", text=yaml.safe_dump(item))


async def test_the_examples_are_accepted(control_plane: ControlPlane) -> None:
    control_plane.kubectl(
        "apply", "--dry-run=server", f"--filename={REPOSITORY / 'manifests' / 'examples'}"
    )


async def test_the_columns_of_kubectl_get(world: World) -> None:
    await world.apply(resource())
    await world.prove()
    header, row = world.kubectl("get", "allm").splitlines()
    assert header.split() == [
        "NAME", "MODEL", "READY", "REPLICAS", "NPUS", "VERDICT", "MMLU", "DELTA", "TOK/S", "TPOT",
        "AGE",
    ]  # fmt: skip
    assert row.split()[1:10] == [
        "llama", "True", "1", "1", "Passed", "66.3", "-0.4", "177.75", "22.49",
    ]  # fmt: skip
    wide = world.kubectl("get", "ascendllm", "-o", "wide").splitlines()[0].split()
    assert {"REVISION", "TTFT", "VLLM", "REASON"} <= set(wide)
    assert "llama" in world.kubectl("get", "all")
    waited = world.kubectl("wait", "--for=condition=Ready", "allm/llama", "--timeout=5s")
    assert "condition met" in waited


async def test_a_resource_past_every_schema_does_not_stop_the_operator(
    world: World, control_plane: ControlPlane
) -> None:
    """A client that asks for no strict validation: unknown fields are pruned, not stored."""
    item = copy.deepcopy(resource())
    item["metadata"]["namespace"] = world.namespace
    item["spec"]["unknown"] = {"a": 1}
    await world.admin.post(item, strict=False)
    assert "unknown" not in (await world.get("AscendLLM", "llama"))["spec"]
    await world.settle()
    assert (await world.conditions())["Ready"].startswith("Unknown/")


async def test_a_huge_configuration_is_refused_with_a_remedy(world: World) -> None:
    huge = {"text": "x" * 700_000}
    await world.apply(resource(engine={"additionalConfig": huge}))
    await world.settle()
    assert (await world.conditions())["Stalled"] == "True/InvalidEngine"
    message = await world.message()
    assert "spec.engine.additionalConfig" in message
    assert len(json.dumps(await world.status())) < 16 * 1024
