"""How the letters of MMLU come back: by grammar, in a continued chat, and in the ways they fail."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ascendllm_simulator import tokenizer
from ascendllm_simulator.behaviour import Behaviour, Failure
from ascendllm_simulator.mmlu import Question, recognise_turn, rule_answer
from unit.simulator.running import Start

ALL_RIGHT = Behaviour(load_seconds=0, ttft_ms=0, itl_ms=0, accuracy=100)
QUESTION = "Which of these\nis it?"
BASE = f"{QUESTION}\nA. one\nB. two\nC. three\nD. four\nAnswer:"
TURN = (
    "Given the following question and four candidate answers (A, B, C and D), choose the best "
    f"answer.\nQuestion: {QUESTION}\nA. one\nB. two\nC. three\nD. four\nYour response should end "
    'with "The best answer is [the_answer_letter]" where the [the_answer_letter] is one of A, B, '
    "C or D."
)
TURNS = [
    {"role": "user", "content": TURN.replace(QUESTION, "A shot?")},
    {"role": "assistant", "content": "The best answer is A."},
    {"role": "user", "content": TURN},
    {"role": "assistant", "content": "The best answer is"},
]
OPEN = {"messages": TURNS, "add_generation_prompt": False, "continue_final_message": True}


async def test_a_grammar_masks_before_log_probabilities_are_taken(start: Start) -> None:
    server = await start(ALL_RIGHT)
    free = (await server.complete(BASE, max_tokens=1, logprobs=20)).json()["choices"][0]
    choices = [" A", " B", " C", " D"]
    outputs: Any = {"choice": choices}
    bound = (
        await server.complete(BASE, max_tokens=1, logprobs=20, structured_outputs=outputs)
    ).json()["choices"][0]
    raw, masked = (c["logprobs"]["top_logprobs"][0] for c in (free, bound))
    kept = {token: value for token, value in masked.items() if value > -9999}
    assert set(kept) == {*choices, " "}, "a choice may begin with its space alone"
    assert len(masked) == 20
    assert sum(map(math.exp, kept.values())) == pytest.approx(1, abs=1e-4)
    shifts = [masked[letter] - raw[letter] for letter in choices]
    assert shifts == pytest.approx([shifts[0]] * 4, abs=1e-5)
    assert bound["text"] == f" {rule_answer(QUESTION)}"


async def test_a_continued_chat_answers_with_the_letter_alone(start: Start) -> None:
    server = await start(ALL_RIGHT)
    body = {"model": "m", "max_tokens": 10, "stop": ["."], "temperature": 0, **OPEN}
    answer = (await server.client.post("/v1/chat/completions", json=body)).json()
    assert answer["choices"][0]["message"]["content"] == f" {rule_answer(QUESTION)}"
    assert answer["choices"][0]["stop_reason"] == "."
    counted = (await server.client.post("/tokenize", json={"model": "m", **OPEN})).json()
    assert counted["count"] == answer["usage"]["prompt_tokens"]
    opened = {"model": "m", "messages": TURNS}
    generation = (await server.client.post("/tokenize", json=opened)).json()["tokens"]
    assert generation[: counted["count"]] == counted["tokens"]
    assert generation[counted["count"]] == tokenizer.SPECIAL["<|eot_id|>"]


@pytest.mark.parametrize("path", ["/tokenize", "/v1/chat/completions"])
async def test_a_turn_is_continued_or_opened_not_both(start: Start, path: str) -> None:
    server = await start()
    body = {"model": "m", **OPEN, "add_generation_prompt": True}
    answer = await server.client.post(path, json=body)
    assert answer.status_code == 400
    assert "Cannot set both" in answer.text


def test_turns_that_are_no_question() -> None:
    prefix = "The best answer is"
    assert recognise_turn(f"{TURN}\n{prefix}") == Question("", QUESTION)
    assert recognise_turn(TURN) is None
    assert recognise_turn(f"Hello\n{prefix}") is None


async def test_no_letter(start: Start) -> None:
    failing = Behaviour(failure=Failure("noLetter", {"after": 1, "times": 0}), ttft_ms=0, itl_ms=0)
    server = await start(failing)
    body = {"model": "m", "max_tokens": 10, "stop": ["."], "temperature": 0, **OPEN}
    said = [
        (await server.client.post("/v1/chat/completions", json=body)).json()["choices"][0]
        for _ in range(2)
    ]
    first, second = (choice["message"]["content"].strip() for choice in said)
    assert first in set("ABCD")
    assert second not in set("ABCD")


async def test_bad_logprobs(start: Start) -> None:
    failing = Behaviour(failure=Failure("badLogprobs", {"after": 0, "times": 0}), ttft_ms=0)
    server = await start(failing)
    answer = (await server.complete(BASE, max_tokens=1, logprobs=5)).json()["choices"][0]
    assert answer["logprobs"]["token_logprobs"] == [-9999.0]
    assert set(answer["logprobs"]["top_logprobs"][0].values()) == {-9999.0}
