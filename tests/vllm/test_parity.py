"""Parity on the real server: against itself, against transformers, against another model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.commands import environment
from cluster.paths import REPOSITORY
from vllm.engine import Engine

pytestmark = pytest.mark.timeout(600)  # transformers and torch take a while to load

TEXT = "The old farmer carried seven boxes of apples over the wooden bridge. " * 40


def ascendllm(python: Path, *arguments: str) -> tuple[int, str]:
    """Our command by a Python that has what it needs."""
    done = subprocess.run(
        [python, "-m", "ascendllm", *arguments],
        env=environment() | {"PYTHONPATH": str(REPOSITORY / "operator"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout if done.returncode != 2 else done.stdout + done.stderr


def validate(engine: Engine, reference: Path, *more: str) -> dict[str, Any]:
    address = (f"--base-url={engine.url}", f"--model={engine.name}")
    code, out = ascendllm(
        Path(sys.executable), "validate", "parity", *address, f"--reference={reference}", *more
    )
    result: dict[str, Any] = json.loads(out[: out.rindex("}") + 1])
    assert code == {"Passed": 0, "Failed": 1}.get(result["result"], 2)
    return result


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parity") / "text"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="session")
def of_server(engine: Engine, text: Path) -> Path:
    """The running server's own reference, with a control run; chats, Korean among them."""
    path = text.parent / "server.jsonl"
    code, out = ascendllm(
        *(Path(sys.executable), "parity", "record", f"--base-url={engine.url}", "--kind=instruct"),
        *(f"--model={engine.name}", "--dtype=float32", "--control", "--max-tokens=32"),
        *(f"--text={text}", f"--output={path}"),
    )
    assert code == 0, out
    return path


def transformers(engine: Engine, model: Path, text: Path, path: Path) -> Path:
    code, out = ascendllm(
        *(engine.environment / "bin" / "python", "parity", "record", f"--transformers={model}"),
        *("--dtype=float32", "--kind=instruct", "--max-tokens=32"),
        *(f"--text={text}", f"--output={path}"),
    )
    assert code == 0, out
    return path


def test_a_server_agrees_with_its_own_reference(engine: Engine, of_server: Path) -> None:
    result = validate(engine, of_server)
    assert (result["result"], result["thresholdsFrom"]) == ("Passed", "control")
    assert result["rankAgreement"] == 100.0
    assert result["prompts"] == 16
    assert result["tokens"] > 100
    assert result["p99LogprobDifference"] < 0.001
    header = json.loads(of_server.read_text().split("\n", 1)[0])
    assert header["meta"]["engine"] == "vllm 0.18.0"
    assert header["control"]["rankOneShare"] > 99


def test_the_server_agrees_with_transformers(engine: Engine, text: Path) -> None:
    """Tokenizer, chat template, log-probabilities and ranks: two engines, one model."""
    path = transformers(engine, engine.model, text, text.parent / "transformers.jsonl")
    thresholds = (
        *("--min-rank-agreement=99.5", "--max-mean-logprob-difference=0.0005"),
        "--max-p99-logprob-difference=0.001",
    )
    result = validate(engine, path, *thresholds, "--max-perplexity-difference=0.01")
    assert (result["result"], result["thresholdsFrom"]) == ("Passed", "spec")


def test_both_sources_record_the_same(engine: Engine, of_server: Path, text: Path) -> None:
    path = transformers(engine, engine.model, text, text.parent / "again.jsonl")
    one, other = (
        [json.loads(line) for line in file.read_text().splitlines()[1:]]
        for file in (of_server, path)
    )
    for left, right in zip(one, other, strict=True):
        assert left["id"] == right["id"]
        assert left.get("text_token_ids") == right.get("text_token_ids")
        assert left.get("prompt_token_ids") == right.get("prompt_token_ids")
        assert left.get("token_ids") == right.get("token_ids")
    korean = one[0]
    assert korean["prompt_text"] == "안녕하세요, 자기소개 해주세요."
    assert [[t for t, _ in top] for top in korean["top_logprobs"]] == [
        [t for t, _ in top] for top in other[0]["top_logprobs"]
    ]


def test_another_model_fails(engine: Engine, text: Path, tmp_path: Path) -> None:
    """The same tokenizer, other weights: a verdict about the model."""
    script = (
        "import sys, torch, transformers as t; "
        "m = t.AutoModelForCausalLM.from_pretrained(sys.argv[1]); torch.manual_seed(7); "
        "[p.data.add_(torch.randn_like(p) * p.std() * 0.5) for p in m.parameters() if p.dim() > 1];"
        "m.save_pretrained(sys.argv[2]); "
        "t.AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])"
    )
    other = tmp_path / "other"
    subprocess.run(
        [engine.environment / "bin" / "python", "-c", script, engine.model, other],
        check=True,
        timeout=120,
        env=environment() | {"HF_HUB_OFFLINE": "1"},
    )
    path = transformers(engine, other, text, tmp_path / "other.jsonl")
    result = validate(engine, path, "--min-rank-agreement=99")
    assert (result["result"], result["reason"]) == ("Failed", "BeyondThreshold")
    assert result["rankAgreement"] < 50


def test_another_vocabulary_is_refused(engine: Engine, of_server: Path, tmp_path: Path) -> None:
    from ascendllm.checks.parity.reference import PromptRecord, Reference, read_reference, to_text

    stored = read_reference(of_server)
    first = stored.prompts[0]
    high = (10**6, *first.prompt_token_ids[1:])
    spoiled = PromptRecord(
        *(first.id, first.text, first.text_token_ids, high),
        *(first.output_token_ids, first.output_logprobs, first.top),
    )
    path = tmp_path / "reference.jsonl"
    path.write_text(to_text(Reference(stored.meta, (spoiled,), (), None)))
    result = validate(engine, path, "--min-rank-agreement=1")
    assert (result["result"], result["reason"]) == ("Error", "ReferenceMismatch")
    assert "vocabulary" in result["message"]
