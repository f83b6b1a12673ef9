"""A model against another one that is trusted: question by question, and token by token.

`trusted` is proven and recorded first. What is held against it is then applied at once, and each
test looks at its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ascendllm.checks.parity.reference import read_reference, to_text
from cluster.commands import environment
from cluster.provider import Provider
from e2e.resources import CHECKS, QUESTIONS, RIGHT, model, resource
from e2e.space import Space, condition, namespace

pytestmark = pytest.mark.timeout(300)

TRUSTED = "trusted"
FIRST_LOOK = QUESTIONS // 2
"""Ten of each subject's twenty questions."""

ANSWERS = {"reference": {"configMap": "answers"}}


@pytest.fixture(scope="module")
def space(installed: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    good = model(installed, "trusted")
    worse = model(installed, "worse-than-trusted", accuracy=50)
    with namespace(installed, "references") as made:
        made.apply(resource(TRUSTED, good, {"mmlu": CHECKS["mmlu"]}))
        made.wait_for_ready(TRUSTED)
        folder = tmp_path_factory.mktemp("references")
        recorded = recorded_parity(made, folder)
        made.apply(
            config_map("answers", {"answers.json": answers(made)}),
            config_map("recorded", {"reference.jsonl": recorded}),
            config_map("foreign", {"reference.jsonl": of_another_model(folder, recorded)}),
        )
        made.patch(
            TRUSTED,
            {"validation": {"mmlu": ANSWERS, "parity": parity("recorded")}},
        )
        known_as = {"reference": {"configMap": "answers", "model": TRUSTED}}
        made.apply(
            resource("worse", worse, {"mmlu": known_as}),
            resource("unknown", good, {"mmlu": ANSWERS, "retries": 0}),
            resource("foreign", good, {"parity": parity("foreign"), "retries": 0}),
        )
        yield made


def parity(config_map: str) -> dict[str, Any]:
    return {"reference": {"configMap": config_map}}


def config_map(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def answers(space: Space) -> str:
    """Every answer of the trusted model, as its run's ConfigMap holds them."""
    run = space.status(TRUSTED)["validation"]["mmlu"]["report"]
    return str(space.runs(TRUSTED)[run]["answers.json"])


def recorded_parity(space: Space, folder: Path) -> str:
    """What `ascendllm parity record` writes of the trusted model."""
    output = folder / "reference.jsonl"
    with space.forward(f"service/{TRUSTED}") as url:
        subprocess.run(
            [
                *(sys.executable, "-m", "ascendllm", "parity", "record", "--control"),
                *(f"--base-url={url}", f"--model={TRUSTED}", f"--output={output}"),
                *("--dtype=float32", "--max-tokens=16", "--longest=256"),
            ],
            env=environment(),
            check=True,
            capture_output=True,
            timeout=120,
        )
    return output.read_text()


def of_another_model(folder: Path, recorded: str) -> str:
    """The same reference, had the model another tokenizer."""
    file = folder / "foreign.jsonl"
    file.write_text(recorded)
    reference = read_reference(file)
    first, *rest = reference.prompts
    other = replace(first, text_token_ids=tuple(token + 1 for token in first.text_token_ids))
    return to_text(replace(reference, prompts=(other, *rest)))


def ready(status: dict[str, Any]) -> tuple[str, str]:
    found = condition({"status": status}, "Ready")
    return found["status"], found["reason"]


def test_the_first_run_is_the_reference_of_the_next(space: Space) -> None:
    """A healthy model is judged after a part of the questions."""
    space.wait_for_ready(TRUSTED)
    status = space.settle(TRUSTED)
    mmlu = status["validation"]["mmlu"]
    paired = mmlu["paired"]

    assert (mmlu["result"], mmlu["reason"]) == ("Passed", "NotInferior")
    assert mmlu["questions"] == paired["questions"] == FIRST_LOOK < QUESTIONS
    assert (paired["looks"], paired["better"], paired["worse"]) == (1, 0, 0)
    assert paired["referenceHash"].startswith("sha256:")
    assert -mmlu["tolerance"] < paired["lower"] <= paired["delta"] == 0
    assert "shiftedSubjects" not in mmlu
    whole = [entry for entry in status["history"] if entry["check"] == "mmlu"]
    assert [entry["result"] for entry in whole] == ["Passed", "Passed"]
    sealed = json.loads(space.runs(TRUSTED)[whole[-1]["report"]]["sealed.json"])
    assert sealed["questions"] == QUESTIONS
    assert sealed["microAverage"] == round(100 * RIGHT / QUESTIONS, 2)


def test_a_worse_model_is_found_out_as_soon(space: Space) -> None:
    status = space.settle("worse")
    mmlu = status["validation"]["mmlu"]

    assert ready(status) == ("False", "ValidationFailed")
    assert (mmlu["result"], mmlu["reason"]) == ("Failed", "Inferior")
    assert mmlu["questions"] == mmlu["paired"]["questions"] == FIRST_LOOK
    assert mmlu["paired"]["upper"] < -mmlu["tolerance"]
    assert mmlu["paired"]["worse"] > mmlu["paired"]["better"]


def test_answers_of_a_model_of_another_name_decide_nothing(space: Space) -> None:
    status = space.settle("unknown")
    mmlu = status["validation"]["mmlu"]

    assert ready(status) == ("False", "ValidationError")
    assert (mmlu["result"], mmlu["reason"]) == ("Error", "OtherModel")
    assert TRUSTED in mmlu["message"]


def test_a_model_keeps_to_what_was_recorded_of_it(space: Space) -> None:
    space.wait_for_ready(TRUSTED)
    found = space.settle(TRUSTED)["validation"]["parity"]

    assert (found["result"], found["reason"]) == ("Passed", "WithinThresholds")
    assert found["thresholdsFrom"] == "control"
    assert (found["rankAgreement"], found["maxLogprobDifference"]) == (100, 0)
    assert found["firstDivergence"] == {"diverged": 0}
    assert found["perplexity"] == found["referencePerplexity"] > 1
    assert found["prompts"] > 10
    assert found["tokens"] >= found["prompts"]


def test_a_reference_of_another_model_gives_no_number(space: Space) -> None:
    status = space.settle("foreign")
    found = status["validation"]["parity"]

    assert ready(status) == ("False", "ValidationError")
    assert (found["result"], found["reason"]) == ("Error", "ReferenceMismatch")
    assert "the reference is of another model" in found["message"]
    assert not {"rankAgreement", "perplexity", "meanLogprobDifference"} & set(found)
