"""The check: prompts, loads, other traffic, figures, verdict.

A request is never sent twice: one that fails ends the check as an Error, since figures over the
rest would be another load's. A fresh `cache_salt` and fresh prompts for each load keep the server's
prefix cache out of the figures.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from ascendllm.checks.bench.addresses import reachable_addresses
from ascendllm.checks.bench.asked import asked, described
from ascendllm.checks.bench.crew import Alone, Crew
from ascendllm.checks.bench.datasets import (
    DatasetOptions,
    Prompt,
    long_context_prompt,
    make_dataset,
)
from ascendllm.checks.bench.figures import figures, sweep_row
from ascendllm.checks.bench.load.frames import Request
from ascendllm.checks.bench.load.lateness import keep_up
from ascendllm.checks.bench.load.process import LoadError, run_plans
from ascendllm.checks.bench.load.wire import Address
from ascendllm.checks.bench.loads import Share, long_context_plan, plans, share_of
from ascendllm.checks.bench.measured import Measured, merged
from ascendllm.checks.bench.options import BenchOptions, checked
from ascendllm.checks.bench.traffic import Counters, Traffic, read_counters, settled, traffic
from ascendllm.checks.client import Client, open_session
from ascendllm.checks.data_source import at_hand
from ascendllm.checks.judging.bench import judge_bench, read_requests
from ascendllm.checks.result import compact_json, rounded
from ascendllm.checks.runner import CheckName, Outcome, Tracker
from ascendllm.checks.sinks import Documents
from ascendllm.exceptions import CheckError, SpecError

__all__ = ["BENCH", "check_bench"]

BENCH = CheckName("bench", protocol_number=2)

PREPARING = 16
"""Requests in flight to /tokenize."""


async def check_bench(
    options: BenchOptions,
    tracker: Tracker,
    _checkpoint: str | None,
    crew: Crew | None = None,
) -> Outcome:
    """The check; it starts from nothing, whatever an earlier attempt did.

    Raises:
        CheckError: No figures: the server, a request that failed, or a client that was too slow.
        SpecError: The options ask for what can't be measured.
    """
    bench = _Bench(checked(options), tracker, crew or Alone())
    tracker.total = options.requests * len(options.points)
    tracker.figures = bench.asked
    async with open_session(PREPARING) as session:
        return await bench.run(session)


@dataclass(slots=True)
class _Found:
    """What was found out before the load."""

    client: Client
    addresses: tuple[Address, ...]
    max_model_len: int | None
    data: Path | None
    before: Counters | None = None


@dataclass(slots=True)
class _Bench:
    """One run.

    Args:
        options: Checked.
        tracker: Told of requests done.
        crew: Who shares the load.
    """

    options: BenchOptions
    tracker: Tracker
    crew: Crew
    failed: int = 0
    processes: int = 0
    dataset_hash: str | None = None

    def asked(self) -> Mapping[str, object]:
        """What every result bears, an Error's as well."""
        found = {"datasetHash": self.dataset_hash, "processes": self.processes or None}
        counted = {"completed": self.tracker.done, "failed": self.failed}
        return asked(self.options) | {k: v for k, v in found.items() if v is not None} | counted

    async def run(self, session: aiohttp.ClientSession) -> Outcome:
        """From the first contact to the verdict."""
        async with self._found(session) as found:
            other = await self._occupied(session, found)
            if other is not None and self.options.shards == 1:
                return other
            async with self.crew.joined(self.options.seed) as seed:
                if other is not None:
                    raise CheckError(other.reason, other.message)
                self.options = replace(self.options, seed=seed)
                self.tracker.begin(self.tracker.total)
                own = [await self._load(found, point) for point in range(len(self._points))]
                shards = await self.crew.collect(own)
                if shards is None:
                    return self._handed_in()
                loads = [merged(same) for same in zip(*shards, strict=True)]
                long = await self._long_context(found)
            seen = await self._traffic(session, found)
        if seen.others and not self.options.under_load:
            return _other_traffic(f"{seen.others} requests of others were served meanwhile", seen)
        return self._outcome(loads, long, seen)

    @property
    def _points(self) -> tuple[int, ...]:
        return self.options.points

    @contextlib.asynccontextmanager
    async def _found(self, session: aiohttp.ClientSession) -> AsyncIterator[_Found]:
        options = self.options
        client = Client(session, options.endpoint, options.retry)
        facts = await client.facts(options.first_contact)
        output = options.output_tokens or 1
        wanted = options.prefix_tokens + options.input_tokens + output
        longest = facts.max_model_len
        if options.dataset == "random" and longest is not None and wanted > longest:
            raise SpecError(
                "ContextTooShort",
                f"--input-tokens {options.input_tokens} (prefix {options.prefix_tokens}) and "
                f"--output-tokens {output} are more than the server's context of {longest}; ask "
                "for less, or raise maxModelLen",
            )
        addresses = await reachable_addresses(options.endpoint)
        if options.data is None:
            yield _Found(client, addresses, longest, None)
            return
        async with at_hand(options.data) as data:
            yield _Found(client, addresses, longest, data)

    async def _occupied(self, session: aiohttp.ClientSession, found: _Found) -> Outcome | None:
        """Read the counters; what it comes to where the server has other clients already."""
        if not self.crew.leader:
            return None
        found.before = await read_counters(session, self.options.endpoint, found.addresses)
        if found.before is None or not found.before.present or self.options.under_load:
            return None
        present = found.before.present
        return _other_traffic(f"{present} requests of others run or wait there", Traffic(present))

    async def _load(self, found: _Found, point: int) -> Measured:
        """Make the prompts of one load, and run this pod's share of it."""
        share = share_of(self.options, point)
        split = plans(self.options, share, await self._prompts(found, share), found.addresses)
        count = len(split)
        self.processes = max(self.processes, count)
        before, whole = self.tracker.done, self.options.requests

        def tell(done: int) -> None:
            self.tracker.done = before + done * whole // share.requests

        try:
            measured = await run_plans(split, lambda: self.crew.start(point), tell)
        except LoadError as error:
            self.failed = error.failed
            raise
        if measured.completed != share.requests:
            message = f"{measured.completed} of {share.requests} requests counted"
            raise CheckError("InternalError", message)
        keep_up(measured, count)
        _require_streamed(measured)
        self.tracker.done = before + whole
        return measured

    async def _prompts(self, found: _Found, share: Share) -> list[Request]:
        options = self.options
        dataset = await make_dataset(
            found.client,
            DatasetOptions(
                name=options.dataset,
                # As vLLM counts: the prefix stands before the input.
                input_tokens=options.prefix_tokens + options.input_tokens,
                output_tokens=options.output_tokens,
                prefix_tokens=options.prefix_tokens,
                data=found.data,
                seed=options.seed,
            ),
            share.warmups + share.requests,
            first=share.first,
            concurrency=PREPARING,
            max_model_len=found.max_model_len,
        )
        self.dataset_hash = dataset.hash
        return [_request(prompt) for prompt in dataset.prompts]

    async def _long_context(self, found: _Found) -> dict[str, object] | None:
        """One request that fills the server's context."""
        if not self.options.long_context:
            return None
        if found.max_model_len is None:
            raise CheckError(
                "ContextUnknown",
                "--long-context: the server's /v1/models tells no max_model_len to fill",
            )
        prompt = await long_context_prompt(
            found.client,
            max_model_len=found.max_model_len,
            output_tokens=self.options.output_tokens or 128,
            seed=self.options.seed,
        )
        plan = long_context_plan(self.options, _request(prompt), found.addresses)
        measured = await run_plans([plan], _at_once, _ignore)
        row: dict[str, object] = {
            "inputTokens": prompt.input_tokens,
            "outputTokens": prompt.output_tokens,
            "ttftMs": rounded(measured.ttft.mean_ms()),
            "e2elMs": rounded(measured.e2el.mean_ms()),
        }
        return row | ({"tpotMs": rounded(measured.tpot.mean_ms())} if len(measured.tpot) else {})

    async def _traffic(self, session: aiohttp.ClientSession, found: _Found) -> Traffic:
        options, before = self.options, found.before
        ours = len(self._points) * (options.requests + options.warmup) + options.long_context
        if before is None:
            return traffic(None, None, ours)
        after = await settled(session, options.endpoint, found.addresses, before.finished + ours)
        return traffic(before, after, ours)

    def _handed_in(self) -> Outcome:
        done = f"shard {self.options.shard} of {self.options.shards} has handed in its part"
        return Outcome("Passed", "ShardMeasured", done, self.asked())

    def _outcome(
        self, loads: Sequence[Measured], long: dict[str, object] | None, seen: Traffic
    ) -> Outcome:
        options = self.options
        made = [figures(load, options.npus) for load in loads]
        best = max(range(len(made)), key=lambda i: (made[i]["outputThroughput"], -i))
        measured = {**self.asked(), **made[best]}
        if options.sweep:
            rows = zip(options.sweep, made, strict=True)
            measured["concurrency"] = options.sweep[best]
            measured["sweep"] = [sweep_row(concurrency, point) for concurrency, point in rows]
        if long is not None:
            measured["longContext"] = long
        if options.under_load:
            measured["underLoad"] = True
            if seen.others is not None:
                measured["otherRequests"] = seen.others
        latencies = loads[best].latencies()
        text = None if latencies is None else compact_json(latencies)
        judgement = judge_bench(
            measured,
            thresholds=options.thresholds,
            goodput=options.goodput,
            compare_to=options.compare_to,
            requests=None if text is None else read_requests(text),
        )
        whole = {**measured, **judgement.figures}
        note = f"; {seen.note}" if seen.note else ""
        return Outcome(
            judgement.result,
            judgement.reason,
            f"{judgement.message}; {described(options)}{note}",
            {key: value for key, value in whole.items() if value is not None},
            Documents(
                {} if text is None else {"requests.json": text},
                {"perRequest": loads[best].details} if options.details else {},
            ),
        )


def _require_streamed(measured: Measured) -> None:
    """Refuse answers of which none came in more than one piece: no token's time is known then.

    Raises:
        CheckError: `NotStreamed`.
    """
    if measured.output_tokens > measured.completed and not len(measured.itl):
        raise CheckError(
            "NotStreamed",
            f"each of the {measured.completed} answers came in a single chunk, "
            f"{measured.output_tokens} tokens in all: what is between the tokens can't be told; "
            "look for a proxy that holds answers back, or ask for more --output-tokens",
        )


async def _at_once() -> None:
    return None


def _ignore(_done: int) -> None:
    """A single request has no progress."""


def _request(prompt: Prompt) -> Request:
    return Request(prompt.text, prompt.input_tokens, prompt.output_tokens)


def _other_traffic(what: str, seen: Traffic) -> Outcome:
    return Outcome(
        "Skipped",
        "OtherTraffic",
        f"{what}: figures would be of both loads; run it when the server is idle, or measure with "
        "--under-load",
        {"otherRequests": seen.others},
    )
