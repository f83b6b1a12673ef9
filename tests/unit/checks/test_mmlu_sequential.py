"""A run with a reference, end to end: what is asked, and what it comes to."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ascendllm.checks.data_source import parse_source
from ascendllm.checks.mmlu.looks import SEED, looks, order
from ascendllm.checks.mmlu.verdict import Baseline
from ascendllm.checks.runner import Outcome, Tracker
from ascendllm.cli.validate.mmlu import command
from ascendllm.exceptions import SpecError
from unit.checks.letters_server import LettersServer, letters_first
from unit.checks.mmlu_set import write_set
from unit.checks.s3_server import S3Server
from unit.checks.test_cli import run
from unit.checks.test_mmlu_run import run_mmlu

SIZES = {"abstract_algebra": 120, "us_foreign_policy": 150}


def wrong_in(share: int) -> LettersServer:
    """Answers wrong where the question's number is below `share` in every hundred."""

    def logits(prompt: str) -> dict[str, float]:
        number = int(prompt.rsplit("?\n", 1)[0].rsplit(" ", 1)[1])
        found = letters_first(prompt)
        if number % 100 >= share:
            return found
        right = max(found, key=lambda text: found[text])
        return found | {right: 4.0}

    return LettersServer(logits=logits)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_set(tmp_path / "mmlu", SIZES)


@pytest.fixture
async def reference(data: Path, tmp_path: Path) -> Path:
    """The answers of a run that has everything right."""
    outcome = await run_mmlu(LettersServer(), data)
    return write(tmp_path / "answers.json", outcome.documents.texts["answers.json"])


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def renamed(reference: Path, model: str) -> None:
    stored = json.loads(reference.read_text())
    write(reference, json.dumps(stored | {"model": model}))


def paired(outcome: Outcome) -> dict[str, Any]:
    found: Any = outcome.figures["paired"]
    return dict(found)


async def test_a_healthy_model_is_judged_after_the_first_look(data: Path, reference: Path) -> None:
    server, tracker = LettersServer(), Tracker()
    outcome = await run_mmlu(server, data, tracker, reference=reference, tolerance=Decimal(16))
    assert (outcome.result, outcome.reason) == ("Passed", "NotInferior")
    assert server.seen["/v1/completions"] == 20
    assert (tracker.done, tracker.total) == (20, 20)
    found = paired(outcome)
    assert found.pop("referenceHash").startswith("sha256:")
    # f = 2/24; Var = f/10 (110/119 + 140/149) / 4; 2.5 sqrt(Var) = 0.15579
    assert found == {
        "looks": 1,
        "seed": SEED,
        "questions": 20,
        "better": 0,
        "worse": 0,
        "flipRate": 0.0,
        "delta": 0.0,
        "lower": -15.58,
        "upper": 15.58,
        "mcnemarP": 1.0,
    }
    assert outcome.figures["tolerance"] == 16.0
    assert (outcome.figures["questions"], outcome.figures["macroAverage"]) == (20, 100.0)
    assert "custom data" in outcome.message
    assert "shiftedSubjects" not in outcome.figures


async def test_only_the_questions_of_the_look_are_asked(data: Path, reference: Path) -> None:
    server = LettersServer()
    outcome = await run_mmlu(server, data, reference=reference, tolerance=Decimal(20))
    stored = json.loads(outcome.documents.texts["answers.json"])["answers"]
    for subject, letters in stored.items():
        asked = {index for index, letter in enumerate(letters) if letter != "."}
        assert asked == set(order(subject, SIZES[subject])[:10])


async def test_a_bad_model_fails_early(data: Path, reference: Path) -> None:
    server = wrong_in(60)
    outcome = await run_mmlu(server, data, reference=reference, tolerance=Decimal(1))
    assert (outcome.result, outcome.reason) == ("Failed", "Inferior")
    assert server.seen["/v1/completions"] == 20
    found = paired(outcome)
    assert found["upper"] < -1
    assert found["worse"] > 0
    assert found["better"] == 0
    assert f"{found['worse']} answers turned wrong" in outcome.message


async def test_a_close_call_asks_everything_and_is_decided_exactly(
    data: Path, reference: Path
) -> None:
    server = wrong_in(3)
    outcome = await run_mmlu(server, data, reference=reference, tolerance=Decimal("3.25"))
    assert server.seen["/v1/completions"] == 270
    found = paired(outcome)
    # Wrong are 6 of 120 and 6 of 150: -(5 + 4) / 2
    assert found["delta"] == found["lower"] == found["upper"] == -4.5
    assert (outcome.result, found["looks"], found["worse"]) == ("Failed", 5, 12)
    exact = await run_mmlu(wrong_in(3), data, reference=reference, tolerance=Decimal("4.5"))
    assert exact.result == "Passed"


async def test_another_tolerance_goes_on_from_the_checkpoint(data: Path, reference: Path) -> None:
    tracker, first = Tracker(), wrong_in(3)
    wide = await run_mmlu(first, data, tracker, reference=reference, tolerance=Decimal(30))
    assert wide.result == "Passed"
    assert tracker.checkpoint is not None
    asked = first.seen["/v1/completions"]
    second, more = wrong_in(3), Tracker()
    narrow = await run_mmlu(
        second, data, more, tracker.checkpoint(), reference=reference, tolerance=Decimal("4.4")
    )
    assert (narrow.result, asked + second.seen["/v1/completions"]) == ("Failed", 270)
    fresh = await run_mmlu(wrong_in(3), data, reference=reference, tolerance=Decimal("4.4"))
    assert fresh.figures["paired"] == narrow.figures["paired"]
    third = wrong_in(3)
    assert more.checkpoint is not None
    back = await run_mmlu(
        third, data, None, more.checkpoint(), reference=reference, tolerance=Decimal(30)
    )
    assert third.seen["/v1/completions"] == 0, "what is known is not asked again"
    assert back.figures["paired"] == wide.figures["paired"], "decided as if only so many were asked"
    assert back.result == "Passed"


async def test_the_looks_are_asked_one_after_the_other(data: Path, reference: Path) -> None:
    server = wrong_in(3)
    await run_mmlu(server, data, reference=reference, tolerance=Decimal("4.4"))
    asked = [p["prompt"].rsplit("\n\n", 1)[1] for p in server.payloads if "prompt" in p]
    questions = [text.partition("\n")[0] for text in asked if text.endswith("Answer:")]
    questions = questions[-270:]  # before them the letters' tokens are looked for
    start = 0
    for look in looks(SIZES):
        end = sum(look.values())
        known = {
            f"{subject} test {index}?"
            for subject, size in SIZES.items()
            for index in order(subject, size)[: look[subject]]
        }
        assert set(questions[:end]) == known
        assert len(set(questions[start:end])) == end - start
        start = end
    assert start == 270


async def test_a_baseline_beside_a_reference_is_shown_only(data: Path, reference: Path) -> None:
    outcome = await run_mmlu(
        LettersServer(),
        data,
        reference=reference,
        tolerance=Decimal(20),
        baseline=Baseline(Decimal(50)),
    )
    assert (outcome.result, outcome.reason) == ("Passed", "NotInferior")
    assert (outcome.figures["baseline"], outcome.figures["delta"]) == (50.0, 50.0)


async def test_a_reference_of_another_model_asks_nothing(data: Path, reference: Path) -> None:
    renamed(reference, "gpt")
    server = LettersServer()
    with pytest.raises(SpecError) as caught:
        await run_mmlu(server, data, reference=reference)
    assert caught.value.reason == "OtherModel"
    assert server.seen["/v1/completions"] == 0
    outcome = await run_mmlu(
        server, data, reference=reference, reference_model="gpt", tolerance=Decimal(20)
    )
    assert outcome.result == "Passed"


async def test_a_run_that_asked_a_part_is_no_reference(data: Path, reference: Path) -> None:
    part = await run_mmlu(LettersServer(), data, reference=reference, tolerance=Decimal(20))
    write(reference, part.documents.texts["answers.json"])
    with pytest.raises(SpecError, match="record it with a run that asks all of them"):
        await run_mmlu(LettersServer(), data, reference=reference)


async def test_guessing_is_a_broken_method_with_a_reference_too(
    data: Path, reference: Path
) -> None:
    outcome = await run_mmlu(wrong_in(90), data, reference=reference)
    assert (outcome.result, outcome.reason) == ("Error", "BrokenMethod")


def stored(data: Path, reference: Path) -> dict[str, bytes]:
    """Both as objects by key."""
    files = {file.relative_to(data).as_posix(): file.read_bytes() for file in data.rglob("*.csv")}
    return {f"sets/mmlu/{name}": raw for name, raw in files.items()} | {
        "runs/answers.json": reference.read_bytes()
    }


async def test_data_and_reference_out_of_s3(data: Path, reference: Path) -> None:
    async with S3Server(stored(data, reference), keys=None).serve() as store:
        outcome = await run_mmlu(
            LettersServer(),
            parse_source("s3://data-bucket/sets/mmlu", store.url),
            reference=parse_source("s3://data-bucket/runs/answers.json", store.url),
            tolerance=Decimal(20),
        )
        with pytest.raises(SpecError, match="s3://data-bucket/runs: there is no") as caught:
            await run_mmlu(LettersServer(), parse_source("s3://data-bucket/runs", store.url))
    assert outcome.result == "Passed"
    assert caught.value.reason == "BadData"


async def test_the_data_s_hash_can_be_asked_for(data: Path) -> None:
    found = await run_mmlu(LettersServer(), data)
    wanted = str(found.figures["datasetHash"])
    assert (await run_mmlu(LettersServer(), data, data_hash=wanted)).result == "Passed"
    server = LettersServer()
    with pytest.raises(SpecError) as caught:
        await run_mmlu(server, data, data_hash=f"sha256:{'0' * 64}")
    assert (caught.value.reason, server.seen["/v1/completions"]) == ("WrongHash", 0)


async def test_the_command_takes_a_reference(data: Path, reference: Path) -> None:
    renamed(reference, "other")
    async with LettersServer().serve() as server:
        arguments = ["mmlu", f"--base-url={server.url}", "--model=m", f"--data={data}"]
        arguments += ["--custom-data", f"--reference={reference}", "--tolerance=16"]
        code, out, _ = await run(*arguments)
        refused = json.loads(out)
        assert (code, refused["result"], refused["reason"]) == (2, "Error", "OtherModel")
        code, out, _ = await run(*arguments, "--reference-model=other")
    result = json.loads(out)
    assert (code, result["reason"], result["paired"]["questions"]) == (0, "NotInferior", 20)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--reference-model=x"], "--reference-model belongs to --reference"),
        (["--data-endpoint=http://h"], "they belong to s3:// addresses"),
        (["--reference=s3://B/x"], "--reference s3://B/x: 'B' is no bucket's name"),
        (["--data=http://h/x"], "give a path, or s3://bucket/key"),
    ],
)
def test_options_that_do_not_fit(options: list[str], told: str) -> None:
    given = ["--base-url=http://127.0.0.1:9", "--model=m", "--data=/x", *options]
    ended = CliRunner().invoke(command, given)
    assert ended.exit_code == 2
    assert told in " ".join(ended.output.split())
