from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascendllm.exceptions import SettingsError
from ascendllm_simulator import dataset
from ascendllm_simulator.mmlu import (
    KeyEntry,
    MmluAnswerer,
    Question,
    read_key,
    recognise,
    right_counts,
    rule_answer,
)

LETTERS = "ABCD"


def put(row: list[str], letter: str = "") -> str:
    choices = "".join(f"{name}. {text}\n" for name, text in zip(LETTERS, row[1:5], strict=True))
    solved = f" {letter}\n\n" if letter else ""
    return f"{row[0].strip()}\n{choices}Answer:{solved}"


def prompt(subject: str, shots: list[list[str]], row: list[str]) -> str:
    topic = subject.replace("_", " ")
    head = f"The following are multiple choice questions (with answers) about {topic}.\n\n"
    return head + "".join(put(shot, shot[5]) for shot in shots) + put(row)


@pytest.mark.parametrize("subject", ["abstract_algebra", "virology", "us_foreign_policy"])
def test_the_last_question_of_five_shots_is_recognised(subject: str) -> None:
    dev = list(dataset.rows(subject, "dev", 5))
    for row in dataset.rows(subject, "test", 40):
        assert recognise(prompt(subject, dev, row)) == Question(subject, row[0].strip())
        assert recognise(prompt(subject, [], row) + " ") == Question(subject, row[0].strip())


def test_the_original_header_has_two_spaces() -> None:
    row = next(dataset.rows("anatomy", "test", 1))
    text = prompt("anatomy", [], row).replace("about ", "about  ")
    assert recognise(text) == Question("anatomy", row[0])


def test_no_header_is_no_subject() -> None:
    assert recognise("Which?\nA. a\nB. b\nC. c\nD. d\nAnswer:") == Question("", "Which?")


@pytest.mark.parametrize(
    "text",
    ["", "Answer:", "x\nAnswer:", "q\nA. a\nB. b\nC. c\nAnswer:", "q\nA. a\nB. b\nC. c\nD. d\n"],
)
def test_other_prompts_are_not(text: str) -> None:
    assert recognise(text) is None


@given(st.text(max_size=300))
def test_recognising_never_fails(text: str) -> None:
    recognise(text)
    recognise(f"{text}\nA. \nB. \nC. \nD. \nAnswer:")


# MMLU's real sizes matter: the smallest subject has 100 questions, the largest 1,534.
@given(
    st.dictionaries(st.text(max_size=4), st.integers(1, 1600), min_size=1, max_size=57),
    st.floats(0, 100),
)
def test_counts_are_the_share_rounded_up_or_down(sizes: dict[str, int], accuracy: float) -> None:
    counts = right_counts(sizes, accuracy)
    share = accuracy / 100
    for subject, size in sizes.items():
        assert abs(counts[subject] - share * size) < 1
        assert 0 <= counts[subject] <= size
    assert sum(counts.values()) == round(share * sum(sizes.values()))


@pytest.mark.parametrize("accuracy", [0, 25, 33.3, 65.7, 66.3, 66.7, 99.9, 100])
def test_macro_and_micro_are_met(accuracy: float) -> None:
    source = random.Random(3)
    sizes = {f"s{number}": source.randrange(100, 900) for number in range(56)} | {"law": 1534}
    counts = right_counts(sizes, accuracy)
    micro = 100 * sum(counts.values()) / sum(sizes.values())
    macro = sum(100 * counts[s] / sizes[s] for s in sizes) / len(sizes)
    assert abs(micro - accuracy) <= 100 * 0.5 / sum(sizes.values()) + 1e-9
    assert abs(macro - accuracy) < 0.02


@pytest.mark.parametrize("accuracy", [0.0, 25.0, 66.3, 100.0])
def test_with_a_key_the_accuracy_is_met_exactly(accuracy: float) -> None:
    source = random.Random(1)
    key = [
        KeyEntry(f"subject_{s}", f"question {s} {n}", source.choice(LETTERS))
        for s in range(57)
        for n in range(20)
    ]
    answerer = MmluAnswerer(accuracy, key)
    right = [answerer.answer(Question(e.subject, e.question)) == e.answer for e in key]
    assert sum(right) == round(accuracy / 100 * len(key))
    named = MmluAnswerer(accuracy, reversed(key))
    for entry in key:
        question = Question(entry.subject, entry.question)
        assert answerer.answer(question) == named.answer(question)
        assert answerer.answer(Question("", entry.question)) in LETTERS


def test_without_a_key_the_rule_of_the_made_up_set_counts() -> None:
    questions = [f"question {number}" for number in range(4000)]
    answerer = MmluAnswerer(66.3)
    right = sum(answerer.answer(Question("x", q)) == rule_answer(q) for q in questions)
    assert 0.63 < right / len(questions) < 0.70
    assert all(MmluAnswerer(100).answer(Question("x", q)) == rule_answer(q) for q in questions)
    assert not any(MmluAnswerer(0).answer(Question("x", q)) == rule_answer(q) for q in questions)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}1",
        "[1]",
        '[{"subject": "a"}]',
        '[{"subject": "a", "question": 3, "answer": "A"}]',
        '[{"subject": "a", "question": "b", "answer": "E"}]',
        '[{"subject": "a", "question": "b", "answer": ""}]',
        '[{"subject": "a", "question": "b", "answer": "AB"}]',
    ],
)
def test_bad_keys_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"answers\.json"):
        read_key(path)
    with pytest.raises(SettingsError, match="FileNotFoundError"):
        read_key(tmp_path / "none.json")


def test_the_set_has_the_layout_and_the_traps(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    dataset.main([str(tmp_path), "--questions", "20", "--key", str(key)])
    entries = read_key(key)
    assert len(entries) == 57 * 20
    assert len({entry.question for entry in entries}) == len(entries)
    assert [entry.answer for entry in entries] == [rule_answer(e.question) for e in entries]
    choices: list[str] = []
    texts: list[str] = []
    for subject in dataset.SUBJECTS:
        for split, number in (("dev", 5), ("test", 20)):
            path = tmp_path / split / f"{subject}_{split}.csv"
            with path.open(newline="", encoding="utf-8") as file:
                table = list(csv.reader(file))
            assert len(table) == number
            assert all(len(row) == 6 and row[5] in LETTERS for row in table)
            assert all(len(set(row[1:5])) == 4 for row in table)
            texts += [row[0] for row in table]
            choices += [choice for row in table for choice in row[1:5]]
    assert len(dataset.SUBJECTS) == len(set(dataset.SUBJECTS)) == 57
    assert {"None", "NA", "nan", "N/A", "null"} <= set(choices)
    assert any("\n" in choice for choice in choices)
    for mark in ('"', ",", "\n", "\n\n"):
        assert any(mark in text for text in texts)


def test_the_set_is_always_the_same(tmp_path: Path) -> None:
    dataset.write(tmp_path / "a", 3, tmp_path / "a.json")
    dataset.write(tmp_path / "b", 3, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    first = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.csv"))
    assert len(first) == 114
    for name in first:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len(json.loads((tmp_path / "a.json").read_text())) == 171


def test_the_set_must_have_questions(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        dataset.main([str(tmp_path), "--questions", "0"])
