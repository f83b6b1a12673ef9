"""How a letter is asked for and read: each way alone, and which one a run takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ascendllm.checks.mmlu.methods.allowed_tokens import AllowedTokens
from ascendllm.checks.mmlu.methods.method import keys_of_ids, keys_of_texts
from ascendllm.checks.mmlu.methods.structured_outputs import StructuredOutputs
from ascendllm.checks.mmlu.methods.top_logprobs import TopLogprobs
from ascendllm.checks.mmlu.verdict import Baseline
from ascendllm.checks.runner import Tracker
from ascendllm.exceptions import CheckError
from unit.checks.fake_server import error
from unit.checks.letters_server import LETTERS, LettersServer, letters_first
from unit.checks.mmlu_set import right_letter, write_set
from unit.checks.test_mmlu_run import run_mmlu

IDS = (32, 33, 34, 35)


def choice(token: int, logprob: float, top: dict[int, float]) -> dict[str, Any]:
    logprobs = {
        "tokens": [f"token_id:{token}"],
        "token_logprobs": [logprob],
        "top_logprobs": [{f"token_id:{key}": value for key, value in top.items()}],
    }
    return {"logprobs": logprobs}


def by_text(sampled: str, top: dict[str, float]) -> dict[str, Any]:
    logprobs = {"tokens": [sampled], "token_logprobs": [top[sampled]], "top_logprobs": [top]}
    return {"logprobs": logprobs}


ALLOWED = AllowedTokens(keys_of_ids(IDS))
CHOSEN = StructuredOutputs(keys_of_ids(IDS))
TOP = TopLogprobs(keys_of_ids(IDS))


def test_the_sampled_letter_is_the_answer() -> None:
    assert ALLOWED.read(choice(34, -1.0, {34: -1.0, 99: -0.5, 32: -2.0})).letter == "C"


def test_a_letter_that_is_not_in_the_top_counts_by_itself() -> None:
    assert ALLOWED.read(choice(35, -12.0, {99: -0.1})).letter == "D"


@pytest.mark.parametrize("way", [ALLOWED, CHOSEN, TOP], ids=lambda way: way.name)
def test_a_tie_goes_to_the_first_letter_as_in_lm_eval(way: Any) -> None:
    answer = choice(35, -1.0, {35: -1.0, 33: -1.0, 34: -1.5, 32: -4.0, 99: -9999.0})
    assert way.read(answer).letter == "B"


def test_a_choice_by_grammar_takes_the_best_of_all_four_whatever_was_sampled() -> None:
    shown = {220: -0.3, 32: -3.0, 33: -0.4, 34: -2.0, 35: -5.0, 7: -9999.0}
    assert CHOSEN.read(choice(220, -0.3, shown)).letter == "B"
    with pytest.raises(CheckError) as caught:
        CHOSEN.read(choice(220, -0.3, shown | {7: -12.0}))
    assert caught.value.reason == "GrammarNotObeyed"
    del shown[35]
    with pytest.raises(CheckError) as caught:
        CHOSEN.read(choice(220, -0.3, shown))
    assert caught.value.reason == "MissingLetters"
    assert "only ABC of A, B, C, D" in caught.value.message


CERTAIN: list[tuple[dict[int, float], str]] = [
    ({99: -0.1, 33: -3.0, 98: -4.0}, "B"),  # the unseen ones are at most -4
    ({32: -5.0, 99: -0.1, 33: -5.0, 34: -6.0, 35: -6.0}, "A"),  # all four seen, the last of all
]


@pytest.mark.parametrize(("top", "letter"), CERTAIN)
def test_the_likeliest_tokens_alone_where_they_are_certain(
    top: dict[int, float], letter: str
) -> None:
    best = max(top, key=lambda token: top[token])
    assert TOP.read(choice(best, top[best], top)).letter == letter


@pytest.mark.parametrize(
    ("sampled", "top", "why"),
    [
        (99, {99: -0.1, 98: -0.2}, "no letter"),
        (99, {99: -0.1, 33: -3.0}, "may tie"),
        (99, {99: -0.1, 98: -3.0, 33: -3.0}, "may tie"),
        # What was sampled otherwise is no part of the order: -9 would bound nothing.
        (97, {97: -9.0, 99: -0.1, 33: -3.0}, "not the likeliest"),
    ],
)
def test_the_likeliest_tokens_alone_where_they_are_not(
    sampled: int, top: dict[int, float], why: str
) -> None:
    with pytest.raises(CheckError) as caught:
        TOP.read(choice(sampled, top[sampled], top))
    assert caught.value.reason == "LetterUncertain"
    assert why in caught.value.message


def test_a_letter_that_counts_only_among_the_likeliest() -> None:
    """20 tokens of 4 % each leave 20 %: what is below 0.25 % may be the 101st."""
    way = AllowedTokens(keys_of_ids(IDS), listed=100)
    words = {token: math.log(0.04) for token in range(100, 120)}
    for share, certain in ((0.05, True), (0.0026, True), (0.0024, False)):
        answer = choice(33, math.log(share), words | {33: math.log(share)})
        assert ALLOWED.read(answer).letter == "B"
        if certain:
            assert way.read(answer).letter == "B"
            continue
        with pytest.raises(CheckError) as caught:
            way.read(answer)
        assert caught.value.reason == "LetterUncertain"
    few = {token: -1.0 for token in range(100, 119)}
    assert way.read(choice(33, -40.0, few | {33: -40.0})).letter == "B", "the twentieth"


def test_letters_by_text() -> None:
    way = StructuredOutputs(keys_of_texts())
    top = {" B": -0.2, " A": -2.0, " C": -3.0, " D": -4.0, " ": -0.1, "x": -9999.0}
    assert way.read(by_text(" ", top)).letter == "B"


def test_what_is_shown_bounds_what_is_not() -> None:
    """The rule of the third way, held against the whole distribution."""
    import random

    chance = random.Random(7)
    uncertain = 0
    for _ in range(2000):
        tokens = list(range(100, 140)) + list(IDS)
        # Few values, so that ties are common.
        whole = {token: -chance.randint(1, 30) / 4 for token in tokens}
        top = dict(sorted(whole.items(), key=lambda item: -item[1])[:20])
        first = next(iter(top))
        letters = dict(zip(IDS, "ABCD", strict=True))
        best = max(whole[token] for token in IDS)
        right = min(letters[token] for token in IDS if whole[token] == best)
        try:
            assert TOP.read(choice(first, top[first], top)).letter == right
        except CheckError:
            uncertain += 1
    assert 0 < uncertain < 1000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_set(tmp_path / "mmlu")


UNKNOWN: list[tuple[set[str], str]] = [
    (set(), "allowedTokens"),
    ({"allowed_token_ids"}, "structuredOutputs"),
    ({"allowed_token_ids", "structured_outputs"}, "topLogprobs"),
]


def wordy(prompt: str) -> dict[str, float]:
    """As a model that rather writes a word, the letters behind it."""
    return letters_first(prompt) | {" well": 9.0}


def skewed(prompt: str) -> dict[str, float]:
    """The same, and only the right letter is among the first twenty."""
    return letters_first(prompt) | {
        letter: 1.5 if letter == f" {right_letter(prompt)}" else -20.0 for letter in LETTERS
    }


@pytest.mark.parametrize("logits", [wordy, skewed])
@pytest.mark.parametrize(("unknown", "method"), UNKNOWN)
async def test_a_run_takes_the_best_way_that_the_server_has(
    data: Path,
    unknown: set[str],
    method: str,
    logits: Callable[[str], dict[str, float]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = LettersServer(unknown=frozenset(unknown), logits=logits)
    outcome = await run_mmlu(server, data)
    assert (outcome.result, outcome.figures["method"]) == ("Passed", method)
    assert outcome.figures["microAverage"] == 100.0
    told = capsys.readouterr().err
    assert (f"method {method}" in told) == (method != "allowedTokens")
    attempts = len(unknown)
    assert server.seen["/v1/completions"] == 10 + attempts, "the trial that works is the answer"


async def test_a_field_that_is_seen_to_be_ignored_only_in_the_middle(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the likeliest token is a letter, a server that ignores the field answers alike."""

    def later(prompt: str) -> dict[str, float]:
        return wordy(prompt) if "foreign" in prompt else letters_first(prompt)

    server = LettersServer(unknown=frozenset({"allowed_token_ids"}), logits=later)
    outcome = await run_mmlu(server, data, concurrency=8)
    assert (outcome.result, outcome.figures["method"]) == ("Passed", "structuredOutputs")
    assert outcome.figures["microAverage"] == 100.0
    assert capsys.readouterr().err.count("is given up") == 1


async def test_where_no_way_is_certain_there_is_no_number(data: Path) -> None:
    unknown = frozenset({"allowed_token_ids", "structured_outputs"})

    def hidden(prompt: str) -> dict[str, float]:
        return wordy(prompt) | dict.fromkeys(LETTERS, -20.0)

    with pytest.raises(CheckError) as caught:
        await run_mmlu(LettersServer(unknown=unknown, logits=hidden), data)
    assert caught.value.reason == "LetterNotObeyed"
    for way in ("allowedTokens", "structuredOutputs", "topLogprobs"):
        assert way in caught.value.message
    outcome = await run_mmlu(LettersServer(logits=hidden), data)
    assert outcome.figures["method"] == "allowedTokens", "the first way needs no list"


async def test_uncertain_in_the_middle_is_an_error(data: Path) -> None:
    """The first question went well by the likeliest tokens; a later one can't be told."""
    unknown = frozenset({"allowed_token_ids", "structured_outputs"})

    def later(prompt: str) -> dict[str, float]:
        hidden = "foreign" in prompt
        return wordy(prompt) | (dict.fromkeys(LETTERS, -20.0) if hidden else {})

    tracker = Tracker()
    with pytest.raises(CheckError) as caught:
        await run_mmlu(LettersServer(unknown=unknown, logits=later), data, tracker)
    assert caught.value.reason == "LetterUncertain"
    assert "us_foreign_policy, question" in caught.value.message


def no_tokenize(server: LettersServer) -> LettersServer:
    async def before(request: web.Request, _payload: dict[str, Any]) -> web.Response | None:
        return error(404, "NotFoundError", "Not Found") if "tokenize" in request.path else None

    server.before = before
    return server


async def test_without_tokenize_letters_are_told_by_text(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = no_tokenize(LettersServer())
    outcome = await run_mmlu(server, data, baseline=Baseline(Decimal(100)))
    assert (outcome.result, outcome.figures["method"]) == ("Passed", "structuredOutputs")
    told = capsys.readouterr().err
    assert "NoTokenize" not in told
    assert "/tokenize" in told
    assert "told by their text" in told


async def test_without_tokenize_and_grammar_by_the_likeliest_tokens(data: Path) -> None:
    server = no_tokenize(LettersServer(unknown=frozenset({"structured_outputs"}), logits=wordy))
    outcome = await run_mmlu(server, data)
    assert (outcome.result, outcome.figures["method"]) == ("Passed", "topLogprobs")


async def test_without_tokenize_and_usage_nothing_tells_whether_a_letter_is_one_token(
    data: Path,
) -> None:
    server = no_tokenize(LettersServer(spoil=lambda body: body | {"usage": None}))
    with pytest.raises(CheckError) as caught:
        await run_mmlu(server, data)
    assert caught.value.reason == "NoTokenize"


async def test_without_tokenize_a_letter_of_two_tokens_shows_in_the_usage(data: Path) -> None:
    class Splitting(LettersServer):
        def ids(self, text: str) -> list[int]:
            return [ord(character) for character in text]

    with pytest.raises(CheckError) as caught:
        await run_mmlu(no_tokenize(Splitting()), data)
    assert caught.value.reason == "LetterTokens"


async def test_a_tokenizer_that_splits_the_letter_is_refused_in_every_way(data: Path) -> None:
    class Splitting(LettersServer):
        def ids(self, text: str) -> list[int]:
            return [ord(character) for character in text]

    with pytest.raises(CheckError) as caught:
        await run_mmlu(Splitting(), data)
    assert caught.value.reason == "LetterTokens"


def spoiled_after(well: int, change: Callable[[dict[str, Any]], Any]) -> LettersServer:
    """Answers well so many times, then not."""
    answered = 0

    def spoil(body: dict[str, Any]) -> Any:
        nonlocal answered
        answered += 1
        return body if answered <= well else change(body)

    return LettersServer(spoil=spoil)


def logprobs(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    def change(body: dict[str, Any]) -> dict[str, Any]:
        body["choices"][0]["logprobs"] |= changes
        return body

    return change


def letter_at(value: float) -> Callable[[dict[str, Any]], Any]:
    def change(body: dict[str, Any]) -> dict[str, Any]:
        found = body["choices"][0]["logprobs"]
        found["token_logprobs"] = [value]
        found["top_logprobs"][0][found["tokens"][0]] = value
        return body

    return change


@pytest.mark.parametrize("well", [0, 5])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda body: {"error": {"message": "engine dead"}}, "ErrorInAnswer"),
        (lambda body: {"error": math.nan}, "ErrorInAnswer"),
        (lambda body: body | {"model": "m-lora"}, "WrongModel"),
        (lambda body: body | {"choices": []}, "BadAnswer"),
        (lambda body: body | {"choices": body["choices"] * 2}, "BadAnswer"),
        (logprobs(tokens=[]), "MissingLogprobs"),
        (logprobs(top_logprobs=None), "MissingLogprobs"),
        (logprobs(token_logprobs=[None]), "MissingLogprobs"),
        (letter_at(-9999.0), "BadLogprobs"),
        (letter_at(-math.inf), "BadLogprobs"),
        (letter_at(math.inf), "BadLogprobs"),
        (letter_at(math.nan), "BadLogprobs"),
        (letter_at(17.5), "BadLogprobs"),
        (logprobs(top_logprobs=[{"token_id:7": math.nan}]), "BadLogprobs"),
        (lambda body: body | {"usage": {"completion_tokens": 8}}, "WrongTokenCount"),
        (lambda body: body | {"usage": {"completion_tokens": 0}}, "WrongTokenCount"),
    ],
)
async def test_a_bad_answer_is_an_error_at_the_trial_and_in_the_middle(
    data: Path, well: int, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    tracker = Tracker()
    with pytest.raises(CheckError) as caught:
        await run_mmlu(spoiled_after(well, change), data, tracker, concurrency=1)
    assert caught.value.reason == reason
    assert "question" in caught.value.message
    assert "macroAverage" not in tracker.figures()
    assert tracker.done == well


async def test_a_prompt_that_arrives_longer_than_it_was_sent(data: Path) -> None:
    """Something between us and the model adds to prompts: the counts differ."""

    def longer(body: dict[str, Any]) -> dict[str, Any]:
        body["usage"]["prompt_tokens"] += 3
        return body

    with pytest.raises(CheckError) as caught:
        await run_mmlu(LettersServer(spoil=longer), data)
    assert caught.value.reason == "WrongTokenCount"
    assert "/tokenize counts" in caught.value.message


async def test_a_server_without_usage_is_no_fault(data: Path) -> None:
    server = LettersServer(spoil=lambda body: body | {"usage": None})
    assert (await run_mmlu(server, data)).result == "Passed"
