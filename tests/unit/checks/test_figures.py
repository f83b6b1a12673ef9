from __future__ import annotations

from typing import Any

import pytest

from ascendllm.checks.mmlu.figures import Score, averages, worst


def test_macro_and_micro_by_hand() -> None:
    scores = {"small": Score(9, 10), "large": Score(50, 100)}
    found = averages(scores)
    assert found["macroAverage"] == 70.0
    assert found["microAverage"] == 53.64  # 59 / 110
    errors: Any = found["standardErrors"]
    # sqrt(.9*.1/9 + .5*.5/99) / 2 = 0.05596; sqrt(p(1-p)/109), p = 59/110
    assert errors["macro"] == pytest.approx(5.60, abs=0.005)
    assert errors["micro"] == pytest.approx(4.78, abs=0.005)
    assert found["worstSubjects"] == ["large 50.00 (50/100)", "small 90.00 (9/10)"]
    assert found["subjects"] == {
        "small": {"correct": 9, "questions": 10},
        "large": {"correct": 50, "questions": 100},
    }


def test_the_standard_error_at_mmlu_size() -> None:
    """validation.md §5: about 0.40 points for micro at n = 14,042 and p = 0.66."""
    scores = {f"s{n}": Score(163, 246) for n in range(57)}
    errors: Any = averages(scores)["standardErrors"]
    assert errors["micro"] == 0.40


def test_thirds_are_exact_before_they_are_rounded() -> None:
    scores = {f"s{n}": Score(1, 3) for n in range(57)}
    assert averages(scores)["macroAverage"] == averages(scores)["microAverage"] == 33.33


def test_the_worst_are_few_and_in_order() -> None:
    scores = {name: Score(number, 10) for number, name in enumerate("fedcba")}
    assert list(worst(scores)) == ["f", "e", "d", "c", "b"]
    assert list(worst({"b": Score(0, 1), "a": Score(0, 1)})) == ["a", "b"]


def test_a_part_of_each_subject_is_weighed_by_all_its_questions() -> None:
    """By hand: micro (0.9 * 100 + 0.5 * 300) / 400; Var 1/16 * .09/9 + 9/16 * .25/9."""
    found = averages({"a": Score(9, 10), "b": Score(5, 10)}, {"a": 100, "b": 300})
    assert (found["macroAverage"], found["microAverage"]) == (70.0, 60.0)
    errors: Any = found["standardErrors"]
    assert errors["micro"] == 12.75  # sqrt(0.000625 + 0.015625)
    assert errors["macro"] == 9.72  # sqrt(0.01 + 0.02778) / 2
    assert (found["correct"], found["questions"]) == (14, 20)


def test_the_sizes_change_nothing_where_all_were_asked() -> None:
    scores = {"a": Score(9, 10), "b": Score(50, 100)}
    assert averages(scores, {"a": 10, "b": 100}) == averages(scores)
