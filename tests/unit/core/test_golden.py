"""What a resource becomes, object by object: `pytest --update-golden` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ascendllm.api.parse import parse_spec
from ascendllm.decide.checks import CHECKS
from ascendllm.engine import options
from ascendllm.report.yaml import to_yaml
from ascendllm.settings import Settings
from ascendllm_simulator.option_parser import parse_arguments
from unit.core.kubelet import command_line
from unit.core.stage import SETTINGS, Stage

REPOSITORY = Path(__file__).resolve().parents[3]
GOLDEN = REPOSITORY / "tests" / "golden"
CASES = sorted(path.name for path in GOLDEN.iterdir())


def objects(case: str) -> list[dict[str, Any]]:
    """Every object of a resource on its way to the proof, as it is first applied."""
    resource = yaml.safe_load((GOLDEN / case / "in.yaml").read_text())
    spec = parse_spec(resource)
    nodes = GOLDEN / case / "nodes.yaml"
    told = yaml.safe_load(nodes.read_text()) if nodes.exists() else ()
    own = GOLDEN / case / "settings.yaml"
    settings = yaml.safe_load(own.read_text()) if own.exists() else {}
    stage = Stage(
        spec,
        name=resource["metadata"]["name"],
        settings=Settings.model_validate(SETTINGS.model_dump() | settings),
        nodes=tuple(told),
    )
    asked = spec.validation.model_dump(exclude_none=True) if spec.validation else {}
    checks = [check for check in CHECKS if check in asked]
    if "dummy" in checks:
        stage.settle()
        stage.finish("dummy")
        checks.remove("dummy")
    stage.load()
    for check in checks[:-1]:
        stage.finish(check)
    return list(stage.first.values())


def containers(found: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    for item in found:
        if item["kind"] == kind:
            yield from item["spec"]["template"]["spec"]["containers"]


def serving_containers(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Those that run `vllm serve`; of a group the leader's, then its workers'."""
    yield from containers(found, "Deployment")
    for item in found:
        if item["kind"] == "LeaderWorkerSet":
            group = item["spec"]["leaderWorkerTemplate"]
            for role in ("leaderTemplate", "workerTemplate"):
                yield from group[role]["spec"]["containers"]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_objects_are_the_golden_ones(case: str, pytestconfig: pytest.Config) -> None:
    text = "---\n".join(to_yaml(item) for item in objects(case))
    golden = GOLDEN / case / "objects.yaml"
    if pytestconfig.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text(), "run pytest --update-golden, and look at the difference"


def test_every_option_is_one_of_vllms(case: str) -> None:
    for container in serving_containers(objects(case)):
        assert "command" not in container, "the image's entry point sets CANN's environment up"
        arguments = command_line(container["args"])
        assert arguments[:2] == ["vllm", "serve"]
        parse_arguments(options.load(), arguments[2:])


def test_no_device_is_named(case: str) -> None:
    """Volcano's annotation, which is of the pod's own resource, is the one legal form."""
    for container in serving_containers(objects(case)):
        visible = [item for item in container.get("env", []) if "VISIBLE_DEVICES" in item["name"]]
        assert bool(visible) == case.startswith("mindcluster-volcano")
        for item in visible:
            assert item["name"] == "ASCEND_VISIBLE_DEVICES"
            path = item["valueFrom"]["fieldRef"]["fieldPath"]
            resource = path.removeprefix("metadata.annotations['").removesuffix("']")
            assert resource in container["resources"]["limits"]


def test_the_example_is_seed_000() -> None:
    example = REPOSITORY / "manifests" / "examples" / "meta-llama-3-1-8b.yaml"
    assert example.read_text() == (GOLDEN / "seed-000" / "in.yaml").read_text()


def test_seed_000_is_served_as_seed_000_says() -> None:
    (container,) = containers(objects("seed-000"), "Deployment")
    command = """vllm serve /opt/atomgit/Meta-Llama-3.1-8B
      --host=0.0.0.0 --port=8000 --tensor-parallel-size=1 --seed=1024
      --served-model-name=meta-llama-3.1-8b --max-model-len=4096 --max-num-seqs=16
      --gpu-memory-utilization=0.90 --trust-remote-code --dtype=bfloat16"""
    assert container["args"] == [*command.split(), "--shutdown-timeout=120"]
    assert {item["name"]: item["value"] for item in container["env"]} == {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True",
        "TASK_QUEUE_ENABLE": "1",
        "OMP_PROC_BIND": "false",
        "OMP_NUM_THREADS": "1",
    }
    assert container["image"] == "registry.test/vllm-ascend:v0.18.0rc1-a3"
    assert container["resources"]["limits"] == {"huawei.com/Ascend910": "1"}


def test_the_checks_of_seed_000_are_called_as_seed_000_says() -> None:
    calls = {
        container["args"][1]: set(container["args"])
        for container in containers(objects("seed-000"), "Job")
    }
    assert list(calls) == ["smoke", "bench", "mmlu"]
    assert {"--input-tokens=128", "--output-tokens=128", "--concurrency=4", "--requests=20"} < (
        calls["bench"]
    )
    assert {"--shots=5", "--baseline=66.7", "--baseline-average=macro", "--concurrency=16"} < (
        calls["mmlu"]
    )


def test_what_a_job_reads_is_mounted_where_it_looks() -> None:
    for case in CASES:
        for container in containers(objects(case), "Job"):
            places = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
            for path in _paths(container["args"]):
                folder = next(place for place in (path, path.rpartition("/")[0]) if place in places)
                assert places[folder]["readOnly"] is True, path


def _paths(arguments: list[str]) -> Iterator[str]:
    """The files and folders that a job's options name."""
    for argument in arguments:
        option, _, value = argument.partition("=")
        if option == "--task":
            value = next((p[5:] for p in value.split(",") if p.startswith("data=")), "")
        if option in ("--data", "--reference", "--task") and value.startswith("/"):
            yield value


def test_a_claim_is_one_volume_of_a_pod() -> None:
    """Two of one claim keep a pod from starting, on kubelets that are still about."""
    shared = set()
    for case in CASES:
        for item in objects(case):
            pod = (item.get("spec") or {}).get("template", {}).get("spec", {})
            volumes = pod.get("volumes", [])
            claims = {
                volume["name"]: volume["persistentVolumeClaim"]["claimName"]
                for volume in volumes
                if "persistentVolumeClaim" in volume
            }
            assert len(set(claims.values())) == len(claims), case
            mounts = [m for c in pod.get("containers", []) for m in c.get("volumeMounts", [])]
            assert {mount["name"] for mount in mounts} <= {volume["name"] for volume in volumes}
            if sum(mount["name"] in claims for mount in mounts) > len(claims):
                shared.add(case)
    assert "loras-downloaded" in shared


def test_no_volume_hides_what_is_copied_from_an_image() -> None:
    copied = 0
    for case in CASES:
        for item in objects(case):
            pod = (item.get("spec") or {}).get("template", {}).get("spec", {})
            for container in pod.get("initContainers", []):
                if container.get("command", [""])[0] != "cp":
                    continue
                copied += 1
                _, _, source, target = container["command"]
                (place,) = [mount["mountPath"] for mount in container["volumeMounts"]]
                assert target == place
                assert not f"{source}/".startswith(f"{place}/"), case
    assert copied >= 2
