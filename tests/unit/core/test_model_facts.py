"""The model's numbers: read by the pod's own script, and told as a misfit before a crash loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ascendllm.desired.facts import facts_container
from ascendllm.desired.sources import Mounted
from ascendllm.download.numbers import numbers
from ascendllm.engine.model_numbers import ModelNumbers
from unit.core.stage import Stage, node, spec_of

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131_072,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "torch_dtype": "bfloat16",
}
SEVENTY = {
    **{key: CONFIG[key] for key in CONFIG if key not in ("architectures", "rope_scaling")},
    "rope_type": "llama3",
    "weight_bytes": 141_107_412_992,
}


def told(folder: Path, place: Path) -> dict[str, Any]:
    """What the script writes of a model's folder."""
    command = facts_container("image", None, Mounted(str(folder), [], [], []))["command"]
    *command, log, path = command
    assert (log, path) == ("/dev/termination-log", str(folder))
    (place / "bin").mkdir(exist_ok=True)
    python = place / "bin" / "python3"
    if not python.exists():
        python.symlink_to(sys.executable)
    ended = subprocess.run(
        [*command, str(place / "log"), path],
        env={"PATH": f"{place / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    text = (place / "log").read_text()
    assert len(text.encode()) <= 2048
    found: dict[str, Any] = json.loads(text)
    assert "arch" in found, "the versions are there whatever the model's folder is"
    return found.get("model", {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model [1]"
    folder.mkdir()
    return folder


def write(folder: Path, config: object) -> None:
    (folder / "config.json").write_text(json.dumps(config))


def test_the_numbers_of_a_model(folder: Path, tmp_path: Path) -> None:
    write(folder, CONFIG)
    for name, size in (("model-1.safetensors", 30), ("model-2.safetensors", 12)):
        (folder / name).write_bytes(b"x" * size)
    (folder / "consolidated.safetensors").write_bytes(b"x" * 42)
    (folder / "pytorch_model.bin").write_bytes(b"x" * 42)
    assert told(folder, tmp_path) == SEVENTY | {"weight_bytes": 42}
    assert ModelNumbers.read(told(folder, tmp_path)) is not None


@pytest.mark.parametrize(
    ("index", "size"),
    [
        ({"metadata": {"total_size": 40}, "weight_map": {}}, 40),
        ({"metadata": {"total_size": 40.0}}, 40),
        ({"metadata": {}}, 42),
        ([], 42),
        ({"metadata": {"total_size": "many"}}, 42),
    ],
)
def test_the_index_tells_what_is_loaded(
    folder: Path, tmp_path: Path, index: object, size: int
) -> None:
    write(folder, CONFIG)
    (folder / "model.safetensors").write_bytes(b"x" * 42)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert told(folder, tmp_path)["weight_bytes"] == size


def test_the_download_reads_the_same(folder: Path, tmp_path: Path) -> None:
    for more in (
        {},
        {"rope_scaling": None, "rope_parameters": {"rope_type": "yarn"}},
        {"layer_types": ["full_attention", "sliding_attention"]},
        {"use_sliding_window": True},
        {"quantization_config": {"quant_method": "fp8"}},
        {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "head_dim": 128},
        {"torch_dtype": None, "dtype": "float16"},
        {"text_config": {"hidden_size": 4096}},
    ):
        write(folder, CONFIG | more)
        assert ModelNumbers.read(numbers(folder)) == ModelNumbers.read(told(folder, tmp_path)), more


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"rope_scaling": None}, {"rope_type": "default"}),
        ({"rope_scaling": {"type": "yarn"}}, {"rope_type": "yarn"}),
        ({"rope_scaling": None, "rope_parameters": {"rope_type": "yarn"}}, {"rope_type": "yarn"}),
        ({"layer_types": ["full_attention"]}, {}),
        ({"layer_types": ["full_attention", "sliding_attention"]}, {"mixed_layers": True}),
        ({"use_sliding_window": True}, {"mixed_layers": True}),
        ({"use_sliding_window": False}, {}),
        ({"quantization_config": {"quant_method": "fp8"}}, {"quantization": "fp8"}),
        ({"kv_lora_rank": 512, "head_dim": 128}, {"kv_lora_rank": 512, "head_dim": 128}),
        ({"torch_dtype": None, "dtype": "float16"}, {"torch_dtype": "float16"}),
        ({"model_type": "x" * 100}, {"model_type": "x" * 40}),
        ({"text_config": {"hidden_size": 4096}}, {"hidden_size": 4096}),
    ],
)
def test_what_else_matters(
    folder: Path, tmp_path: Path, more: dict[str, Any], expected: dict[str, Any]
) -> None:
    write(folder, CONFIG | more)
    without = {key: value for key, value in SEVENTY.items() if key != "weight_bytes"}
    assert told(folder, tmp_path) == without | {"rope_type": "llama3"} | expected


def test_the_description_of_modelslim(folder: Path, tmp_path: Path) -> None:
    write(folder, CONFIG)
    (folder / "quant_model_description.json").write_text("{}")
    assert told(folder, tmp_path)["quantization"] == "ascend"


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null", "[" * 100_000, '{"a": 1'])
def test_a_folder_that_tells_nothing(folder: Path, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (folder / "config.json").write_text(text)
    assert told(folder, tmp_path) == {}


def loading(spec: Any, model: dict[str, Any]) -> Stage:
    """A resource whose pod has read its model's folder and is loading."""
    item = node("n", "Ascend910")
    item["metadata"]["labels"] |= {"mind-cluster/npu-chip-memory": "64G"}
    stage = Stage(spec, nodes=(item,))
    stage.step()
    stage.move_pods(ready=False, facts={"vllm": "0.18.0", "model": model})  # type: ignore[dict-item]
    return stage


def ready(stage: Stage) -> dict[str, Any]:
    stage.step()
    found: dict[str, Any] = stage.status["conditions"][0]
    return found


def test_heads_that_do_not_divide_are_told_while_the_pod_loads() -> None:
    spec = spec_of(npu={"count": 3, "generation": "A3"})
    stage = loading(spec, SEVENTY)
    told = ready(stage)
    assert (told["status"], told["reason"]) == ("Unknown", "ParallelismMismatch")
    assert "64 attention heads" in told["message"]
    assert "1, 2, 4, 8, 16, 32, 64" in told["message"]
    stage.move_pods(ready=True, facts={"vllm": "0.18.0", "model": SEVENTY})  # type: ignore[dict-item]
    assert ready(stage)["reason"] == "Validating", "what gets ready all the same is ready"


def test_a_model_that_fits_is_loading() -> None:
    spec = spec_of(npu={"count": 4, "generation": "A3"}, engine={"maxModelLen": 4096})
    assert ready(loading(spec, SEVENTY))["reason"] == "Loading"


def test_nonsense_of_the_pod_is_no_misfit() -> None:
    for model in ([], "x", {"num_attention_heads": "64"}, {"num_attention_heads": 2**80}):
        spec = spec_of(npu={"count": 3, "generation": "A3"})
        assert ready(loading(spec, model))["reason"] == "Loading"  # type: ignore[arg-type]


def test_the_deadline_run_says_why() -> None:
    spec = spec_of(npu={"count": 3, "generation": "A3"}, rollout={"progressDeadline": "10m"})
    stage = loading(spec, SEVENTY)
    stage.step()
    stage.pass_time(minutes=11)
    stage.step()
    stage.step()
    told = ready(stage)
    assert told["reason"] == "ProgressDeadlineExceeded"
    assert "ParallelismMismatch" in told["message"]


DOWNLOADED = {
    "source": {"huggingFace": {"repo": "meta-llama/Llama-3.3-70B-Instruct"}},
    "cache": {"size": "200Gi"},
}


def with_cards(count: int, **engine: Any) -> Any:
    return spec_of(model=DOWNLOADED, npu={"count": count, "generation": "A3"}, engine=engine)


def told_of(count: int, config: dict[str, Any] = SEVENTY, **engine: Any) -> Stage:
    item = node("n", "Ascend910")
    item["metadata"]["labels"]["mind-cluster/npu-chip-memory"] = "64G"
    stage = Stage(with_cards(count, **engine), nodes=(item,))
    stage.settle()
    given = {key: value for key, value in config.items() if key != "weight_bytes"}
    stage.download(config=given, weightBytes=config.get("weight_bytes", 0))
    stage.settle()
    return stage


def test_a_downloaded_model_that_does_not_fit_takes_no_npu() -> None:
    stage = told_of(2, maxModelLen=4096)
    ready = stage.status["conditions"][0]
    assert (ready["status"], ready["reason"]) == ("False", "ModelDoesNotFit")
    assert "131.4 GiB" in ready["message"]
    assert "57.6 GiB" in ready["message"]
    assert not stage.of("Deployment")
    stage.change(with_cards(4, maxModelLen=4096))
    stage.settle()
    (workload,) = stage.of("Deployment")
    assert workload["spec"]["replicas"] == 1


def test_an_adapters_numbers_are_not_the_models() -> None:
    engine = {"maxModelLen": 4096, "loras": [LEGAL]}
    stage = Stage(spec_of(npu={"count": 2, "generation": "A3"}, engine=engine))
    stage.settle()
    stage.download(config={**SEVENTY, "r": 16}, weightBytes=SEVENTY["weight_bytes"])
    assert stage.of("Deployment")


LEGAL = {
    "name": "legal",
    "source": {"huggingFace": {"repo": "org/legal"}},
    "cache": {"size": "1Gi"},
}


def with_adapter(rank: Any, *args: str, version: str = "v0.18.0rc1") -> Stage:
    """A resource whose adapter has come, of that rank."""
    engine = {"loras": [LEGAL], "args": list(args)}
    stage = Stage(spec_of(engine=engine, runtime={"version": version}))
    stage.settle()
    stage.download(config={"r": rank})
    return stage


@pytest.mark.parametrize(
    ("rank", "args", "told"),
    [
        (17, [], "--max-lora-rank 16: set --max-lora-rank=32"),
        (64, ["--max-lora-rank=32"], "--max-lora-rank 32: set --max-lora-rank=64"),
        (1024, ["--max-lora-rank=512"], "at most rank 512"),
    ],
)
def test_an_adapter_of_too_large_a_rank_takes_no_npu(rank: int, args: list[str], told: str) -> None:
    stage = with_adapter(rank, *args)
    ready = stage.status["conditions"][0]
    assert (ready["status"], ready["reason"]) == ("False", "AdapterRankTooLarge")
    assert ready["message"].startswith(f"adapter legal: its rank is {rank} ")
    assert told in ready["message"]
    assert not stage.of("Deployment")
    stage.change(spec_of(engine={}))
    stage.settle()
    assert stage.of("Deployment")


@pytest.mark.parametrize("rank", [16, "64", None, [64]])
def test_an_adapter_that_may_fit_is_loaded(rank: Any) -> None:
    assert with_adapter(rank).of("Deployment")


def test_the_ranks_of_a_version_that_is_not_known_are_left_to_it() -> None:
    assert with_adapter(64, version="v0.99.0").of("Deployment")


@pytest.mark.parametrize("config", [{}, {"num_attention_heads": "64"}, SEVENTY])
def test_a_downloaded_model_that_may_fit_is_loaded(config: dict[str, Any]) -> None:
    assert told_of(4, config, maxModelLen=4096).of("Deployment")


def test_what_serves_is_not_reckoned_with() -> None:
    stage = told_of(4, maxModelLen=4096)
    stage.prove("smoke", "bench", "mmlu")
    assert stage.conditions["Ready"].startswith("True")
    (record,) = [item for item in stage.of("ConfigMap") if "download.json" in item["data"]]
    result = json.loads(record["data"]["result.json"]) | {"weightBytes": 2**50}
    record["data"]["result.json"] = json.dumps(result)
    stage.settle()
    assert stage.conditions["Ready"].startswith("True"), stage.status["conditions"][0]
