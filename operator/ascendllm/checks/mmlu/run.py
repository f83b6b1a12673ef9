"""One run of MMLU: data, questions, figures, verdict.

Every question is accounted for, or the check is an Error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ascendllm.checks.client import Client, open_session
from ascendllm.checks.data_source import Source, at_hand
from ascendllm.checks.endpoint import Endpoint
from ascendllm.checks.mmlu.asking import Asking
from ascendllm.checks.mmlu.checkpoint import UNEXTRACTED, UNKNOWN, Answers, Identity, empty, restore
from ascendllm.checks.mmlu.containers import is_data_file
from ascendllm.checks.mmlu.data import DataSet, load, require_canonical, require_hash
from ascendllm.checks.mmlu.figures import Score, averages, subject_table
from ascendllm.checks.mmlu.methods.choose import ORDER
from ascendllm.checks.mmlu.prompts import Prompts
from ascendllm.checks.mmlu.protocols import PROTOCOLS
from ascendllm.checks.mmlu.protocols.protocol import require_shots
from ascendllm.checks.mmlu.reference import Reference, read_reference
from ascendllm.checks.mmlu.sequential import judge_paired, plan_looks
from ascendllm.checks.mmlu.stages import Planner, whole
from ascendllm.checks.mmlu.subjects import choose_subjects
from ascendllm.checks.mmlu.verdict import Baseline, judge
from ascendllm.checks.result import compact_json
from ascendllm.checks.retry import FIRST_CONTACT, RetryPolicy
from ascendllm.checks.runner import CheckName, Outcome, Tracker
from ascendllm.checks.sinks import Documents, warn

__all__ = ["MMLU", "MmluOptions", "check_mmlu"]

MMLU = CheckName("mmlu", protocol_number=1)


@dataclass(frozen=True, slots=True)
class MmluOptions:
    """What is asked, of whom, and what the answers are held against.

    Args:
        endpoint: The server.
        data: Where the folder or archive of the questions is.
        data_hash: The hash that the data must have; None for any.
        protocol: A name of `PROTOCOLS`.
        shots: Solved examples before each question.
        subjects: Those that are asked; none means all.
        custom_data: Other counts than the published ones are wanted.
        baseline: None for no baseline.
        tolerance: Percent points.
        reference: Where the answers of an earlier run are: they are compared question by question,
            and no more questions are asked than that needs. None: no reference.
        reference_model: The name under which the reference's model was served, where that is
            another than this run's.
        concurrency: Questions in flight.
        request_timeout: Seconds for one attempt at one question.
        retry: For throttling and lost connections.
        first_contact: The same, for the first request.
        planner: Without a reference: which questions are asked in which steps, and when they are
            enough.
    """

    endpoint: Endpoint
    data: Source
    data_hash: str | None = None
    protocol: str = "lmEval"
    shots: int = 5
    subjects: tuple[str, ...] = ()
    custom_data: bool = False
    baseline: Baseline | None = None
    tolerance: Decimal = Decimal(1)
    reference: Source | None = None
    reference_model: str | None = None
    concurrency: int = 16
    request_timeout: float = 120.0
    retry: RetryPolicy = field(default=RetryPolicy(attempts=8, first=0.5, longest=15.0))
    first_contact: RetryPolicy = FIRST_CONTACT
    planner: Planner = whole


async def check_mmlu(options: MmluOptions, tracker: Tracker, checkpoint: str | None) -> Outcome:
    """The check.

    Raises:
        CheckError: No verdict: the server, or an answer of it.
        SpecError: No verdict: the data or an option.
    """
    reference = await _reference(options)
    everything = await _data(options)
    data = choose_subjects(everything, options.subjects)
    require_shots(data, options.shots)
    prompts = Prompts(PROTOCOLS[options.protocol], data, options.shots)
    answers = _start(options, prompts, checkpoint)
    plan = _planner(options, reference)(data, answers)
    async with open_session(options.concurrency) as session:
        client = Client(session, options.endpoint, options.retry)
        asking = Asking(
            client, prompts, answers, tracker, options.concurrency, options.request_timeout
        )
        tracker.begin(plan.questions, answers.done)
        tracker.checkpoint = answers.to_text
        tracker.figures = lambda: _told(options, tracker, asking)
        await asking.all(plan, options.first_contact)
    tracker.total = tracker.done
    return _conclude(options, data, answers, tracker.figures(), reference)


async def _data(options: MmluOptions) -> DataSet:
    """The whole data set, held against what was said of it."""
    async with at_hand(options.data, is_data_file) as path:
        data = await asyncio.to_thread(load, path, f"--data {options.data}")
    require_hash(data, options.data_hash)
    require_canonical(data, options.custom_data)
    return data


async def _reference(options: MmluOptions) -> Reference | None:
    """The reference, read before anything is asked."""
    if options.reference is None:
        return None
    async with at_hand(options.reference) as path:
        return await asyncio.to_thread(read_reference, path, f"--reference {options.reference}")


def _planner(options: MmluOptions, reference: Reference | None) -> Planner:
    if reference is None:
        return options.planner
    return plan_looks(reference, options.tolerance, options.reference_model)


def _start(options: MmluOptions, prompts: Prompts, checkpoint: str | None) -> Answers:
    data, protocol = prompts.data, prompts.protocol
    identity = Identity(
        data.digest,
        protocol.name,
        MMLU.protocol_number,
        options.shots,
        options.endpoint.model,
        protocol.measures,
        tuple(sorted(set(options.subjects))),
    )
    answers = restore(checkpoint, identity, data) if checkpoint else None
    if checkpoint and answers is None:
        warn(
            "the checkpoint is of another data set, protocol, shots, subjects or model: "
            "starting anew"
        )
    if answers and answers.done:
        warn(f"going on from the checkpoint: {answers.done} questions are answered")
    return answers or empty(identity, data)


def _told(options: MmluOptions, tracker: Tracker, asking: Asking) -> Mapping[str, object]:
    """The figures that a run has from its beginning, an Error's included."""
    figures: dict[str, object] = {
        "datasetHash": asking.prompts.data.digest,
        "customData": options.custom_data,
        "protocol": options.protocol,
        "shots": options.shots,
        "questions": tracker.total,
        "unanswered": tracker.total - tracker.done,
        "requests": asking.client.requests,
    }
    if used := [name for name in ORDER if name in asking.answers.methods]:
        figures["method"] = used[-1]
    if asking.prompts.protocol.measures == "generatedLetter":
        figures["unextracted"] = asking.answers.unextracted
    if asking.prompts.shortened:
        figures["shortened"] = asking.prompts.shortened
    return figures


def _conclude(
    options: MmluOptions,
    data: DataSet,
    answers: Answers,
    measured: Mapping[str, object],
    reference: Reference | None,
) -> Outcome:
    scores = _scores(data, answers)
    sizes = {subject: len(rows) for subject, rows in data.test.items()}
    figures = dict(measured) | averages(scores, sizes)
    paired = (
        None if reference is None else judge_paired(reference, data, answers, options.tolerance)
    )
    verdict = judge(figures, options.baseline, options.tolerance, paired)
    identity = answers.identity.to_json()
    texts = {
        "subjects.txt": subject_table(scores, sizes),
        "answers.json": compact_json({"answers": answers.by_subject()} | identity),
    }
    if reference is not None:
        # A run with another tolerance goes on from here.
        texts["checkpoint"] = answers.to_text()
    return Outcome(
        verdict.result,
        verdict.reason,
        verdict.message,
        figures | dict(verdict.figures),
        Documents(
            texts=texts,
            report={"identity": identity, "answers": _every_answer(data, answers)},
        ),
    )


def _scores(data: DataSet, answers: Answers) -> dict[str, Score]:
    """By subject, over the questions that were asked."""
    scores: dict[str, Score] = {}
    for subject, rows in data.test.items():
        given = answers.letters[subject]
        right = sum(letter == row.answer for letter, row in zip(given, rows, strict=True))
        asked = len(given) - given.count(UNKNOWN)
        if asked:
            scores[subject] = Score(right, asked)
    return scores


def _every_answer(data: DataSet, answers: Answers) -> list[dict[str, object]]:
    """The report's rows; a question that was not asked has none."""
    return [
        {
            "subject": subject,
            "question": index,
            "answer": None if letter == UNEXTRACTED else letter,
            "expected": row.answer,
            "correct": letter == row.answer,
        }
        for subject, rows in data.test.items()
        for index, (letter, row) in enumerate(zip(answers.letters[subject], rows, strict=True))
        if letter != UNKNOWN
    ]
