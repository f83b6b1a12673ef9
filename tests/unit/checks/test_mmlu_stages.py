"""Which questions are asked, in which order and steps, and what a part of them comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ascendllm.checks.mmlu.checkpoint import Answers, Identity, empty
from ascendllm.checks.mmlu.data import DataSet, Question
from ascendllm.checks.mmlu.stages import Plan, in_order
from ascendllm.checks.mmlu.subjects import choose_subjects
from ascendllm.checks.runner import Tracker
from ascendllm.exceptions import CheckError, SpecError
from unit.checks.letters_server import LettersServer
from unit.checks.mmlu_set import right_letter, write_set
from unit.checks.test_mmlu_run import run_mmlu


def data_of(**sizes: int) -> DataSet:
    row = Question("?", ("a", "b", "c", "d"), "A")
    return DataSet({s: (row,) * 5 for s in sizes}, {s: (row,) * n for s, n in sizes.items()}, "d")


def none_yet(data: DataSet) -> Answers:
    return empty(Identity("d", "lmEval", 1, 5, "m"), data)


def test_subject_by_subject() -> None:
    data = data_of(a=2, b=2, c=1)
    stage = {subject: range(len(rows)) for subject, rows in data.test.items()}
    order = [f"{subject}{index}" for subject, index in in_order(stage, none_yet(data))]
    assert order == ["a0", "a1", "b0", "b1", "c0"]


def test_what_is_answered_is_left_out() -> None:
    data = data_of(a=3, b=2)
    answers = none_yet(data)
    answers.letters["a"][0] = "B"
    answers.letters["b"][:] = ["-", "A"]
    stage = {subject: range(len(rows)) for subject, rows in data.test.items()}
    assert list(in_order(stage, answers)) == [("a", 1), ("a", 2)]
    assert list(in_order({}, answers)) == []


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_set(tmp_path / "mmlu")


@pytest.mark.parametrize(("looks", "asked"), [(1, 3), (2, 6), (3, 10)])
async def test_the_asking_ends_when_it_has_enough(data: Path, looks: int, asked: int) -> None:
    seen: list[tuple[int, int]] = []

    def planner(_data: DataSet, answers: Answers) -> Plan:
        def enough(finished: int) -> bool:
            seen.append((finished, answers.done))
            return finished == looks

        first = {"abstract_algebra": [3], "us_foreign_policy": [0, 5]}
        second = {"abstract_algebra": [0], "us_foreign_policy": [1, 2]}
        rest = {"abstract_algebra": [1, 2], "us_foreign_policy": [3, 4]}
        return Plan([first, second, rest], enough)

    server, tracker = LettersServer(), Tracker()
    outcome = await run_mmlu(server, data, tracker, planner=planner)
    assert server.seen["/v1/completions"] == asked
    assert seen == [(1, 3), (2, 6)][: min(looks, 2)]
    assert (outcome.figures["questions"], outcome.figures["unanswered"]) == (asked, 0)
    assert (tracker.done, tracker.total) == (asked, asked)
    rows: Any = outcome.documents.report["answers"]
    assert len(rows) == asked
    assert tracker.checkpoint is not None
    again = LettersServer()
    await run_mmlu(again, data, None, tracker.checkpoint())
    assert again.seen["/v1/completions"] == 10 - asked, "it goes on from there"


async def test_answers_without_a_letter_are_counted_among_those_of_the_look(data: Path) -> None:
    """One in three of the first look is too many, though it is not of all that may be asked."""
    large = write_set(data.parent / "large", {"anatomy": 60})

    def planner(_data: DataSet, _answers: Answers) -> Plan:
        return Plan([{"anatomy": [0, 1, 2]}, {"anatomy": range(3, 60)}], lambda _finished: True)

    server = LettersServer(said=lambda p: " well" if "test 0?" in p else f" {right_letter(p)}")
    with pytest.raises(CheckError) as caught:
        await run_mmlu(server, large, planner=planner, protocol="metaInstruct")
    assert caught.value.reason == "Extraction"
    assert "of 3 questions" in caught.value.message


def test_a_subject_that_is_not_there_is_refused_with_the_near_ones() -> None:
    data = data_of(abstract_algebra=1, anatomy=1, college_biology=1)
    assert choose_subjects(data, ()) is data
    chosen = choose_subjects(data, ("anatomy", "anatomy"))
    assert (list(chosen.test), list(chosen.dev), chosen.digest) == (["anatomy"], ["anatomy"], "d")
    with pytest.raises(SpecError) as caught:
        choose_subjects(data, ("abstract algebra",))
    assert caught.value.reason == "UnknownSubject"
    assert "near it: abstract_algebra" in caught.value.message
    with pytest.raises(SpecError) as caught:
        choose_subjects(data, ("zzz",))
    assert "known: abstract_algebra, anatomy" in caught.value.message


async def test_a_chosen_subject_alone_is_asked(data: Path) -> None:
    server = LettersServer()
    outcome = await run_mmlu(server, data, subjects=("abstract_algebra",))
    assert (outcome.result, outcome.figures["questions"]) == ("Passed", 4)
    assert "custom data" in outcome.message
    assert all("foreign" not in p.get("prompt", "") for p in server.payloads)


async def test_answers_of_other_subjects_are_not_mixed_in(data: Path) -> None:
    tracker = Tracker()
    await run_mmlu(LettersServer(), data, tracker, subjects=("abstract_algebra",))
    assert tracker.checkpoint is not None
    server = LettersServer()
    await run_mmlu(server, data, None, tracker.checkpoint())
    assert server.seen["/v1/completions"] == 10
