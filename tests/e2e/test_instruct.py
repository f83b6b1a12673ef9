"""An instruct model: asked in its chat, by MMLU and by lm-eval's gsm8k."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.installation import MODELS
from cluster.provider import Provider
from e2e.resources import QUESTIONS, RIGHT, model, resource
from e2e.space import Space, condition, namespace

pytestmark = pytest.mark.timeout(300)

CHATTY = "chatty"
DATA = f"{MODELS}/e2e/lm-eval"
SAMPLES = 8

_CARD = """---
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train.jsonl
  - split: test
    path: main/test.jsonl
---
"""


def gsm8k(**baseline: Any) -> dict[str, Any]:
    """The task; the simulated model answers with words that hold no number."""
    data = {"hostPath": DATA}
    judged = {"filter": "strict-match", "metric": "exact_match"}
    return {"task": "gsm8k", "shots": 2, "data": data, **judged, **baseline}


@pytest.fixture(scope="module")
def space(installed: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    make_sums(tmp_path_factory.mktemp("lm-eval") / "data", installed)
    path = model(installed, CHATTY, chatTemplate=True)
    with namespace(installed, "instruct") as made:
        made.apply(
            resource(
                CHATTY,
                path,
                {
                    "smoke": {"prompts": [{"messages": [{"role": "user", "content": "Hello"}]}]},
                    "mmlu": {"baseline": {"value": 66.7, "average": "macro"}},
                    "evals": [gsm8k(baseline=0.5)],
                },
                model={"source": {"hostPath": path}, "kind": "instruct"},
            )
        )
        made.wait_for_ready(CHATTY)
        yield made


def make_sums(folder: Path, cluster: Provider) -> None:
    """Made-up sums in gsm8k's columns, on the node under the data set's name on the hub."""
    rows = [
        {"question": f"What is {n} plus {n + 2}?", "answer": f"It is so.\n#### {2 * n + 2}"}
        for n in range(SAMPLES)
    ]
    place = folder / "openai" / "gsm8k"
    (place / "main").mkdir(parents=True)
    (place / "README.md").write_text(_CARD)
    for split in ("train", "test"):
        (place / "main" / f"{split}.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows))
    cluster.node_copy(folder, DATA)


def checks(space: Space) -> dict[str, Any]:
    return dict(space.settle(CHATTY)["validation"])


def test_smoke_asks_in_the_chat(space: Space) -> None:
    smoke = checks(space)["smoke"]
    found = {item["name"]: item["result"] for item in smoke["checks"]}

    assert smoke["result"] == "Passed"
    assert (found["chat"], found["streaming"]) == ("Passed", "Passed")
    assert "chatOfBaseModel" not in found


def test_mmlu_reads_the_letter_that_the_model_writes(space: Space) -> None:
    mmlu = checks(space)["mmlu"]

    assert (mmlu["result"], mmlu["protocol"]) == ("Passed", "metaInstruct")
    assert (mmlu["method"], mmlu["unextracted"]) == ("generated", 0)
    assert mmlu["questions"] == QUESTIONS
    assert mmlu["microAverage"] == round(100 * RIGHT / QUESTIONS, 2)


def test_lm_eval_itself_asks_gsm8k_and_both_filters_are_reported(space: Space) -> None:
    evals = checks(space)["evals"]
    judged, other = evals["tasks"]

    assert (evals["result"], evals["lmEvalVersion"]) == ("Passed", "0.4.12")
    assert {row["task"] for row in evals["tasks"]} == {"gsm8k"}
    assert {row["metric"] for row in evals["tasks"]} == {"exact_match"}
    assert (judged["filter"], other["filter"]) == ("strict-match", "flexible-extract")
    assert {row["samples"] for row in evals["tasks"]} == {SAMPLES}
    assert {row["shots"] for row in evals["tasks"]} == {2}
    assert all("value" in row and "standardError" in row for row in evals["tasks"])
    assert judged["delta"] == round(judged["value"] - 0.5, 2)
    assert (judged["result"], judged["tolerance"]) == ("Passed", 1)
    assert "result" not in other


def test_another_baseline_judges_the_same_figures(space: Space) -> None:
    before, jobs = checks(space)["evals"], space.uids("jobs", CHATTY)
    space.patch(CHATTY, {"validation": {"evals": [gsm8k(baseline=90)]}})
    status = space.settle(CHATTY)
    after = status["validation"]["evals"]

    assert (after["result"], after["reason"]) == ("Failed", "BelowBaseline")
    assert after["report"] == before["report"]
    assert after["tasks"][0]["delta"] == round(before["tasks"][0]["value"] - 90, 2)
    assert condition({"status": status}, "Ready")["reason"] == "Regression"
    assert condition({"status": status}, "Available")["status"] == "True"
    assert space.uids("jobs", CHATTY) == jobs, "nothing is run"
