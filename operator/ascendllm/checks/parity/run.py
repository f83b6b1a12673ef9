"""Hold a server against a reference, and come to a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ascendllm.checks.client import Client, open_session
from ascendllm.checks.data_source import Source as DataSource
from ascendllm.checks.data_source import at_hand
from ascendllm.checks.endpoint import Endpoint
from ascendllm.checks.judging.parity import judge_parity, noise_of
from ascendllm.checks.parity.compare import figures_of, measure
from ascendllm.checks.parity.reference import Reference, read_reference
from ascendllm.checks.parity.server import ServerSource
from ascendllm.checks.retry import FIRST_CONTACT, RetryPolicy
from ascendllm.checks.runner import CheckName, Outcome, Tracker
from ascendllm.checks.together import together
from ascendllm.exceptions import CheckError, SpecError

__all__ = ["MOST_AT_ONCE", "PARITY", "ParityOptions", "check_parity"]

PARITY = CheckName("parity", protocol_number=1)

REFERENCE_FILE = "reference.jsonl"
"""Where the reference is a folder, such as a mounted claim: the file in it."""

MOST_AT_ONCE = 2
"""More requests at once would be summed in other batches than the reference's were."""


@dataclass(frozen=True, slots=True)
class ParityOptions:
    """What is compared with what.

    Args:
        endpoint: The server.
        reference: The file or its folder, or where in S3 it lies.
        thresholds: Names of `judging.parity.THRESHOLDS`; empty: the control run's.
        concurrency: Requests in flight, 1 or 2.
        request_timeout: Seconds for one attempt at one request.
        retry: For throttling and lost connections.
        first_contact: The same, for the first request.
    """

    endpoint: Endpoint
    reference: DataSource
    thresholds: Mapping[str, object] = field(default_factory=dict)
    concurrency: int = 1
    request_timeout: float = 300.0
    retry: RetryPolicy = field(default=RetryPolicy(attempts=8, first=0.5, longest=15.0))
    first_contact: RetryPolicy = FIRST_CONTACT


async def check_parity(
    options: ParityOptions, tracker: Tracker, _checkpoint: str | None
) -> Outcome:
    """The check.

    Raises:
        CheckError: No verdict: the server, an answer of it, or a reference of another model.
        SpecError: No verdict: the reference can't be read.
    """
    reference = await _read(options.reference)
    async with open_session(options.concurrency) as session:
        client = Client(session, options.endpoint, options.retry)
        tracker.figures = lambda: {
            "referenceHash": reference.digest,
            "requests": client.requests,
        }
        facts = await client.facts(options.first_contact)
        _require_room(reference, facts.max_model_len)
        tracker.begin(len(reference.prompts) + len(reference.texts))
        source = ServerSource(client, options.request_timeout)
        await _require_same_tokenizer(source, reference, options.concurrency)

        def done() -> None:
            tracker.done += 1

        measured = await measure(source, reference, options.concurrency, done)
    noise = 0.0 if reference.control is None else noise_of(reference.control)
    figures = dict(tracker.figures()) | figures_of(reference, measured, noise)
    figures["reference"] = dict(reference.meta)
    if reference.control is not None:
        figures["control"] = dict(reference.control)
    verdict = judge_parity(figures, options.thresholds)
    return Outcome(verdict.result, verdict.reason, verdict.message, figures | dict(verdict.figures))


async def _read(source: DataSource) -> Reference:
    async with at_hand(source, lambda name: name == REFERENCE_FILE) as path:
        return await asyncio.to_thread(_read_path, path)


def _read_path(path: Path) -> Reference:
    return read_reference(path / REFERENCE_FILE if path.is_dir() else path)


def _require_room(reference: Reference, max_model_len: int | None) -> None:
    """Scoring a sequence takes one more token: the server must write at least one."""
    if max_model_len is not None and reference.longest + 1 > max_model_len:
        raise SpecError(
            "ReferenceTooLong",
            f"--reference: its longest sequence has {reference.longest} tokens and one more is "
            f"written, the server's max_model_len is {max_model_len}; raise that, or record the "
            "reference with shorter prompts and --longest",
        )


async def _require_same_tokenizer(
    source: ServerSource, reference: Reference, concurrency: int
) -> None:
    """Before any number: what the reference tokenized becomes the same ids here.

    Raises:
        CheckError: `ReferenceMismatch`.
    """
    texts = [(prompt.id, prompt.text, prompt.text_token_ids) for prompt in reference.prompts]
    texts += [(text.id, text.text, text.token_ids) for text in reference.texts]
    left = iter(texts)

    async def worker() -> None:
        for name, text, expected in left:
            seen = (await source.tokenize(text))[: len(expected)]
            if seen != list(expected):
                place = next(
                    (i for i, (a, b) in enumerate(zip(seen, expected, strict=False)) if a != b),
                    min(len(seen), len(expected)),
                )
                raise CheckError(
                    "ReferenceMismatch",
                    f"{name}: the server's tokenizer differs from the reference's at token {place} "
                    f"({_at(seen, place)} where the reference has {_at(expected, place)}): the "
                    f"reference is of another model ({reference.meta.get('model')!r:.80})",
                )

    await together(worker() for _ in range(concurrency))


def _at(ids: list[int] | tuple[int, ...], place: int) -> str:
    return str(ids[place]) if place < len(ids) else "nothing"
