"""The real vLLM gives each pod of a group its place, from what the operator renders."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ascendllm.api.spec import Spec
from ascendllm.desired.owner import Owner
from ascendllm.desired.template import pod_template
from unit.core.kubelet import VARIABLES, command_line
from vllm.engine import make_model

Places = dict[str, Any]


def group(count: int, nodes: int, **engine: int) -> dict[str, Any]:
    spec = Spec.model_validate(
        {
            "model": {"source": {"hostPath": "/model"}},
            "npu": {"count": count, "generation": "A3"},
            "nodes": nodes,
            "engine": {"dtype": "float32", "enforceEager": True, **engine},
        }
    )
    return pod_template(Owner("default", "llama", "uid"), spec, {"image": "image:1"})


def lines(template: dict[str, Any], model: Path) -> list[list[str]]:
    """What the processes of a group are started with behind `vllm serve`, the leader's first."""
    found = []
    for index in range(template["size"]):
        role = template["worker" if index else "leader"]
        (container,) = role["spec"]["containers"]
        variables = {**VARIABLES, "LWS_WORKER_INDEX": str(index)}
        command = command_line(container["args"], variables)
        found.append([str(model) if text == "/model" else text for text in command[2:]])
    return found


@pytest.fixture(scope="module")
def asked(
    vllm_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Places]]:
    """The places of four layouts; the model has two heads and two layers."""
    layouts = {
        "tensor": group(1, 2, tensorParallelSize=2),
        "pipeline": group(2, 2, pipelineParallelSize=2),
        "one copy a pod": group(2, 3, dataParallelSize=3),
        "two copies a pod": group(2, 2, dataParallelSize=4),
    }
    model = make_model(tmp_path_factory.mktemp("places") / "tiny")
    started = {name: lines(template, model) for name, template in layouts.items()}
    script = Path(__file__).with_name("real_places.py")
    outcome = subprocess.run(
        [str(vllm_environment / "bin" / "python"), "-I", str(script)],
        input=json.dumps([line for found in started.values() for line in found]),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    answers = iter(json.loads(outcome.stdout.splitlines()[-1]))
    places = {name: [next(answers) for _ in found] for name, found in started.items()}
    assert not [one for found in places.values() for one in found if "error" in one], places
    return {name: [one["places"] for one in found] for name, found in places.items()}


@pytest.mark.parametrize("layout", ["tensor", "pipeline"])
def test_one_copy_over_all_pods(asked: dict[str, list[Places]], layout: str) -> None:
    for index, place in enumerate(asked[layout]):
        assert place["nnodes_within_dp"] == 2
        assert place["node_rank_within_dp"] == index
        assert place["world_size"] == 2 * place["local_world_size"]
        assert place["data_parallel_size"] == 1
        assert place["distributed_executor_backend"] == "mp"
        leader = VARIABLES["LWS_LEADER_ADDRESS" if index else "VLLM_HOST_IP"]
        assert place["master_addr"] == leader


@pytest.mark.parametrize(("layout", "local"), [("one copy a pod", 1), ("two copies a pod", 2)])
def test_whole_copies_in_each_pod(asked: dict[str, list[Places]], layout: str, local: int) -> None:
    places = asked[layout]
    for index, place in enumerate(places):
        assert place["data_parallel_size"] == local * len(places)
        assert place["data_parallel_size_local"] == local
        assert place["data_parallel_rank"] == local * index
        assert place["nnodes_within_dp"] == 1, "a copy is whole in its pod"
        assert not place["data_parallel_hybrid_lb"], "clients reach one server"
        assert not place["data_parallel_external_lb"]
        leader = VARIABLES["LWS_LEADER_ADDRESS" if index else "VLLM_HOST_IP"]
        assert place["data_parallel_master_ip"] == leader
