"""Question for question the answers of lm-eval 0.4.12 on the same server, over the same questions.

lm-eval runs its own `mmlu_<subject>` tasks, five shots, through `local-completions` in its best
settings: the model's tokenizer, BOS, room for the whole prompt, sixteen requests at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ascendllm_simulator import dataset
from vllm.engine import SERVED, Engine, command_environment

SUBJECTS = (
    "abstract_algebra",
    "anatomy",
    "college_medicine",
    "high_school_us_history",
    "moral_scenarios",
    "professional_law",
    "us_foreign_policy",
    "world_religions",
)
QUESTIONS = 25
LETTERS = "ABCD"

Key = tuple[str, int]


@dataclass(frozen=True)
class Theirs:
    """lm-eval's answer to one question: the four log-probabilities, and whether it was right."""

    logprobs: tuple[float, ...]
    correct: bool

    @property
    def answer(self) -> str:
        return LETTERS[self.logprobs.index(max(self.logprobs))]

    @property
    def tied(self) -> bool:
        """Whether two letters are exactly the likeliest: then either is an answer."""
        return self.logprobs.count(max(self.logprobs)) > 1


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up questions, with quotes, commas, line breaks, and choices such as `NA`."""
    folder = tmp_path_factory.mktemp("mmlu")
    dataset.write(folder / "csv", QUESTIONS)
    return folder / "csv"


@pytest.fixture(scope="module")
def ours(engine: Engine, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    report = tmp_path_factory.mktemp("ours") / "report.json"
    command = [sys.executable, "-m", "ascendllm", "validate", "mmlu", "--base-url", engine.url]
    command += ["--model", SERVED, "--kind", "base", "--protocol", "lmEval", "--shots", "5"]
    command += ["--data", str(questions), "--custom-data", "--subjects", ",".join(SUBJECTS)]
    outcome = subprocess.run(
        [*command, "--output", str(report), "-o", "json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert report.exists(), outcome.stderr[-2000:]
    return json.loads(report.read_text())


@pytest.fixture(scope="module")
def theirs(
    engine: Engine, questions: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[Key, Theirs]:
    folder = tmp_path_factory.mktemp("lm-eval")
    environment = {
        **command_environment(engine.environment),
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(folder / "home"),
    }
    binaries = engine.environment / "bin"
    hub = [str(binaries / "python"), "-I", str(Path(__file__).with_name("hub_set.py"))]
    run([*hub, str(questions), str(folder), *SUBJECTS], folder, environment)
    model = {
        "model": SERVED,
        "base_url": f"{engine.url}/v1/completions",
        "tokenizer": str(engine.model),
        "tokenizer_backend": "huggingface",
        "add_bos_token": "True",
        "max_length": "4096",
        "num_concurrent": "16",
    }
    command = [str(binaries / "lm_eval"), "--model", "local-completions", "--log_samples"]
    command += ["--model_args", ",".join(f"{key}={value}" for key, value in model.items())]
    command += ["--tasks", ",".join(f"mmlu_{subject}" for subject in SUBJECTS)]
    command += ["--num_fewshot", "5", "--output_path", str(folder / "out")]
    run(command, folder, environment)
    found: dict[Key, Theirs] = {}
    for subject in SUBJECTS:
        [samples] = (folder / "out").rglob(f"samples_mmlu_{subject}_*.jsonl")
        for line in samples.read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            scores = tuple(float(answer[0]) for answer in sample["filtered_resps"])
            found[subject, sample["doc_id"]] = Theirs(scores, sample["acc"] == 1.0)
    return found


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    outcome = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]


@pytest.mark.timeout(900)
def test_every_answer_is_lm_evals(
    ours: Any, theirs: dict[Key, Theirs], record_property: Callable[[str, object], None]
) -> None:
    answers = {(answer["subject"], answer["question"]): answer for answer in ours["answers"]}
    assert answers.keys() == theirs.keys()
    assert len(theirs) == len(SUBJECTS) * QUESTIONS
    ties = [key for key, answer in theirs.items() if answer.tied]
    record_property("ties", len(ties))
    print(f"{len(theirs)} questions, {len(ties)} ties")
    other = {
        key: (answers[key]["answer"], answer)
        for key, answer in theirs.items()
        if key not in ties and answers[key]["answer"] != answer.answer
    }
    assert other == {}
    # Four answers that are all in use: a method that always says one letter would pass above.
    assert {answer.answer for answer in theirs.values()} == set(LETTERS)
    assert len(ties) <= len(theirs) // 100


def test_every_mark_is_lm_evals(ours: Any, theirs: dict[Key, Theirs]) -> None:
    marks = {
        (answer["subject"], answer["question"]): answer["correct"] for answer in ours["answers"]
    }
    assert {key: mark for key, mark in marks.items() if mark != theirs[key].correct} == {}
    right = sum(answer.correct for answer in theirs.values())
    assert ours["microAverage"] == round(100 * right / len(theirs), 2)


def test_it_takes_a_quarter_of_the_requests(ours: Any, theirs: dict[Key, Theirs]) -> None:
    """lm-eval asks four times a question; ours once, and some for the tokenizer."""
    assert ours["method"] == "allowedTokens"
    assert ours["requests"] <= len(theirs) + 8 * len(SUBJECTS) < 4 * len(theirs)
