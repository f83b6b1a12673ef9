"""The three protocols to the letter: prompts written down from their sources, and their rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ascendllm.checks.mmlu.data import DataSet, Question, digest
from ascendllm.checks.mmlu.prompts import Prompts
from ascendllm.checks.mmlu.protocols import DEFAULT_BY_KIND, PROTOCOLS
from ascendllm.checks.mmlu.protocols.meta_instruct import extract
from ascendllm.checks.runner import Tracker
from ascendllm.exceptions import CheckError
from unit.checks.fake_server import error
from unit.checks.letters_server import LETTERS, LettersServer, letters_first
from unit.checks.mmlu_set import right_letter, write_set
from unit.checks.test_mmlu_run import run_mmlu

SUBJECT = "high_school_us_history"
DEV = (
    Question("  Who was first? ", ("one", "NA", " 3 ", "None"), "B"),
    Question('A "quote",\nand a line', ("1", "2", "3", "4"), "D"),
)
TEST = (Question("\tWhich\n year? ", ("a", "b", "c", ""), "A"),)

LM_EVAL = """\
The following are multiple choice questions (with answers) about high school us history.

Who was first?
A. one
B. NA
C.  3 
D. None
Answer: B

A "quote",
and a line
A. 1
B. 2
C. 3
D. 4
Answer: D

Which
 year?
A. a
B. b
C. c
D. 
Answer:"""  # noqa: W291 - choices are not stripped

ORIGINAL = (
    "The following are multiple choice questions (with answers) about  high school us history."
    "\n\n"
    "  Who was first? \nA. one\nB. NA\nC.  3 \nD. None\nAnswer: B\n\n"
    'A "quote",\nand a line\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: D\n\n'
    "\tWhich\n year? \nA. a\nB. b\nC. c\nD. \nAnswer:"
)

GIVEN = "Given the following question and four candidate answers (A, B, C and D), choose the best "
GIVEN += "answer.\nQuestion: "
ENDING = '\nYour response should end with "The best answer is [the_answer_letter]" where the '
ENDING += "[the_answer_letter] is one of A, B, C or D."
META = [
    ("user", f"{GIVEN}Who was first?\nA. one\nB. NA\nC.  3 \nD. None{ENDING}"),
    ("assistant", "The best answer is B."),
    ("user", f'{GIVEN}A "quote",\nand a line\nA. 1\nB. 2\nC. 3\nD. 4{ENDING}'),
    ("assistant", "The best answer is D."),
    ("user", f"{GIVEN}Which\n year?\nA. a\nB. b\nC. c\nD. {ENDING}"),
    ("assistant", "The best answer is"),
]


def prompts(protocol: str, shots: int = 2) -> Prompts:
    dev, test = {SUBJECT: DEV}, {SUBJECT: TEST}
    return Prompts(PROTOCOLS[protocol], DataSet(dev, test, digest(dev, test)), shots)


@pytest.mark.parametrize(("protocol", "text"), [("lmEval", LM_EVAL), ("original", ORIGINAL)])
def test_texts(protocol: str, text: str) -> None:
    assert prompts(protocol).of(SUBJECT, 0).fields() == {"prompt": text}


def test_without_shots() -> None:
    start = "The following are multiple choice questions (with answers) about high school us"
    start += " history.\n\nWhich\n year?\n"
    assert prompts("lmEval", 0).of(SUBJECT, 0).text.startswith(start)
    assert len(prompts("metaInstruct", 0).of(SUBJECT, 0).turns) == 2


def test_turns() -> None:
    assert prompts("metaInstruct").of(SUBJECT, 0).fields() == {
        "messages": [{"role": role, "content": content} for role, content in META],
        "add_generation_prompt": False,
        "continue_final_message": True,
    }


def test_the_default_is_the_kinds() -> None:
    assert DEFAULT_BY_KIND == {"base": "lmEval", "instruct": "metaInstruct"}
    assert set(PROTOCOLS) == {"lmEval", "original", "metaInstruct"}


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        # As lm-eval 0.4.12 scores them; tests/vllm holds this list against lm-eval itself.
        (" A", "A"),
        (" A.", "A"),
        ("B", "B"),
        (" a", "A"),
        (" (C)", "C"),
        ("$D$", "D"),
        ("**B**", "B"),
        (" C\n", "C"),
        ("\nB", "B"),
        ("A:", "A"),
        (" The answer is A", None),
        ("", None),
        ("AB", None),
        ("A B", None),
        ("A )", None),
        ("E", None),
        ("1", None),
        ("Ａ", None),  # noqa: RUF001 - fullwidth
    ],
)
def test_the_letter_that_was_written(said: str, letter: str | None) -> None:
    assert extract(said) == letter


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_set(tmp_path / "mmlu", {"anatomy": 30, "us_foreign_policy": 10})


async def instruct(server: LettersServer, data: Path, **changes: Any) -> Any:
    return await run_mmlu(server, data, protocol="metaInstruct", **changes)


async def test_an_instruct_model_is_asked_for_the_letter_it_writes(data: Path) -> None:
    server = LettersServer()
    outcome = await instruct(server, data, concurrency=1)
    assert (outcome.result, outcome.figures["method"]) == ("Passed", "generated")
    assert (outcome.figures["microAverage"], outcome.figures["unextracted"]) == (100.0, 0)
    sent = next(p for p in server.payloads if p["path"] == "/v1/chat/completions")
    assert (sent["max_tokens"], sent["stop"], sent["temperature"]) == (10, ["."], 0)
    assert sent["continue_final_message"] is True
    assert sent["add_generation_prompt"] is False
    assert len(sent["messages"]) == 12
    assert server.seen["/v1/completions"] == 0
    assert server.seen["/v1/chat/completions"] == 40
    assert server.seen["/tokenize"] == 2, "each subject's longest prompt"


async def test_an_answer_without_a_letter_counts_as_wrong_and_is_counted(data: Path) -> None:
    missed = {"anatomy test 3", "anatomy test 4"}

    def said(prompt: str) -> str | None:
        if any(prompt.startswith(f"{question}?") for question in missed):
            return None if "3" in prompt.split("?")[0] else " I cannot say"
        return f" {right_letter(prompt)}."

    tracker = Tracker()
    outcome = await instruct(LettersServer(said=said), data, tracker=tracker)
    assert outcome.figures["unextracted"] == 2
    assert outcome.figures["unanswered"] == 0
    assert outcome.figures["correct"] == 38
    stored = json.loads(outcome.documents.texts["answers.json"])["answers"]
    assert stored["anatomy"][:6] == "ABC--B"
    rows: Any = outcome.documents.report["answers"]
    assert rows[3] == {
        "subject": "anatomy",
        "question": 3,
        "answer": None,
        "expected": "D",
        "correct": False,
    }
    assert tracker.checkpoint is not None
    again = LettersServer()
    outcome = await instruct(again, data, checkpoint=tracker.checkpoint())
    assert again.seen["/v1/chat/completions"] == 0, "an answer without a letter is an answer"
    assert (outcome.figures["unextracted"], outcome.figures["method"]) == (2, "generated")


async def test_too_many_answers_without_a_letter_are_an_error_at_once(data: Path) -> None:
    server = LettersServer(said=lambda _prompt: " I think that it is")
    tracker = Tracker()
    with pytest.raises(CheckError) as caught:
        await instruct(server, data, tracker=tracker, concurrency=1)
    assert caught.value.reason == "Extraction"
    assert "I think that" in caught.value.message
    assert server.seen["/v1/chat/completions"] == 3, "one more than 5 % of 40"


async def test_a_model_without_a_chat_template(data: Path) -> None:
    async def before(request: web.Request, _payload: dict[str, Any]) -> web.Response | None:
        message = "you must provide a chat template if the tokenizer does not define one."
        asked = request.path in ("/v1/chat/completions", "/tokenize")
        return error(400, "BadRequestError", message) if asked else None

    with pytest.raises(CheckError) as caught:
        await instruct(LettersServer(before=before), data)
    assert caught.value.reason == "NoChatTemplate"


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"index": 0}, "BadAnswer"),
        ({"index": 0, "message": {"content": ["A"]}}, "BadAnswer"),
    ],
)
async def test_a_choice_without_a_message(data: Path, choice: Any, reason: str) -> None:
    server = LettersServer(spoil=lambda body: body | {"choices": [choice]})
    with pytest.raises(CheckError) as caught:
        await instruct(server, data)
    assert caught.value.reason == reason


async def test_a_chat_that_does_not_fit_leaves_room_for_the_answer(data: Path) -> None:
    async def longest(server: LettersServer) -> int:
        await instruct(server, data)
        prompts = (p for p in server.payloads if p["path"] == "/tokenize")
        return max(
            len(server.ids("".join(f"{m['role']}: {m['content']}\n" for m in p["messages"])))
            for p in prompts
        )

    most = await longest(LettersServer())
    assert (await instruct(LettersServer(max_model_len=most + 10), data)).result == "Passed"
    with pytest.raises(CheckError) as caught:
        await instruct(LettersServer(max_model_len=most + 9), data)
    assert caught.value.reason == "PromptTooLong"
    assert ", question " in caught.value.message
    assert "10 for the answer" in caught.value.message


LONG = " ".join(["word"] * 300)


async def original(data: Path, **changes: Any) -> tuple[Any, LettersServer]:
    """Two questions: a short one, and one that leaves no room for all shots."""
    text = f'"short 1?",a,b,c,d,B\n"{LONG} {LONG} {LONG} {LONG} 2?",a,b,c,d,C\n'
    (data / "test" / "anatomy_test.csv").write_text(text)
    shot = f'"{LONG} 0?",a,b,c,d,A\n'
    (data / "dev" / "anatomy_dev.csv").write_text(shot * 5)
    server = LettersServer(**changes)
    outcome = await run_mmlu(server, data, protocol="original", concurrency=1)
    return outcome, server


async def test_a_shot_is_dropped_while_the_prompt_is_too_long(data: Path) -> None:
    outcome, server = await original(data)
    assert (outcome.result, outcome.figures["shortened"]) == ("Passed", 1)
    sent = {
        right_letter(p["prompt"]): p["prompt"]
        for p in server.payloads
        if p["path"] == "/v1/completions" and "anatomy" in p["prompt"]
    }
    shots = {letter: prompt.count("Answer: A\n\n") for letter, prompt in sent.items()}
    assert shots == {"B": 5, "C": 2}, "1200 words and 2 x 300 fit into 2048 tokens, 3 x 300 don't"
    size = {letter: len(server.ids(prompt)) - 1 for letter, prompt in sent.items()}
    assert size["C"] <= 2048 < size["C"] + 300
    counted = [p for p in server.payloads if p["path"] == "/tokenize"]
    assert any(p.get("add_special_tokens") is False for p in counted)


async def test_lm_eval_drops_no_shot(data: Path) -> None:
    await original(data)  # writes the long questions
    server = LettersServer()
    outcome = await run_mmlu(server, data, protocol="lmEval")
    assert "shortened" not in outcome.figures
    longest = max(p["prompt"].count("Answer: A\n\n") for p in server.payloads if "logprobs" in p)
    assert longest == 5


def hidden(prompt: str) -> dict[str, float]:
    return letters_first(prompt) | dict.fromkeys(LETTERS, -20.0)


async def test_the_original_takes_no_letter_that_is_not_among_the_likeliest(data: Path) -> None:
    with pytest.raises(CheckError) as caught:
        await run_mmlu(LettersServer(logits=hidden), data, protocol="original")
    assert caught.value.reason == "LetterUncertain"
    outcome = await run_mmlu(LettersServer(logits=hidden), data, protocol="lmEval")
    assert outcome.figures["microAverage"] == 27.5, "all four alike: always A"


async def test_without_tokenize_the_original_can_not_tell_which_shots_to_drop(data: Path) -> None:
    async def before(request: web.Request, _payload: dict[str, Any]) -> web.Response | None:
        return error(404, "NotFoundError", "Not Found") if "tokenize" in request.path else None

    with pytest.raises(CheckError) as caught:
        await original(data, before=before)
    assert caught.value.reason == "NoTokenize"


async def test_longer_than_the_window_even_without_shots(data: Path) -> None:
    text = f'"{" ".join([LONG] * 7)} 2?",a,b,c,d,C\n'
    (data / "test" / "anatomy_test.csv").write_text(text)
    with pytest.raises(CheckError) as caught:
        await run_mmlu(LettersServer(), data, protocol="original")
    assert caught.value.reason == "PromptTooLong"
    assert "anatomy, question 1" in caught.value.message
