"""The engine on real pods: adapters, a config file's mapping, and what a model's folder tells."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cluster.commands import run
from cluster.provider import Provider
from e2e.resources import model, resource
from e2e.space import Space, condition

pytestmark = pytest.mark.timeout(300)

SMOKE = {"smoke": {"parameters": False}, "retries": 0}


def beside(cluster: Provider, folder: str, name: str, content: dict[str, Any]) -> str:
    """A folder with one JSON file in a folder of the node; returns its path there."""
    with tempfile.TemporaryDirectory() as made:
        Path(made, "it").mkdir()
        Path(made, "it", name).write_text(json.dumps(content))
        cluster.node_copy(Path(made, "it"), folder)
    return folder


def test_a_config_file_a_profile_and_adapters_are_served_and_proven(
    installed: Provider, space: Space
) -> None:
    path = model(installed, "adapted")
    loras = [
        {"name": name, "source": {"hostPath": f"{path}/adapters/{name}"}}
        for name in ("legal", "medical")
    ]
    for lora in loras:
        beside(installed, lora["source"]["hostPath"], "adapter_config.json", {"r": 16})
    engine = {
        "profile": "latency",
        "config": {"no-enable-prefix-caching": True, "max-model-len": "8K", "block-size": 128},
        "loras": loras,
        "args": ["--max-loras=2"],
    }
    env = {"VLLM_USE_ASCEND": "1"}
    space.apply(resource("adapted", path, SMOKE, engine=engine, runtime={"env": env}))
    space.wait_for_ready("adapted")

    status = space.status("adapted")
    checks = {item["name"]: item for item in status["validation"]["smoke"]["checks"]}
    assert checks["adapter legal"]["result"] == checks["adapter medical"]["result"] == "Passed"
    assert any("VLLM_USE_ASCEND is read by no release" in text for text in status["warnings"])
    (pod,) = space.serving_pods("adapted")
    assert {"--max-num-seqs=8", "--max-model-len=8192", "--no-enable-prefix-caching"} < set(
        pod["spec"]["containers"][0]["args"]
    )


def test_what_cannot_be_served_is_told_by_the_models_own_numbers(
    installed: Provider, space: Space
) -> None:
    path = model(installed, "uneven", failure={"mode": "loadForever"})
    numbers = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "num_hidden_layers": 32,
        "max_position_embeddings": 8192,
    }
    folder = beside(installed, f"{path}/inner", "config.json", numbers)
    space.apply(
        resource("uneven", folder, None, npu={"generation": "A3", "count": 3}),
        resource("long", folder, None, engine={"maxModelLen": 16_384}),
    )
    uneven = condition({"status": space.until("uneven", "ParallelismMismatch")}, "Ready")
    assert "32 attention heads" in uneven["message"]
    assert "1, 2, 4, 8, 16, 32" in uneven["message"]
    long = condition({"status": space.until("long", "ContextTooLong")}, "Ready")
    assert "maxModelLen 16384 is more than the 8192 tokens" in long["message"]


def test_a_model_too_large_for_its_npus_is_told_with_the_figures(
    installed: Provider, space: Space
) -> None:
    path = model(installed, "large", failure={"mode": "loadForever"})
    folder = beside(installed, f"{path}/inner", "config.json", {"model_type": "llama"})
    weights = f"{folder}/model.safetensors"
    run(installed.node_command(["truncate", "--size=100G", weights]))
    space.apply(resource("large", folder, None))
    told = condition({"status": space.until("large", "ModelDoesNotFit")}, "Ready")
    assert "the weights take 100.0 GiB" in told["message"]
    assert "57.6 GiB" in told["message"]
    space.patch("large", {"npu": {"count": 2}})
    space.until("large", "Loading")
