"""References: both forms, one hash, and all that is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ascendllm.checks.mmlu.checkpoint import Identity
from ascendllm.checks.mmlu.data import DataSet, Question
from ascendllm.checks.mmlu.reference import parse_reference, read_reference, require_same
from ascendllm.exceptions import SpecError

IDENTITY = Identity("sha256:d", "lmEval", 1, 5, "meta-llama/Llama-3.1-8B")
ANSWERS = {"anatomy": "AB-D", "virology": "CC"}


def row(answer: str) -> Question:
    return Question("?", ("a", "b", "c", "d"), answer)


DATA = DataSet(
    {}, {"anatomy": tuple(map(row, "ABCD")), "virology": tuple(map(row, "CD"))}, "sha256:d"
)


def stored(**changes: Any) -> str:
    return json.dumps(IDENTITY.to_json() | {"answers": ANSWERS} | changes)


def report(**changes: Any) -> str:
    """What `--output` writes: figures, the identity beside them, a row an answer."""
    rows = [
        {"subject": s, "question": i, "answer": None if a == "-" else a, "correct": True}
        for s, letters in ANSWERS.items()
        for i, a in enumerate(letters)
    ]
    figures = {"check": "mmlu", "subjects": {"anatomy": {"correct": 3}}, "shots": 5}
    return json.dumps(figures | {"identity": IDENTITY.to_json(), "answers": rows} | changes)


def test_both_forms_are_one_reference(tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text(stored())
    (tmp_path / "report.json").write_text(report())
    one, two = (read_reference(tmp_path / f"{name}.json") for name in ("answers", "report"))
    assert one.identity == two.identity == IDENTITY
    assert one.answers == two.answers == ANSWERS
    assert one.digest == two.digest
    assert one.right(DATA) == {"anatomy": [True, True, False, True], "virology": [True, False]}
    require_same(one, IDENTITY, DATA)


def test_the_hash_follows_every_answer_and_option() -> None:
    texts = [
        stored(),
        stored(answers=ANSWERS | {"virology": "CD"}),
        stored(shots=4),
        stored(model="other"),
        stored(protocolNumber=2),
    ]
    assert len({parse_reference(text).digest for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("recorded", "served"),
    [
        ("llama-3.1-8b", "Llama-3.1-8B"),
        ("/models/Meta-Llama-3.1-8B/", "meta-llama-3-1-8b"),
        ("meta-llama/Llama-3.1-8B", "llama_3.1_8b"),
    ],
)
def test_one_model_s_names(recorded: str, served: str) -> None:
    run = Identity("sha256:d", "lmEval", 1, 5, served)
    require_same(parse_reference(stored(model=recorded)), run, DATA)


def test_another_model_s_reference_is_refused_unless_it_was_said() -> None:
    reference = parse_reference(stored(model="qwen3-8b"))
    with pytest.raises(SpecError, match="--reference-model") as caught:
        require_same(reference, IDENTITY, DATA)
    assert caught.value.reason == "OtherModel"
    assert "'qwen3-8b'" in caught.value.message
    require_same(reference, IDENTITY, DATA, "qwen3-8b")
    with pytest.raises(SpecError, match="'qwen3-8b', not 'qwen2'"):
        require_same(reference, IDENTITY, DATA, "qwen2")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"datasetHash": "sha256:e"}, "data set is 'sha256:e', this run's is 'sha256:d'"),
        ({"protocol": "original"}, "protocol is 'original'"),
        ({"protocolNumber": 2}, "protocol number is 2"),
        ({"shots": 0}, "number of shots is 0"),
        ({"measures": "generatedLetter"}, "measure is 'generatedLetter'"),
        ({"subjects": ["anatomy"]}, "choice of subjects"),
        ({"answers": {"anatomy": "ABCD"}}, "different subjects: virology"),
        ({"answers": ANSWERS | {"virology": "C."}}, "virology: 1 of 2 questions are answered"),
        ({"answers": ANSWERS | {"virology": "C"}}, "virology: 1 of 2"),
        ({"answers": ANSWERS | {"virology": "CDA"}}, "virology: 3 of 2"),
        ({"answers": {"anatomy": "A---", "virology": "--"}}, "macro average is 12.50"),
    ],
)
def test_a_reference_of_something_else(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        require_same(parse_reference(stored(**changes)), IDENTITY, DATA)
    assert caught.value.reason == "BadReference"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no JSON object"),
        ("[]", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        (b"\xff", "no JSON object"),
        ("{}", "datasetHash is missing"),
        (stored(model=None), "model is missing"),
        (stored(shots=True), "shots is missing or no int"),
        (stored(subjects=[1]), "subjects are no names"),
        (stored(answers=None), "no answers"),
        (stored(answers={}), "no answers"),
        (stored(answers=[]), "no answers"),
        (stored(answers={"a": "ABX"}), "are not A, B, C, D"),
        (stored(answers={"a": 7}), "are not A, B, C, D"),
        (report(answers=[{}]), "answer 1 lacks"),
        (report(answers=[7]), "answer 1 lacks"),
        (report(answers=[{"subject": "a", "question": -1, "answer": "A"}]), "out of range"),
        (report(answers=[{"subject": "a", "question": 10**9, "answer": "A"}]), "out of range"),
        (report(answers=[{"subject": "a", "question": 0, "answer": "E"}]), "out of range"),
        (
            report(answers=[{"subject": "a", "question": 0, "answer": x} for x in "AB"]),
            "question 0 of a is there twice",
        ),
        (
            report(
                answers=[{"subject": s, "question": 199_999, "answer": "A"} for s in ("a", "b")]
            ),
            "more than 200000 questions",
        ),
    ],
)
def test_what_is_no_reference(text: str | bytes, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        parse_reference(text)
    assert caught.value.reason == "BadReference"


def test_a_file_that_is_not_there_or_far_too_long(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="can't be read"):
        read_reference(tmp_path / "none.json")
    long = tmp_path / "long.json"
    with long.open("wb") as file:
        file.truncate(33 * 1024 * 1024)
    with pytest.raises(SpecError, match="longer than"):
        read_reference(long)
