"""Ask every question once, and come to a verdict.

The questions go out subject by subject, so that the subject's head (introduction and shots) is in
the server's prefix cache; every question is accounted for, or the check is an Error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from ascendllm.checks.client import Client, open_session
from ascendllm.checks.endpoint import Endpoint
from ascendllm.checks.judging.mmlu import Average, judge_mmlu
from ascendllm.checks.mmlu.answer import LOGPROBS, read_answer
from ascendllm.checks.mmlu.checkpoint import UNKNOWN, Answers, Identity, empty, restore
from ascendllm.checks.mmlu.data import DataSet, load, require_canonical
from ascendllm.checks.mmlu.figures import Score, averages, subject_table
from ascendllm.checks.mmlu.letters import find_letters
from ascendllm.checks.mmlu.prompts import PROTOCOLS, Protocol, head, require_shots
from ascendllm.checks.result import compact_json
from ascendllm.checks.retry import FIRST_CONTACT, RetryPolicy
from ascendllm.checks.runner import CheckName, Outcome, Tracker
from ascendllm.checks.sinks import Documents, warn
from ascendllm.checks.together import together
from ascendllm.exceptions import CheckError

__all__ = ["MMLU", "MmluOptions", "check_mmlu"]

MMLU = CheckName("mmlu", protocol_number=1)

NEUTRAL = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""vLLM takes what is unset from the model's generation_config.json; a penalty there would change
which letter is sampled, and lm-eval's log-probabilities know none."""


@dataclass(frozen=True, slots=True)
class MmluOptions:
    """What is asked, of whom, and what the answers are held against.

    Args:
        endpoint: The server.
        data: The folder or archive of the questions.
        protocol: A name of `PROTOCOLS`.
        shots: Solved examples before each question.
        custom_data: Other counts than the published ones are wanted.
        baseline: Percent; None for no baseline.
        baseline_average: Which average the baseline is.
        tolerance: Percent points.
        concurrency: Questions in flight.
        request_timeout: Seconds for one attempt at one question.
        retry: For throttling and lost connections.
        first_contact: The same, for the first request.
    """

    endpoint: Endpoint
    data: Path
    protocol: str = "lmEval"
    shots: int = 5
    custom_data: bool = False
    baseline: Decimal | None = None
    baseline_average: Average = "macro"
    tolerance: Decimal = Decimal(1)
    concurrency: int = 16
    request_timeout: float = 120.0
    retry: RetryPolicy = field(default=RetryPolicy(attempts=8, first=0.5, longest=15.0))
    first_contact: RetryPolicy = FIRST_CONTACT


@dataclass(frozen=True, slots=True)
class _Item:
    subject: str
    index: int
    prompt: str


async def check_mmlu(options: MmluOptions, tracker: Tracker, checkpoint: str | None) -> Outcome:
    """The check.

    Raises:
        CheckError: No verdict: the server, or an answer of it.
        SpecError: No verdict: the data or an option.
    """
    protocol = PROTOCOLS[options.protocol]
    data = await asyncio.to_thread(load, options.data)
    require_canonical(data, options.custom_data)
    require_shots(data, options.shots)
    answers = _start(options, data, checkpoint)
    async with open_session(options.concurrency) as session:
        client = Client(session, options.endpoint, options.retry)
        common = {
            "datasetHash": data.digest,
            "customData": options.custom_data,
            "protocol": protocol.name,
            "shots": options.shots,
        }
        tracker.begin(data.counts.questions, answers.done)
        tracker.checkpoint = answers.to_text
        tracker.figures = lambda: (
            common
            | {
                "questions": tracker.total,
                "unanswered": tracker.total - tracker.done,
                "requests": client.requests,
            }
        )
        await _ask_all(client, options, protocol, data, answers, tracker)
    return _conclude(options, data, answers, dict(tracker.figures()))


def _start(options: MmluOptions, data: DataSet, checkpoint: str | None) -> Answers:
    identity = Identity(
        data.digest, options.protocol, MMLU.protocol_number, options.shots, options.endpoint.model
    )
    answers = restore(checkpoint, identity, data) if checkpoint else None
    if checkpoint and answers is None:
        warn("the checkpoint is of another data set, protocol, shots or model: starting anew")
    if answers and answers.done:
        warn(f"going on from the checkpoint: {answers.done} questions are answered")
    return answers or empty(identity, data)


async def _ask_all(
    client: Client,
    options: MmluOptions,
    protocol: Protocol,
    data: DataSet,
    answers: Answers,
    tracker: Tracker,
) -> None:
    facts = await client.facts(options.first_contact)
    first = {item.subject: item.prompt for item in _open_items(options, protocol, data, answers, 1)}
    if not first:
        return
    letters = await find_letters(client, first, options.concurrency, facts.max_model_len)
    items = _open_items(options, protocol, data, answers)

    async def work() -> None:
        for item in items:
            letter = await _ask(client, options, item, letters)
            answers.letters[item.subject][item.index] = letter
            tracker.done += 1

    await together(work() for _ in range(options.concurrency))


def _open_items(
    options: MmluOptions,
    protocol: Protocol,
    data: DataSet,
    answers: Answers,
    most: int | None = None,
) -> Iterator[_Item]:
    """The unanswered questions, subject by subject; at most `most` of each subject."""
    for subject, rows in data.test.items():
        shared = head(protocol, subject, data.dev.get(subject, ())[: options.shots])
        known = answers.letters[subject]
        unanswered = [index for index in range(len(rows)) if known[index] == UNKNOWN]
        for index in unanswered[:most]:
            yield _Item(subject, index, shared + protocol.asked(rows[index]))


async def _ask(
    client: Client, options: MmluOptions, item: _Item, letters: Mapping[int, str]
) -> str:
    payload = {
        "model": options.endpoint.model,
        "prompt": item.prompt,
        "max_tokens": 1,
        "temperature": 0,
        **NEUTRAL,
        "logprobs": LOGPROBS,
        "return_tokens_as_token_ids": True,
        "allowed_token_ids": list(letters),
    }
    try:
        body = await client.post("/v1/completions", payload, options.request_timeout)
        return read_answer(body, options.endpoint, letters)
    except CheckError as error:
        too_long = error.reason == "RequestRefused" and "context length" in error.message
        raise CheckError(
            "PromptTooLong" if too_long else error.reason,
            f"{item.subject}, question {item.index + 1}: {error.message}"
            + ("; raise maxModelLen: no shot is dropped in silence" if too_long else ""),
        ) from None


def _conclude(
    options: MmluOptions, data: DataSet, answers: Answers, measured: dict[str, object]
) -> Outcome:
    scores = {
        subject: Score(
            sum(a == row.answer for a, row in zip(answers.letters[subject], rows, strict=True)),
            len(rows),
        )
        for subject, rows in data.test.items()
    }
    figures = measured | averages(scores)
    baseline = (
        None
        if options.baseline is None
        else {"value": options.baseline, "average": options.baseline_average}
    )
    verdict = judge_mmlu(figures, baseline, options.tolerance)
    stored = {"answers": answers.by_subject()} | answers.identity.to_json()
    return Outcome(
        verdict.result,
        verdict.reason,
        verdict.message,
        figures | dict(verdict.figures),
        Documents(
            texts={"subjects.txt": subject_table(scores), "answers.json": compact_json(stored)},
            report={"answers": _every_answer(data, answers)},
        ),
    )


def _every_answer(data: DataSet, answers: Answers) -> list[dict[str, object]]:
    return [
        {
            "subject": subject,
            "question": index,
            "answer": answers.letters[subject][index],
            "expected": row.answer,
            "correct": answers.letters[subject][index] == row.answer,
        }
        for subject, rows in data.test.items()
        for index, row in enumerate(rows)
    ]
