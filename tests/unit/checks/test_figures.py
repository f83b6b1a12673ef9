from __future__ import annotations

import math
from typing import Any

import pytest

from ascendllm.checks.bench.metrics import Sample, figures, percentile
from ascendllm.checks.endpoint import Endpoint
from ascendllm.checks.mmlu.answer import read_answer
from ascendllm.checks.mmlu.figures import Score, averages, worst

ENDPOINT = Endpoint("http://x", "m")


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


def sample(start: float, first: float, gaps: tuple[float, ...], tokens: int) -> Sample:
    return Sample("id", start, first, first + sum(gaps), gaps, 10, tokens)


def test_bench_figures_by_hand() -> None:
    samples = [
        sample(0.0, 0.1, (0.02, 0.04), 3),  # ttft 100, e2el 160, tpot 30
        sample(0.0, 0.2, (0.1,), 2),  # ttft 200, e2el 300, tpot 100
        sample(1.0, 1.3, (), 1),  # ttft 300, e2el 300, no tpot
    ]
    found = figures(samples, 2.0, npus=4)
    assert found["completed"] == 3
    assert (found["totalInputTokens"], found["totalOutputTokens"]) == (30, 6)
    assert found["requestThroughput"] == 1.5
    assert (found["outputThroughput"], found["totalTokenThroughput"]) == (3.0, 18.0)
    assert found["outputThroughputPerNpu"] == 0.75
    assert (found["meanTtftMs"], found["medianTtftMs"]) == (200.0, 200.0)
    assert found["stdTtftMs"] == 81.65  # of the population: sqrt(20000/3)
    assert found["p99TtftMs"] == 298.0  # position 1.98 between 200 and 300
    assert (found["meanTpotMs"], found["medianTpotMs"]) == (65.0, 65.0)
    assert found["meanItlMs"] == 53.33
    assert found["meanE2elMs"] == 253.33


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([1.0], 99, 1.0), ([3.0, 1.0, 2.0], 50, 2.0), ([0.0, 10.0], 99, 9.9), ([1.0, 2.0], 100, 2.0)],
)
def test_percentiles_are_linear(values: list[float], percent: float, expected: float) -> None:
    assert math.isclose(percentile(values, percent), expected)


def body(token: int, logprob: float, top: dict[int, float]) -> dict[str, Any]:
    logprobs = {
        "tokens": [f"token_id:{token}"],
        "token_logprobs": [logprob],
        "top_logprobs": [{f"token_id:{key}": value for key, value in top.items()}],
    }
    return {"model": "m", "choices": [{"logprobs": logprobs}]}


LETTERS = {32: "A", 33: "B", 34: "C", 35: "D"}


def test_the_sampled_letter_is_the_answer() -> None:
    answer = body(34, -1.0, {34: -1.0, 99: -0.5, 32: -2.0})
    assert read_answer(answer, ENDPOINT, LETTERS) == "C"


def test_a_letter_that_is_not_in_the_top_counts_by_itself() -> None:
    assert read_answer(body(35, -12.0, {99: -0.1}), ENDPOINT, LETTERS) == "D"


def test_a_tie_goes_to_the_first_letter_as_in_lm_eval() -> None:
    answer = body(35, -1.0, {35: -1.0, 33: -1.0, 34: -1.5})
    assert read_answer(answer, ENDPOINT, LETTERS) == "B"
