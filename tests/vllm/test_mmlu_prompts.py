"""MMLU's prompts and the reading of generated letters, held against lm-eval's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ascendllm.checks.mmlu.data import LETTERS, DataSet, Question, digest
from ascendllm.checks.mmlu.prompts import Prompts
from ascendllm.checks.mmlu.protocols import PROTOCOLS
from ascendllm.checks.mmlu.protocols.meta_instruct import extract
from cluster.commands import environment, run
from vllm.environment import install

SUBJECT = "high_school_us_history"
DEV = (
    Question("  Who was first? ", ("one", "NA", " 3 ", "None"), "B"),
    Question('A "quote",\nand a line\n', ("1", "2", "3", "4"), "D"),
    Question("{{braces}} and \\n", ("{% x %}", "$", "nan", "."), "A"),
)
TEST = (
    Question("\tWhich\n year? ", ("a", "b", "c", ""), "A"),
    Question("Text\n\nin paragraphs, é 中", ("ü", "\n", "  ", "d."), "C"),
)
SAID = (
    *(" A", " A.", "B", " a", " (C)", "$D$", "**B**", " C\n", "\nB", "A:", "D..", ". A", "[B]"),
    *(" The answer is A", "", "AB", "A B", "A )", "E", "1", "answer", " A\n\nB", "-C", "C-", "  "),
)


def lm_eval(protocol: str, shots: int, said: tuple[str, ...] = ()) -> Any:
    """What lm-eval makes of the rows above."""
    asked = {
        "task": protocol,
        "subject": SUBJECT,
        "shots": shots,
        "dev": [[row.question, list(row.choices), row.answer] for row in DEV],
        "test": [[row.question, list(row.choices), row.answer] for row in TEST],
        "said": list(said),
    }
    # -P: the script's folder holds a module named as one that lm-eval imports.
    command = [str(install() / "bin" / "python"), "-P", str(SCRIPT)]
    env = environment() | {"HF_HUB_OFFLINE": "1"}
    return json.loads(run(command, text=json.dumps(asked), env=env, timeout=120))


SCRIPT = Path(__file__).with_name("lm_eval_rendering.py")


def ours(protocol: str, shots: int) -> Prompts:
    dev, test = {SUBJECT: DEV}, {SUBJECT: TEST}
    return Prompts(PROTOCOLS[protocol], DataSet(dev, test, digest(dev, test)), shots)


@pytest.mark.parametrize("shots", [0, 1, 3])
def test_the_text_is_lm_evals(shots: int) -> None:
    rendered = lm_eval("lmEval", shots)["prompts"]
    prompts = ours("lmEval", shots)
    assert [prompts.of(SUBJECT, index).text for index in range(len(TEST))] == rendered


@pytest.mark.parametrize("shots", [0, 3])
def test_the_turns_are_lm_evals(shots: int) -> None:
    rendered = lm_eval("metaInstruct", shots)["prompts"]
    prompts = ours("metaInstruct", shots)
    for index, theirs in enumerate(rendered):
        fields = prompts.of(SUBJECT, index).fields()
        assert fields["messages"] == theirs["turns"]
        assert fields["add_generation_prompt"] is theirs["opens"] is False


def test_a_generated_letter_is_right_where_lm_eval_says_so() -> None:
    scores = lm_eval("metaInstruct", 0, SAID)["scores"]
    for said, right in zip(SAID, scores, strict=True):
        letter = extract(said)
        assert [float(letter == each) for each in LETTERS] == right, repr(said)
