"""Evals on the real server by the real lm-eval: the same numbers as lm-eval's own run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cluster.commands import environment
from cluster.paths import REPOSITORY
from vllm.engine import Engine

pytestmark = pytest.mark.timeout(600)  # lm-eval takes 15 s to start, on idle cores

WORDS = ("water", "stone", "light", "plant", "metal", "cloud", "river", "heat", "wind", "glass")
CARD = """---
configs:
- config_name: {name}
  data_files:
{splits}---
"""


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up rows in the columns of gsm8k and ai2_arc, under the sets' hub names."""
    folder = tmp_path_factory.mktemp("evals-data")
    sums = [
        {"question": f"What is {n} plus {n + 2}?", "answer": f"It is so.\n#### {2 * n + 2}"}
        for n in range(10)
    ]
    write(folder / "openai/gsm8k", "main", {"train": sums[:6], "test": sums})
    choices = [
        {
            "id": str(n),
            "question": f"Which of these is number {n}?",
            "choices": {
                "text": [WORDS[(n * k + k) % len(WORDS)] + str(k) for k in (1, 3, 7, 9)],
                "label": ["A", "B", "C", "D"],
            },
            "answerKey": "ABCD"[n * 7 % 4],
        }
        for n in range(40)
    ]
    parts = {"train": choices[:8], "validation": choices[8:12], "test": choices[8:]}
    write(folder / "allenai/ai2_arc", "ARC-Easy", parts)
    return folder


def write(folder: Path, name: str, splits: dict[str, list[dict[str, Any]]]) -> None:
    (folder / name).mkdir(parents=True)
    listed = ""
    for split, rows in splits.items():
        lines = "\n".join(json.dumps(row) for row in rows)
        (folder / name / f"{split}.jsonl").write_text(lines + "\n")
        listed += f"  - split: {split}\n    path: {name}/{split}.jsonl\n"
    (folder / "README.md").write_text(CARD.format(name=name, splits=listed))


def evals(engine: Engine, *arguments: str) -> dict[str, Any]:
    command = [engine.environment / "bin" / "python", "-m", "ascendllm", "validate", "eval"]
    done = subprocess.run(
        [*command, f"--base-url={engine.url}", f"--model={engine.name}", *arguments],
        env=environment() | {"PYTHONPATH": str(REPOSITORY / "operator")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def lm_eval(engine: Engine, data: Path, folder: Path, task: str, shots: int) -> dict[str, Any]:
    """lm-eval's own run, with the model's tokenizer from disk, as its documentation says."""
    config = {
        "model": "local-completions",
        "model_args": {
            "model": engine.name,
            "base_url": f"{engine.url}/v1/completions",
            "tokenizer": str(engine.model),
            "tokenizer_backend": "huggingface",
            "add_bos_token": True,
            "num_concurrent": 8,
            "max_length": 4096,
        },
        "tasks": [task, task],
        "num_fewshot": shots,
        "output_path": str(folder / "out"),
        "log_samples": True,
    }
    (folder / "config.json").write_text(json.dumps(config))
    subprocess.run(
        [
            engine.environment / "bin" / "python",
            "-P",
            "-m",
            "lm_eval",
            "run",
            "--config",
            str(folder / "config.json"),
        ],
        cwd=data,
        env=environment()
        | {"HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
        capture_output=True,
        timeout=300,
        check=True,
    )
    [path] = (folder / "out").rglob("results_*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_log_probabilities_without_a_tokenizer_on_disk(
    engine: Engine, data: Path, tmp_path: Path
) -> None:
    """The server's own tokenizer, through our proxy: what lm-eval gets with one on disk."""
    result = evals(
        engine, f"--task=arc_easy,shots=3,metric=acc,baseline=25,tolerance=25,data={data}"
    )
    assert result["result"] == "Passed", result["message"]
    theirs = lm_eval(engine, data, tmp_path, "arc_easy", 3)
    ours = {row["metric"]: row for row in result["tasks"]}
    assert ours["acc"]["samples"] == 32
    assert ours["acc"]["taskHash"] == theirs["task_hashes"]["arc_easy"][:16]
    for metric in ("acc", "acc_norm"):
        assert ours[metric]["value"] == round(
            100 * theirs["results"]["arc_easy"][f"{metric},none"], 2
        )
        assert ours[metric]["standardError"] == round(
            100 * theirs["results"]["arc_easy"][f"{metric}_stderr,none"], 2
        )


@pytest.mark.parametrize("kind", ["base", "instruct"])
def test_generation_needs_no_tokenizer(engine: Engine, data: Path, kind: str) -> None:
    result = evals(engine, f"--task=gsm8k,shots=2,data={data}", f"--kind={kind}")
    assert (result["result"], result["reason"]) == ("Passed", "NoBaseline")
    assert [row["filter"] for row in result["tasks"]] == ["strict-match", "flexible-extract"]
    assert {row["samples"] for row in result["tasks"]} == {10}
    assert result["lmEvalVersion"] == "0.4.12"
    assert result["requests"] == 11


def test_an_unknown_task_has_near_names(engine: Engine) -> None:
    result = evals(engine, "--task=gsm8kk")
    assert (result["result"], result["reason"]) == ("Error", "UnknownTask")
    assert "gsm8k," in result["message"]


def test_without_its_data_and_network_a_task_is_an_error(engine: Engine, data: Path) -> None:
    result = evals(engine, f"--task=hellaswag,data={data}")
    assert (result["result"], result["reason"]) == ("Error", "NoDataset")
    assert "Rowan/hellaswag/" in result["message"]
