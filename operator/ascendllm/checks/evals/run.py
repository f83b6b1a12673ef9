"""Run lm-eval task by task, account for every request, and come to a verdict."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from ascendllm.checks.client import Client, open_session
from ascendllm.checks.endpoint import Endpoint
from ascendllm.checks.evals.harness import Harness, configuration, describe_tasks
from ascendllm.checks.evals.proxy import Beginning, Proxy, find_beginning
from ascendllm.checks.evals.results import Findings, read_findings
from ascendllm.checks.evals.task import TaskSpec, require_distinct
from ascendllm.checks.judging.evals import choices, judge_evals
from ascendllm.checks.retry import FIRST_CONTACT, RetryPolicy
from ascendllm.checks.runner import CheckName, Outcome, Tracker
from ascendllm.checks.sinks import Documents
from ascendllm.exceptions import CheckError, SpecError

__all__ = ["EVALS", "EvalsOptions", "check_evals"]

EVALS = CheckName("evals", protocol_number=1)

SCORED = frozenset({"loglikelihood", "loglikelihood_rolling", "multiple_choice"})
ROLLING = "loglikelihood_rolling"


@dataclass(frozen=True, slots=True)
class EvalsOptions:
    """Which tasks are asked, and of whom.

    Args:
        endpoint: The server.
        tasks: Each at most once.
        kind: base completes, instruct chats.
        concurrency: Requests in flight.
        request_timeout: Seconds for one attempt at one request.
        retry: For throttling and lost connections.
        first_contact: The same, for the first request.
    """

    endpoint: Endpoint
    tasks: tuple[TaskSpec, ...]
    kind: Literal["base", "instruct"] = "base"
    concurrency: int = 16
    request_timeout: float = 600.0
    retry: RetryPolicy = field(default=RetryPolicy(attempts=8, first=0.5, longest=15.0))
    first_contact: RetryPolicy = FIRST_CONTACT


@dataclass(frozen=True, slots=True)
class _Known:
    """What lm-eval says of a task: the output types of its leaves, an empty set where unknown."""

    task: TaskSpec
    types: frozenset[str]

    @property
    def scored(self) -> bool:
        return bool(self.types & SCORED)


async def check_evals(options: EvalsOptions, tracker: Tracker, _checkpoint: str | None) -> Outcome:
    """The check.

    Raises:
        CheckError: No verdict: the server, an answer of it, or lm-eval.
        SpecError: No verdict: a task or an option of it.
    """
    require_distinct(options.tasks)
    with tempfile.TemporaryDirectory(prefix="ascendllm-evals-") as place:
        folder = Path(place)
        async with open_session(options.concurrency) as session:
            client = Client(session, options.endpoint, options.retry)
            facts = await client.facts(options.first_contact)
            known = _known(options, await describe_tasks([t.name for t in options.tasks], folder))
            tracker.begin(0)
            tracker.figures = lambda: {"requests": client.requests}
            found: list[Findings] = []
            for number, task in enumerate(known):
                own = folder / str(number)
                own.mkdir()
                found.append(await _run(client, options, task, facts.max_model_len, own, tracker))
    return _conclude(options, found, tracker)


async def _run(
    client: Client,
    options: EvalsOptions,
    known: _Known,
    max_model_len: int | None,
    folder: Path,
    tracker: Tracker,
) -> Findings:
    """One task, from its first request to its figures."""
    beginning: Beginning | None = None
    if known.scored:
        beginning = await find_beginning(client)

    def answered() -> None:
        tracker.done += 1
        tracker.total = max(tracker.total, tracker.done)

    before, planned = tracker.done, 0

    def more(number: int) -> None:
        nonlocal planned
        planned += number
        tracker.total = max(before + planned, tracker.done)

    proxy = Proxy(
        client,
        options.request_timeout,
        answered,
        # What rolls over a text brings the beginning itself, and windows behind it have none.
        beginning=None if ROLLING in known.types else beginning,
        tokens={"bos_token": beginning.text if beginning else None, "eos_token": None},
    )
    harness = Harness(more)
    async with proxy.serve():
        config = configuration(
            known.task,
            options.kind,
            options.endpoint.model,
            proxy.address,
            {
                "concurrency": options.concurrency,
                # The proxy has the time limits; lm-eval's own also counts what waits in it.
                "seconds": 7 * 86400,
                "maxModelLen": max_model_len,
                "scored": known.scored,
                "output": str(folder / "output"),
            },
        )
        code = await _until_failure(harness, proxy, config, folder, known.task.data)
    _sound_end(known.task, harness, code)
    findings = read_findings(folder / "output", known.task)
    exact = bool(known.types) and ROLLING not in known.types
    if proxy.done < findings.requests or (exact and proxy.done != findings.requests):
        raise CheckError(
            "RequestsMissing",
            f"{known.task.name}: lm-eval's samples hold {findings.requests} answers, but the "
            f"server gave {proxy.done}: not every answer is the server's",
        )
    return findings


async def _until_failure(
    harness: Harness,
    proxy: Proxy,
    config: Mapping[str, object],
    folder: Path,
    data: Path | None,
) -> int:
    """lm-eval's exit code; the first failed request ends it and is raised."""
    work = asyncio.create_task(harness.run(folder, config, data))
    try:
        waiting: set[asyncio.Future[object]] = {
            cast("asyncio.Future[object]", work),
            cast("asyncio.Future[object]", proxy.failure),
        }
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if proxy.failure.done():
            error = proxy.failure.result()
            raise CheckError(error.reason, error.message)
        return work.result()
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def _sound_end(task: TaskSpec, harness: Harness, code: int) -> None:
    if code != 0:
        raise CheckError(
            "HarnessFailed",
            f"{task.name}: lm-eval ended with exit code {code}; it wrote: {harness.last_words}",
        )
    if harness.truncated:
        raise CheckError(
            "PromptTooLong",
            f"{task.name}: lm-eval cut a prompt that doesn't fit ({harness.truncated}); raise "
            "maxModelLen, or ask for fewer shots",
        )


def _known(options: EvalsOptions, said: Mapping[str, object]) -> list[_Known]:
    """Hold every task against what lm-eval knows, before a request is sent.

    Raises:
        SpecError: `UnknownTask`, `AmbiguousMetric`, `NoSuchMetric`, `NotForChat`, `NoDataset`.
    """
    tasks = said.get("tasks")
    if not isinstance(tasks, dict):
        raise CheckError("HarnessFailed", "lm-eval's list of tasks can't be read")
    return [_one(options, task, tasks.get(task.name)) for task in options.tasks]


def _one(options: EvalsOptions, task: TaskSpec, about: object) -> _Known:
    about = about if isinstance(about, dict) else {}
    if "near" in about or not about:
        near = ", ".join(str(name) for name in about.get("near") or [])
        hint = f"near it are {near}" if near else "`lm_eval ls tasks` names them"
        raise SpecError("UnknownTask", f"--task {task.name}: lm-eval has no such task; {hint}")
    if about.get("kind") == "tag":
        raise SpecError(
            "UnknownTask",
            f"--task {task.name}: a tag of many tasks, which has no figure of its own; name a "
            "task or a group (`lm_eval ls tasks`)",
        )
    leaves = [leaf for leaf in about.get("leaves") or [] if isinstance(leaf, dict)]
    types = {leaf.get("outputType") for leaf in leaves}
    if options.kind == "instruct" and types & SCORED:
        raise SpecError(
            "NotForChat",
            f"--task {task.name}: a task of log-probabilities ({_types(types)}), which "
            "chat completions can't give; ask for a task that generates, or give --kind base",
        )
    if (types & SCORED) and (types - {ROLLING}) and ROLLING in types:
        raise SpecError(
            "MixedGroup",
            f"--task {task.name}: a group of {_types(types)}; name its tasks one by one",
        )
    if any(leaf.get("unsafe") for leaf in leaves):
        raise SpecError(
            "UnsafeTask",
            f"--task {task.name}: runs code that the model writes; run it by hand, in a sandbox",
        )
    _require_row(task, about.get("kind"), leaves)
    _require_data(task, leaves)
    whole = all(isinstance(kind, str) for kind in types)
    return _Known(task, frozenset(str(kind) for kind in types) if whole else frozenset())


def _require_row(task: TaskSpec, kind: object, leaves: Sequence[Mapping[str, object]]) -> None:
    """Refuse a baseline for which no one figure will stand, before hours are spent."""
    if kind != "task" or len(leaves) != 1 or not leaves[0].get("certain"):
        return
    filters, metrics = leaves[0].get("filters"), leaves[0].get("metrics")
    if not isinstance(filters, list) or not isinstance(metrics, list):
        return
    rows = [{"task": task.name, "filter": f, "metric": m} for f in filters for m in metrics]
    left = choices(rows, task.bound())
    told = ", ".join(f"filter={row['filter']},metric={row['metric']}" for row in (left or rows))
    if not left:
        raise SpecError(
            "NoSuchMetric", f"--task {task.name}: no such filter or metric; there are {told}"
        )
    if task.baseline is not None and len(left) > 1:
        raise SpecError(
            "AmbiguousMetric",
            f"--task {task.name}: the baseline could be for any of {told}; name the filter and "
            "the metric that it is for",
        )


def _require_data(task: TaskSpec, leaves: Sequence[Mapping[str, object]]) -> None:
    for leaf in leaves:
        dataset = leaf.get("dataset")
        if task.data is None or not isinstance(dataset, str) or "/" not in dataset:
            continue
        if not (task.data / dataset).is_dir():
            raise SpecError(
                "NoDataset",
                f"--task {task.name}: data={task.data} has no folder {dataset}/: put the data set "
                "there as it is on the hub (its README.md names its files)",
            )


def _types(types: object) -> str:
    return ", ".join(sorted(str(kind) for kind in cast("set[object]", types)))


def _conclude(options: EvalsOptions, found: Sequence[Findings], tracker: Tracker) -> Outcome:
    figures = dict(tracker.figures()) | {
        "lmEvalVersion": found[0].version,
        "tasks": [row for findings in found for row in findings.rows],
    }
    verdict = judge_evals(figures, [task.bound() for task in options.tasks])
    return Outcome(
        verdict.result,
        verdict.reason,
        verdict.message,
        figures | dict(verdict.figures),
        Documents(report={"parts": [row for findings in found for row in findings.parts]}),
    )
