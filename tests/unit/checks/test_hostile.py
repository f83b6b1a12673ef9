"""Whatever a server says, a reader answers with a value or with a `CheckError`."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascendllm.checks.bench.load.answer import StreamedAnswer
from ascendllm.checks.endpoint import (
    Endpoint,
    error_detail,
    json_object,
    parse_endpoint,
    read_models,
    refusal,
    served_model,
)
from ascendllm.checks.judging.mmlu import judge_mmlu
from ascendllm.checks.mmlu.methods.choose import candidates
from ascendllm.checks.mmlu.methods.method import only_choice
from ascendllm.checks.mmlu.protocols import PROTOCOLS
from ascendllm.checks.result import CheckResult, compact_json, read_result, terse
from ascendllm.checks.smoke.http import Answer
from ascendllm.checks.smoke.shapes import WrongError, generation, streamed, usage_of
from ascendllm.exceptions import CheckError

ENDPOINT = Endpoint("http://x", "m")
WAYS = [
    way
    for protocol in PROTOCOLS.values()
    for ids in ((1, 2, 3, 4), None)
    for way in candidates(protocol, ids)
]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.just(10**400)
    | st.text(st.characters(exclude_categories=()), max_size=8)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
TOKENS = st.sampled_from(
    ["token_id:1", "token_id:2", "token_id:9", "token_id:", "token_id:²", " A", " B", "A", 1, None]
) | st.just("token_id:" + "9" * 5000)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object that is nearly right: each field right, wrong, or missing; or no object."""
    near = {name: field | JSON for name, field in fields.items()}
    return JSON | st.fixed_dictionaries({}, optional=near)


LOGPROBS = some(
    tokens=st.lists(TOKENS | JSON, max_size=2),
    token_logprobs=st.lists(SCALARS, max_size=2),
    top_logprobs=st.lists(st.dictionaries(TOKENS.map(str), SCALARS, max_size=3) | JSON, max_size=2),
)
CHOICE = some(
    logprobs=LOGPROBS,
    text=st.text(),
    finish_reason=st.just("length"),
    message=some(content=st.text()),
    delta=some(content=st.text()),
)
USAGE = some(prompt_tokens=st.integers(), completion_tokens=st.just(16), total_tokens=JSON)
BODY = st.fixed_dictionaries(
    {"model": st.just("m")},
    optional={"choices": st.lists(CHOICE, max_size=2) | JSON, "usage": USAGE, "error": JSON},
)


@given(BODY)
def test_an_answer_about_a_letter(body: dict[str, Any]) -> None:
    for way in WAYS:
        with suppress(CheckError):
            assert way.read(only_choice(body, ENDPOINT, way.path)).letter in (*"ABCD", None)


@given(BODY | JSON)
def test_a_whole_answer(body: Any) -> None:
    raw = json.dumps(body).encode()
    for kind in ("base", "instruct"):
        with suppress(CheckError, WrongError):
            usage_of(generation(Answer("POST", 200, raw), kind, ENDPOINT), 5)


@given(st.lists((BODY | JSON).map(lambda v: json.dumps(v).encode()) | st.just(b"[DONE]")))
def test_a_streamed_answer(events: list[bytes]) -> None:
    for kind in ("base", "instruct"):
        with suppress(CheckError, WrongError):
            streamed(events, "POST", kind, ENDPOINT)
    answer = StreamedAnswer(ENDPOINT, 5, 16)
    with suppress(CheckError):
        for number, event in enumerate(events):
            answer.feed(b"data: " + event + b"\n\n", float(number))
        answer.sample(0.0, 0.0, 100.0)


@given(some(data=st.lists(some(id=st.just("m"), max_model_len=JSON), max_size=2)))
def test_a_list_of_models(body: Any) -> None:
    with suppress(CheckError):
        facts = read_models(json_object(json.dumps(body), "GET"), ENDPOINT)
        assert facts.max_model_len is None or facts.max_model_len > 0


@given(st.integers(201, 599), st.binary() | some(error=some(message=st.text())).map(json.dumps))
def test_a_refusal(status: int, body: bytes | str) -> None:
    assert isinstance(error_detail(body), str)
    assert refusal("POST", status, body, ENDPOINT).reason


@given(st.dictionaries(st.sampled_from(["macroAverage", "microAverage", "questions"]), JSON), JSON)
def test_stored_figures(figures: dict[str, Any], value: Any) -> None:
    verdict = judge_mmlu(figures, {"value": value}, Decimal(1))
    assert verdict.result in ("Error", "Inconclusive") or "delta" in verdict.figures


@given(JSON)
def test_a_stored_result(value: Any) -> None:
    with pytest.raises(CheckError):
        read_result(json.dumps(value))


@given(st.text(st.characters(exclude_categories=())), st.dictionaries(st.text(), SCALARS))
def test_what_is_written_can_be_read(message: str, figures: dict[str, Any]) -> None:
    figures = {k: v for k, v in figures.items() if not isinstance(v, float)}
    result = CheckResult("smoke", "Passed", "AllPassed", message, "a", "b", 1, figures=figures)
    text = compact_json(result.to_json())
    text.encode()
    assert read_result(text).to_json() == result.to_json()
    assert len(terse(result).encode()) <= 1024


def test_an_error_with_http_200_is_no_other_model() -> None:
    endpoint = parse_endpoint("http://127.0.0.1:1", "m")
    with pytest.raises(CheckError, match="HTTP 200 with an error: boom") as caught:
        served_model({"error": {"message": "boom"}}, endpoint, "POST /x")
    assert caught.value.reason == "ErrorInAnswer"
    with pytest.raises(CheckError, match="as model None") as caught:
        served_model({"choices": []}, endpoint, "POST /x")
    assert caught.value.reason == "WrongModel"
