"""Parity against a small consistent model: what is recorded, compared, refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ascendllm.checks.client import Client, open_session
from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.parity.plain_text import built_in_text, windows
from ascendllm.checks.parity.prompts import built_in, read_prompts
from ascendllm.checks.parity.record import Recording, record
from ascendllm.checks.parity.reference import Reference, read_reference, to_text
from ascendllm.checks.parity.run import PARITY, ParityOptions, check_parity
from ascendllm.checks.parity.server import ServerSource
from ascendllm.checks.result import CheckResult
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.runner import run_check
from ascendllm.exceptions import CheckError, SpecError
from unit.checks.fake_model import FakeModel
from unit.checks.fake_server import error

QUICK = RetryPolicy(attempts=3, first=0.02, longest=0.05)
TEXT = "It rained all day, and the seven sailors stayed below. " * 60


async def recorded(
    path: Path, model: FakeModel | None = None, text: str = TEXT, **changes: Any
) -> Reference:
    """Record a reference of ten prompts into a file."""
    meta = {"model": "m", "engine": "vllm 0.18.0", "dtype": "float32"}
    options: dict[str, Any] = {"max_tokens": 12, "control": False, "meta": meta, "longest": 1000}
    wanted = Recording(built_in("base")[:10], text, **(options | changes))
    async with (model or FakeModel()).server().serve() as server, open_session(1) as session:
        client = Client(session, parse_endpoint(server.url, "m"), QUICK)
        found = await record(ServerSource(client, 5.0), wanted, lambda *_: None)
    return stored(path, to_text(found))


def stored(path: Path, text: str) -> Reference:
    path.write_text(text, encoding="utf-8")
    return read_reference(path)


async def compared(path: Path, model: FakeModel, **changes: Any) -> CheckResult:
    server = {k: changes.pop(k) for k in ("max_model_len",) if k in changes}
    async with model.server(**server).serve() as running:
        endpoint = parse_endpoint(running.url, changes.pop("name", "m"))
        options = ParityOptions(
            endpoint,
            path,
            **({"retry": QUICK, "first_contact": QUICK, "request_timeout": 5.0} | changes),
        )
        body = lambda tracker, checkpoint: check_parity(options, tracker, checkpoint)  # noqa: E731
        ending = await run_check(PARITY, body, [], 60)
    assert ending.result is not None
    return ending.result


@pytest.fixture
async def reference(tmp_path: Path) -> Path:
    await recorded(tmp_path / "reference.jsonl")
    return tmp_path / "reference.jsonl"


async def test_the_same_model_agrees_to_the_bit(reference: Path) -> None:
    model = FakeModel()
    result = await compared(reference, model, thresholds={"minRankAgreement": 100})
    assert (result.result, result.reason) == ("Passed", "WithinThresholds")
    figures = result.figures
    assert figures["rankAgreement"] == figures["rankOneShare"] == 100.0
    assert figures["firstDivergence"] == {"diverged": 0}
    assert figures["perplexity"] == figures["referencePerplexity"]
    assert figures["perplexityDifference"] == figures["maxLogprobDifference"] == 0.0
    assert figures["thresholdsFrom"] == "spec"
    found = read_reference(reference)
    assert figures["referenceHash"] == found.digest
    assert figures["tokens"] == sum(len(p.output_token_ids) for p in found.prompts)
    assert figures["perplexityTokens"] == sum(len(t.token_ids) - 1 for t in found.texts)
    salts = {request["cache_salt"] for request in model.requests}
    assert len(salts) == 1
    assert {request["temperature"] for request in model.requests} == {0}
    assert max(request["max_tokens"] for request in model.requests) == 12


async def test_the_figures_are_what_they_are_defined_as(tmp_path: Path) -> None:
    """Computed here again from the two models' own probabilities."""
    path = tmp_path / "reference.jsonl"
    found = await recorded(path)
    other = FakeModel(nudge=lambda ids, token: 1.5 * ((token + ids[-1]) % 3 == 0))
    result = await compared(path, other, thresholds={"minRankAgreement": 0})
    same = FakeModel()
    differences, first, mismatches = [], 0, 0
    diverged = []
    for prompt in found.prompts:
        ids = list(prompt.prompt_token_ids)
        pairs = zip(other.write(ids, 12), prompt.output_token_ids, strict=False)
        diverged += [place for place, (a, b) in enumerate(pairs) if a != b][:1]
        for token in prompt.output_token_ids:
            before, after = same.logprobs(ids), other.logprobs(ids)
            differences.append(abs(after[token] - before[token]))
            first += after[token] == max(after)
            mismatches += after[token] != max(after)
            ids.append(token)
    number = sum(len(text.token_ids) - 1 for text in found.texts)
    means = [
        -sum(
            model.logprobs(text.token_ids[:position])[text.token_ids[position]]
            for text in found.texts
            for position in range(1, len(text.token_ids))
        )
        / number
        for model in (same, other)
    ]
    figures: Any = result.figures
    assert mismatches > 0
    assert len(diverged) > 0
    assert figures["rankOneShare"] == round(100 * first / len(differences), 2)
    assert figures["rankAgreement"] == figures["rankOneShare"]
    assert figures["mismatches"] == mismatches
    assert figures["firstDivergence"]["diverged"] == len(diverged)
    assert figures["firstDivergence"]["earliest"] == min(diverged)
    assert figures["meanLogprobDifference"] == pytest.approx(
        sum(differences) / len(differences), abs=1e-5
    )
    assert figures["maxLogprobDifference"] == pytest.approx(max(differences), abs=1e-5)
    assert figures["referencePerplexity"] == pytest.approx(math.exp(means[0]), rel=1e-5)
    assert figures["perplexity"] == pytest.approx(math.exp(means[1]), rel=1e-5)
    assert figures["perplexityDifference"] == pytest.approx(
        100 * (math.exp(means[1] - means[0]) - 1), abs=1e-3
    )


async def test_another_models_numbers_fail(reference: Path) -> None:
    other = FakeModel(nudge=lambda ids, token: 2.0 * ((token + ids[-1]) % 3 == 0))
    thresholds = {"minRankAgreement": 99, "maxP99LogprobDifference": 0.1}
    result = await compared(reference, other, thresholds=thresholds)
    assert (result.result, result.reason) == ("Failed", "BeyondThreshold")
    assert "rankAgreement" in result.message
    assert "p99LogprobDifference" in result.message


async def test_a_folder_that_holds_the_reference_will_do(reference: Path) -> None:
    result = await compared(reference.parent, FakeModel(), thresholds={"minRankAgreement": 100})
    assert result.result == "Passed"
    result = await compared(reference.parent / "nothing", FakeModel())
    assert (result.result, result.reason) == ("Error", "BadReference")


async def test_without_a_bound_there_is_no_verdict(reference: Path) -> None:
    result = await compared(reference, FakeModel())
    assert (result.result, result.reason) == ("Inconclusive", "NoThresholds")
    assert "--control" in result.message
    assert result.figures["rankAgreement"] == 100.0


async def test_the_control_run_gives_the_bounds(tmp_path: Path) -> None:
    """A server whose sums vary a little allows so much of another one."""
    path = tmp_path / "reference.jsonl"

    def noisy(size: float) -> FakeModel:
        calls = iter(range(10**9))
        return FakeModel(nudge=lambda _ids, _token: size * math.sin(next(calls) * 12.9898))

    found = await recorded(path, noisy(0.002), control=True)
    control: Any = found.control
    assert 0 < control["p99LogprobDifference"] < 0.01
    assert control["dtype"] == "float32"
    result = await compared(path, noisy(0.002))
    assert (result.result, result.figures["thresholdsFrom"]) == ("Passed", "control")
    result = await compared(path, noisy(0.05))
    assert (result.result, result.reason) == ("Failed", "BeyondThreshold")
    bounds: Any = result.figures["thresholds"]
    assert bounds["maxP99LogprobDifference"] == pytest.approx(3 * control["p99LogprobDifference"])


async def test_a_near_tie_is_no_mismatch(tmp_path: Path) -> None:
    """Where the reference's best two tokens are closer than the noise, either may be chosen."""
    path = tmp_path / "reference.jsonl"
    await recorded(path, FakeModel(tie=7), control=True)
    result = await compared(path, FakeModel(tie=8))
    figures: Any = result.figures
    assert figures["rankOneShare"] < 100
    assert figures["rankAgreement"] == 100.0
    assert figures["firstDivergence"]["diverged"] > 0
    assert figures["divergedBeyondNoise"] == 0


async def test_too_few_tokens_are_told(tmp_path: Path) -> None:
    path = tmp_path / "reference.jsonl"
    await recorded(path, text="It rained all day.")
    other = FakeModel(nudge=lambda ids, token: 0.01 * math.sin(31 * token + ids[-1]))
    result = await compared(path, other, thresholds={"maxPerplexityDifference": 0.1})
    assert (result.result, result.reason) == ("Inconclusive", "TooFewTokens")
    assert "longer --text" in result.message


async def test_no_text_no_perplexity(tmp_path: Path) -> None:
    path = tmp_path / "reference.jsonl"
    await recorded(path, text="")
    result = await compared(path, FakeModel(), thresholds={"maxPerplexityDifference": 0.1})
    assert (result.result, result.reason) == ("Error", "FigureMissing")
    result = await compared(path, FakeModel(), thresholds={"minRankAgreement": 99.9})
    assert result.result == "Passed"


async def test_another_tokenizer_is_no_number(reference: Path) -> None:
    result = await compared(reference, FakeModel(letters=1), thresholds={"minRankAgreement": 1})
    assert (result.result, result.reason) == ("Error", "ReferenceMismatch")
    assert "at token 1" in result.message
    assert "rankAgreement" not in result.figures


async def test_another_vocabulary_is_no_number(reference: Path) -> None:
    result = await compared(reference, FakeModel(vocabulary=20))
    assert (result.result, result.reason) == ("Error", "ReferenceMismatch")
    assert "vocabulary" in result.message


async def test_a_context_that_is_too_short_is_told(reference: Path) -> None:
    longest = read_reference(reference).longest
    result = await compared(reference, FakeModel(), max_model_len=longest)
    assert (result.result, result.reason) == ("Error", "ReferenceTooLong")
    result = await compared(reference, FakeModel(), max_model_len=longest + 1)
    assert result.reason == "NoThresholds"


def of_entry(change: Callable[[dict[str, Any]], Any], position: int = 3) -> Callable[..., Any]:
    def spoil(choice: dict[str, Any], request: dict[str, Any]) -> None:
        if choice["prompt_logprobs"]:
            change(choice["prompt_logprobs"][position][str(request["prompt"][position])])

    return spoil


def of_choice(change: Callable[[dict[str, Any]], Any]) -> Callable[..., Any]:
    return lambda choice, _request: change(choice) and None


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (of_choice(lambda c: c.update(prompt_logprobs=None)), "MissingLogprobs"),
        (
            of_choice(lambda c: c["prompt_logprobs"] and c["prompt_logprobs"].pop()),
            "MissingLogprobs",
        ),
        (
            of_choice(lambda c: c["prompt_logprobs"] and c["prompt_logprobs"].__setitem__(3, None)),
            "MissingLogprobs",
        ),
        (
            of_choice(lambda c: c["prompt_logprobs"] and c["prompt_logprobs"].__setitem__(3, {})),
            "MissingLogprobs",
        ),
        (of_entry(lambda entry: entry.update(logprob=None)), "MissingLogprobs"),
        (of_entry(lambda entry: entry.pop("rank")), "MissingLogprobs"),
        (of_entry(lambda entry: entry.update(rank=0)), "MissingLogprobs"),
        (of_entry(lambda entry: entry.update(logprob=-9999.0)), "BadLogprobs"),
        (of_entry(lambda entry: entry.update(logprob=float("nan"))), "BadLogprobs"),
        (of_entry(lambda entry: entry.update(logprob=0.5)), "BadLogprobs"),
        (of_choice(lambda c: c.update(token_ids=None)), "NoTokenIds"),
        (of_choice(lambda c: c["token_ids"] and c["token_ids"].extend([5] * 50)), "BadAnswer"),
    ],
)
async def test_an_answer_that_lacks_something_is_no_number(
    reference: Path, spoil: Callable[..., Any], reason: str
) -> None:
    result = await compared(reference, FakeModel(spoil=spoil), thresholds={"minRankAgreement": 1})
    assert (result.result, result.reason) == ("Error", reason)
    assert "rankAgreement" not in result.figures


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda: web.json_response({"model": "another", "choices": [{}]}), "WrongModel"),
        (lambda: web.json_response({"model": "m", "error": {"message": "x"}}), "BadAnswer"),
        (lambda: error(500, "InternalServerError", "EngineCore died"), "ServerError"),
        (lambda: error(429, "TooManyRequests", "slow down"), "Throttled"),
    ],
)
async def test_a_server_that_fails_in_the_middle_is_no_number(
    reference: Path, answer: Callable[[], web.Response], reason: str
) -> None:
    seen = 0

    def spoil(_choice: dict[str, Any], _request: dict[str, Any]) -> web.Response | None:
        nonlocal seen
        seen += 1
        return answer() if seen > 9 else None

    result = await compared(reference, FakeModel(spoil=spoil), thresholds={"minRankAgreement": 1})
    assert (result.result, result.reason) == ("Error", reason)
    assert "rankAgreement" not in result.figures


async def test_throttling_that_ends_is_waited_for(reference: Path) -> None:
    seen = 0

    def spoil(_choice: dict[str, Any], _request: dict[str, Any]) -> web.Response | None:
        nonlocal seen
        seen += 1
        return error(429, "TooManyRequests", "slow down") if seen % 2 else None

    result = await compared(reference, FakeModel(spoil=spoil), thresholds={"minRankAgreement": 100})
    assert result.result == "Passed"


async def test_a_source_that_samples_is_no_reference(tmp_path: Path) -> None:
    def sampled(choice: dict[str, Any], _request: dict[str, Any]) -> None:
        if choice["token_ids"]:
            choice["token_ids"] = [5 + n % 7 for n in range(12)]

    with pytest.raises(CheckError) as caught:
        await recorded(tmp_path / "x", FakeModel(spoil=sampled))
    assert caught.value.reason == "UnsoundSource"


async def test_a_prompt_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        await recorded(tmp_path / "x", longest=40)
    assert caught.value.reason == "PromptTooLong"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: "", "line 1: not a JSON object"),
        (lambda text: text.replace("ascendllm-parity", "x", 1), "no header"),
        (lambda text: text.replace('"version":1', '"version":2', 1), "this command reads 1"),
        (lambda text: text.rstrip("\n").rsplit("\n", 1)[0], "its hash is another"),
        (lambda text: text.replace("-0.", "-1.", 1), "its hash is another"),
        (lambda text: text.replace("float32", "float16", 1), "its hash is another"),
        (lambda text: text.replace("sailors", "tailors", 1), "its hash is another"),
    ],
)
async def test_a_reference_that_was_changed_is_refused(
    reference: Path, change: Callable[[str], str], told: str
) -> None:
    alter(reference, change)
    result = await compared(reference, FakeModel())
    assert (result.result, result.reason) == ("Error", "BadReference")
    assert told in result.message


def alter(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"prompt": ""}', "either prompt"),
        ('{"prompt": "a", "messages": []}', "either prompt"),
        ('{"prompt": "a", "x": 1}', "line 1"),
        ("[]", "line 1"),
        ('{"messages": [{"role": "robot", "content": "a"}]}', "a message is"),
        ('{"prompt": "a", "id": ""}', "id must be"),
        ('{"prompt": "a", "id": "q"}\n{"prompt": "b", "id": "q"}', "given twice"),
        ("", "0 prompts"),
    ],
)
def test_prompts_are_read_strictly(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "prompts").write_text(line)
    with pytest.raises(SpecError, match="--prompts") as caught:
        read_prompts(tmp_path / "prompts")
    assert told in caught.value.message


def test_prompts_are_read(tmp_path: Path) -> None:
    lines = [{"prompt": "a"}, {"id": "q", "messages": [{"role": "user", "content": "b"}]}]
    (tmp_path / "prompts").write_text("\n".join(json.dumps(line) for line in lines))
    one, other = read_prompts(tmp_path / "prompts")
    assert (one.id, one.text, one.messages) == ("prompt-1", "a", None)
    assert (other.id, other.text, other.messages) == ("q", "b", (lines[1]["messages"][0],))


def test_the_built_in_text_is_fixed_and_fits_its_windows() -> None:
    text = built_in_text()
    assert text == built_in_text()
    parts = windows(text)
    weights = [sum(1 if ord(c) < 128 else 3 for c in part) for part in parts]
    assert max(weights) <= 1600
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_a_text_without_spaces_is_cut_too() -> None:
    parts = windows("x" * 5000)
    assert "".join(parts) == "x" * 5000
    assert max(map(len, parts)) <= 1600


def test_seed_001_is_among_the_prompts() -> None:
    assert "안녕하세요, 자기소개 해주세요." in [prompt.text for prompt in built_in("instruct")]
    assert len({prompt.id for prompt in built_in("base")}) == 16
