"""What images/vllm-cpu adds to the real vLLM: its command, and the tiny model."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

IMAGE = Path(__file__).resolve().parents[2] / "images" / "vllm-cpu"
PRINTER = """#!/bin/sh
printf '%s\\n' "$@" "$VLLM_CPU_KVCACHE_SPACE" "$OMP_NUM_THREADS" "$TORCHDYNAMO_DISABLE"
"""


def called(home: Path, *arguments: str, **environment: str) -> list[str]:
    """What the command hands on, then the memory, the threads and no compiling."""
    command = home / "bin" / "vllm"
    command.parent.mkdir(exist_ok=True)
    command.write_text(PRINTER)
    command.chmod(0o755)
    env = {"PATH": os.environ["PATH"], "ASCENDLLM_VLLM_HOME": str(home), **environment}
    said = subprocess.run(
        [str(IMAGE / "vllm"), *arguments], capture_output=True, text=True, env=env, timeout=20
    )
    assert said.returncode == 0, said.stderr
    return said.stdout.splitlines()


def test_the_model_stays_first_and_nothing_is_compiled(tmp_path: Path) -> None:
    said = called(tmp_path, "serve", "/models/a b", "--port=8000", "--no-enforce-eager")
    expected = ["serve", "/models/a b", "--enforce-eager", "--port=8000", "--no-enforce-eager"]
    assert said[:-3] == expected


def test_other_commands_are_handed_on(tmp_path: Path) -> None:
    assert called(tmp_path, "bench", "serve", "--model=x")[:-3] == ["bench", "serve", "--model=x"]
    assert called(tmp_path, "--version")[:-3] == ["--version"]


def test_what_the_caller_has_set_stays(tmp_path: Path) -> None:
    assert called(tmp_path, "serve", "/m")[-3:] == ["1", str(len(os.sched_getaffinity(0))), "1"]
    chosen = called(tmp_path, "serve", "/m", VLLM_CPU_KVCACHE_SPACE="4", OMP_NUM_THREADS="7")
    assert chosen[-3:] == ["4", "7", "1"]


def make(folder: Path, *options: str) -> dict[str, bytes]:
    command = [sys.executable, str(IMAGE / "make_model.py"), str(folder), *options]
    subprocess.run(command, check=True, timeout=60)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make(tmp_path_factory.mktemp("model"))


def test_the_same_seed_makes_the_same_bytes(model: dict[str, Any], tmp_path: Path) -> None:
    assert make(tmp_path / "again") == model
    other = make(tmp_path / "other", "--seed", "1")
    assert other["model.safetensors"] != model["model.safetensors"]


def test_the_letters_are_one_token_each(model: dict[str, Any]) -> None:
    found = json.loads(model["tokenizer.json"])["model"]
    assert len(found["vocab"]) == json.loads(model["config.json"])["vocab_size"] == 1000
    assert sorted(found["vocab"].values()) == list(range(1000))
    assert found["merges"][:4] == ["Ġ A", "Ġ B", "Ġ C", "Ġ D"]
    for merge in found["merges"]:
        assert merge.replace(" ", "") in found["vocab"]


def test_a_base_model_has_no_chat_template(model: dict[str, Any], tmp_path: Path) -> None:
    base = make(tmp_path, "--no-chat-template")
    assert "chat_template" in json.loads(model["tokenizer_config.json"])
    assert "chat_template" not in json.loads(base["tokenizer_config.json"])
    assert base["model.safetensors"] == model["model.safetensors"]


def test_the_weights_are_a_sound_safetensors_file(model: dict[str, Any]) -> None:
    content = model["model.safetensors"]
    [size] = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    assert header.pop("__metadata__") == {"format": "pt"}
    end = 0
    for entry in header.values():
        begin, stop = entry["data_offsets"]
        elements = 1
        for length in entry["shape"]:
            elements *= length
        assert (begin, stop - begin, entry["dtype"]) == (end, 4 * elements, "F32")
        end = stop
    assert 8 + size + end == len(content)
    assert size % 8 == 0
