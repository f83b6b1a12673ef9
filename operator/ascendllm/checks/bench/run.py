"""The closed loop: `concurrency` workers, each sending its next request when the last has ended.

Each worker has a connection of its own, opened and used once before the clock starts. A request
is never sent twice: one that fails ends the check as an Error, since figures over the rest would
be another load's. A fresh `cache_salt` keeps the server's prefix cache out of the figures.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp

from ascendllm.checks.bench.metrics import Sample, figures
from ascendllm.checks.bench.prompts import make_prompts
from ascendllm.checks.bench.stream import WHAT, StreamedAnswer
from ascendllm.checks.client import Client, open_session, read_limited
from ascendllm.checks.endpoint import Endpoint, refusal, unreachable
from ascendllm.checks.events import EventReader
from ascendllm.checks.result import compact_json, rounded
from ascendllm.checks.retry import FIRST_CONTACT, RetryPolicy
from ascendllm.checks.runner import CheckName, Outcome, Tracker
from ascendllm.checks.sinks import Documents
from ascendllm.checks.together import together
from ascendllm.exceptions import CheckError, SpecError

__all__ = ["BENCH", "BenchOptions", "check_bench"]

BENCH = CheckName("bench", protocol_number=1)
LAG_STEP = 0.005


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """The load.

    Args:
        endpoint: The server.
        input_tokens: Of each prompt, on the server's count.
        output_tokens: Of each answer (`ignore_eos`).
        concurrency: Requests in flight.
        requests: In all.
        seed: Of the random prompts.
        npus: NPUs that serve, for the figure per NPU.
        request_timeout: Seconds for one whole answer.
        silence: Seconds between two reads of a stream.
        retry: For what precedes the load.
        first_contact: The same, for the first request.
    """

    endpoint: Endpoint
    input_tokens: int = 128
    output_tokens: int = 128
    concurrency: int = 4
    requests: int = 20
    seed: int = 0
    npus: int | None = None
    request_timeout: float = 3600.0
    silence: float = 300.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    first_contact: RetryPolicy = FIRST_CONTACT


async def check_bench(options: BenchOptions, tracker: Tracker, _checkpoint: str | None) -> Outcome:
    """The check; it starts from nothing, whatever an earlier attempt did.

    Raises:
        CheckError: No figures: the server, or a request that failed.
        SpecError: The options ask for what can't be measured.
    """
    if options.requests < options.concurrency:
        raise SpecError(
            "TooFewRequests",
            f"--requests {options.requests} is less than --concurrency {options.concurrency}: the "
            "concurrency would never be reached; ask for at least five times as many",
        )
    tracker.total = options.requests
    asked = {"concurrency": options.concurrency, "seed": options.seed}
    tracker.figures = lambda: asked | {"completed": tracker.done, "failed": 0}
    prompts = await _prompts(options)
    load = _Load(options, iter(prompts), tracker)
    tracker.figures = lambda: asked | {"completed": tracker.done, "failed": load.failed}
    tracker.begin(options.requests)
    samples, duration, lag = await load.run()
    if len(samples) != options.requests:
        raise CheckError("InternalError", f"{len(samples)} of {options.requests} requests counted")
    return Outcome(
        "Passed",
        "Measured",
        f"{options.requests} requests of {options.input_tokens} + {options.output_tokens} tokens "
        f"at concurrency {options.concurrency}, all answered in full",
        figures(samples, duration, options.npus) | asked | {"clientLagMs": rounded(lag * 1000)},
        Documents(report={"perRequest": [sample.to_json() for sample in samples]}),
    )


async def _prompts(options: BenchOptions) -> list[str]:
    async with open_session(options.concurrency) as session:
        client = Client(session, options.endpoint, options.retry)
        facts = await client.facts(options.first_contact)
        wanted = options.input_tokens + options.output_tokens
        if facts.max_model_len is not None and wanted > facts.max_model_len:
            raise SpecError(
                "ContextTooShort",
                f"--input-tokens {options.input_tokens} and --output-tokens "
                f"{options.output_tokens} are more than the server's context of "
                f"{facts.max_model_len}; ask for less, or raise maxModelLen",
            )
        return await make_prompts(
            client,
            options.requests,
            options.input_tokens,
            options.seed,
            options.concurrency,
        )


class _Load:
    """The measured part."""

    def __init__(self, options: BenchOptions, prompts: Iterator[str], tracker: Tracker) -> None:
        self._options = options
        self._prompts = prompts
        self._tracker = tracker
        self._salt = str(uuid.uuid4())
        self.failed = 0

    async def run(self) -> tuple[list[Sample], float, float]:
        """The samples, the wall time and the client's worst lateness, in seconds."""
        sessions = [open_session(1) for _ in range(self._options.concurrency)]
        lag = _Lag()
        try:
            await together(self._warm(session) for session in sessions)
            watch = asyncio.create_task(lag.watch())
            try:
                samples = await together(self._work(session) for session in sessions)
            finally:
                watch.cancel()
        finally:
            await asyncio.gather(*(session.close() for session in sessions))
        flat = [sample for mine in samples for sample in mine]
        flat.sort(key=lambda sample: sample.start)
        begun = min(sample.start for sample in flat)
        return flat, max(sample.last for sample in flat) - begun, lag.worst

    async def _warm(self, session: aiohttp.ClientSession) -> None:
        """Open the worker's connection."""
        endpoint = self._options.endpoint
        url, what = endpoint.url("/v1/models"), "GET /v1/models"
        try:
            async with (
                asyncio.timeout(30),
                session.get(url, headers=endpoint.headers, allow_redirects=False) as answer,
            ):
                body = await read_limited(answer.content.read)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(what, error) from None
        if answer.status != 200:
            raise refusal(what, answer.status, body, endpoint)

    async def _work(self, session: aiohttp.ClientSession) -> list[Sample]:
        samples: list[Sample] = []
        for prompt in self._prompts:
            try:
                samples.append(await self._ask(session, prompt))
            except CheckError:
                self.failed += 1
                raise
            self._tracker.done += 1
        return samples

    async def _ask(self, session: aiohttp.ClientSession, prompt: str) -> Sample:
        options = self._options
        payload = {
            "model": options.endpoint.model,
            "prompt": prompt,
            "max_tokens": options.output_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_salt": self._salt,
        }
        data = compact_json(payload).encode()
        headers = {"Content-Type": "application/json"} | options.endpoint.headers
        url = options.endpoint.url("/v1/completions")
        answer = StreamedAnswer(options.endpoint, time.monotonic())
        try:
            async with (
                asyncio.timeout(options.request_timeout),
                session.post(url, data=data, headers=headers, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    body = await read_limited(response.content.read)
                    raise refusal(WHAT, response.status, body, options.endpoint)
                await self._read(response, answer)
        except aiohttp.ClientPayloadError as error:
            message = f"{WHAT}: cut after {len(answer.moments)} chunks: {error}"
            raise CheckError("StreamCut", message[:400]) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(WHAT, error) from None
        return answer.sample(options.input_tokens, options.output_tokens)

    async def _read(self, response: aiohttp.ClientResponse, answer: StreamedAnswer) -> None:
        moment = 0.0
        reader = EventReader(WHAT, lambda data: answer.event(data, moment))
        while True:
            async with asyncio.timeout(self._options.silence):
                part = await response.content.readany()
            moment = time.monotonic()
            if not part:
                return
            reader.feed(part)


class _Lag:
    """How late the event loop runs what is due: a chunk's moment may be late by as much."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        """Look every few milliseconds until cancelled."""
        while True:
            due = time.monotonic() + LAG_STEP
            await asyncio.sleep(LAG_STEP)
            self.worst = max(self.worst, time.monotonic() - due)
