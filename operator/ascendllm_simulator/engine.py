"""The engine: schedules sequences, determines when each token is due, and updates the metrics.

Answers are planned in advance (`generation`), so the engine simulates only time. A sequence starts
when fewer than `max_num_seqs` are running. Its first token is due after the TTFT, each further one
an ITL after the one before. Deadlines are absolute: a late wake-up does not delay later tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator

from ascendllm_simulator.config import ServerConfig
from ascendllm_simulator.generation import Plan, Prompt
from ascendllm_simulator.metrics import Metrics
from ascendllm_simulator.prefix_cache import PrefixCache

__all__ = ["Engine", "EngineDeadError", "Sequence"]

ABORT = "abort"


class EngineDeadError(Exception):
    """The engine is dead, and every request fails."""

    def __init__(self) -> None:
        super().__init__(
            "EngineCore encountered an issue. See stack trace (above) for the root cause."
        )


class Sequence:
    """One answer in progress.

    Args:
        prompt: The prompt.
        plan: The planned answer.
        ttft: Time to the first token, in seconds.
        itl: Time between tokens, in seconds.
        hangs: Whether the sequence never produces a token.
    """

    __slots__ = (
        "aborted",
        "arrived",
        "cached",
        "counted",
        "finish_reason",
        "hangs",
        "itl",
        "plan",
        "prompt",
        "started",
        "ttft",
        "waiter",
    )

    def __init__(
        self, prompt: Prompt, plan: Plan, ttft: float, itl: float, *, hangs: bool = False
    ) -> None:
        self.prompt = prompt
        self.plan = plan
        self.ttft = ttft
        self.itl = itl
        self.hangs = hangs
        self.arrived = 0.0
        self.started = 0.0
        self.cached = 0
        self.counted = 0
        self.aborted = False
        self.finish_reason: str | None = None
        self.waiter: asyncio.Future[None] | None = None

    @property
    def total(self) -> int:
        """The number of tokens of the whole answer."""
        return len(self.plan.ids)

    def due(self, token: int) -> float:
        """When a token (counted from 0) is due."""
        return self.started + self.ttft + token * self.itl

    def ready(self, now: float) -> int:
        """The number of tokens that are due by now."""
        first = self.started + self.ttft
        if self.hangs or now < first:
            return 0
        if self.itl <= 0:
            return self.total
        # One microsecond of tolerance: a wake-up at the deadline must count the token that is due.
        return min(self.total, 1 + int((now - first + 1e-6) / self.itl))


class Engine:
    """Runs at most `max_num_seqs` sequences at once; the others wait in order of arrival."""

    def __init__(self, config: ServerConfig) -> None:
        self._loop = asyncio.get_running_loop()
        self._places = config.max_num_seqs
        self._running: set[Sequence] = set()
        self._waiting: deque[Sequence] = deque()
        self._kv_tokens = config.behaviour.kv_cache_tokens
        blocks = max(1, self._kv_tokens // config.block_size)
        self._cache = PrefixCache(config.block_size, blocks) if config.prefix_caching else None
        self.metrics = Metrics(
            config.names[0],
            config.max_model_len,
            {
                "block_size": config.block_size,
                "num_gpu_blocks": blocks,
                "enable_prefix_caching": config.prefix_caching,
                "gpu_memory_utilization": 0.9,
            },
        )
        self.dead = False
        self.draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def unfinished(self) -> int:
        """The number of sequences that run or wait."""
        return len(self._running) + len(self._waiting)

    async def run(
        self, sequence: Sequence, *, salt: str | None, cache: bool, stream: bool
    ) -> AsyncGenerator[int, None]:
        """Run a sequence and yield the number of finished tokens, at last that of the whole answer.

        Without `stream` it yields once, at the end. `finish_reason` is set after the last token.
        Closing the generator aborts the sequence.

        Raises:
            EngineDeadError: The engine is dead, or dies while the sequence runs.
        """
        if self.dead:
            raise EngineDeadError
        sequence.arrived = self._loop.time()
        self._idle.clear()
        try:
            if self.draining:
                sequence.aborted = True
            else:
                await self._start(sequence, salt, cache)
            done = 0
            while not sequence.aborted and done < sequence.total:
                await self._until(sequence, done if stream else sequence.total - 1)
                done = sequence.ready(self._loop.time())
                if stream and done and not sequence.aborted and done < sequence.total:
                    self._count(sequence, done)
                    yield done
            if self.dead:
                raise EngineDeadError
            sequence.finish_reason = ABORT if sequence.aborted else sequence.plan.finish_reason
            done = sequence.counted if sequence.aborted else done
            self._finish(sequence, done)
            yield done
        finally:
            if sequence.finish_reason is None:
                sequence.finish_reason = ABORT
                self._finish(sequence, sequence.counted)

    async def _start(self, sequence: Sequence, salt: str | None, cache: bool) -> None:
        if len(self._running) >= self._places:
            self._waiting.append(sequence)
            await self._sleep(sequence, None)
        else:
            self._running.add(sequence)
        if sequence.aborted:
            return
        sequence.started = self._loop.time()
        if self._cache is not None and cache:
            self.metrics.counters["prefix_cache_queries"] += len(sequence.prompt.ids)
            sequence.cached = self._cache.take(sequence.prompt.ids, salt)
            self.metrics.counters["prefix_cache_hits"] += sequence.cached

    async def _until(self, sequence: Sequence, token: int) -> None:
        """Sleep until a token is due; return early if the sequence is aborted."""
        if sequence.hangs:
            await self._sleep(sequence, None)
            return
        deadline = sequence.due(token)
        if deadline > self._loop.time():
            await self._sleep(sequence, deadline)

    async def _sleep(self, sequence: Sequence, deadline: float | None) -> None:
        waiter = self._loop.create_future()
        sequence.waiter = waiter
        handle = self._loop.call_at(deadline, _wake, waiter) if deadline is not None else None
        try:
            await waiter
        finally:
            sequence.waiter = None
            if handle is not None:
                handle.cancel()

    def _count(self, sequence: Sequence, done: int) -> None:
        """Add finished tokens that are not counted yet to the metrics."""
        new = done - sequence.counted
        if new <= 0:
            return
        metrics = self.metrics
        size = len(sequence.prompt.ids)
        if sequence.counted == 0:
            metrics.counters["prompt_tokens"] += size
            metrics.counters["prompt_tokens_cached"] += sequence.cached
            metrics.by_source["local_compute"] += size - sequence.cached
            metrics.by_source["local_cache_hit"] += sequence.cached
            metrics.observe("time_to_first_token_seconds", sequence.due(0) - sequence.arrived)
            metrics.observe("iteration_tokens_total", size + 1)
            more = new - 1
        else:
            more = new
        if more:
            metrics.observe("inter_token_latency_seconds", sequence.itl, more)
            metrics.observe("iteration_tokens_total", 1, more)
        metrics.counters["generation_tokens"] += new
        sequence.counted = done

    def _finish(self, sequence: Sequence, done: int) -> None:
        self._running.discard(sequence)
        if not sequence.started and sequence in self._waiting:
            self._waiting.remove(sequence)
        while self._waiting and len(self._running) < self._places:
            following = self._waiting.popleft()
            self._running.add(following)
            _wake(following.waiter)
        self._count(sequence, done)
        reason = sequence.finish_reason or ABORT
        if not self.dead:
            self.metrics.finished[reason] += 1
        if reason != ABORT:
            self._observe_finished(sequence)
        if not self.unfinished:
            self._idle.set()

    def _observe_finished(self, sequence: Sequence) -> None:
        observe = self.metrics.observe
        size, total = len(sequence.prompt.ids), sequence.total
        decode = (total - 1) * sequence.itl
        queued = sequence.started - sequence.arrived
        observe("e2e_request_latency_seconds", queued + sequence.ttft + decode)
        observe("request_queue_time_seconds", queued)
        observe("request_prefill_time_seconds", sequence.ttft)
        observe("request_inference_time_seconds", sequence.ttft + decode)
        observe("request_decode_time_seconds", decode)
        observe("request_prompt_tokens", size)
        observe("request_generation_tokens", total)
        observe("request_max_num_generation_tokens", total)
        observe("request_prefill_kv_computed_tokens", size - sequence.cached)
        observe("request_params_n", 1)
        observe("request_time_per_output_token_seconds", sequence.itl if total > 1 else 0.0)

    def render_metrics(self) -> str:
        """The response of /metrics, including the tokens of running sequences so far."""
        now = self._loop.time()
        held = 0
        for sequence in self._running:
            done = sequence.ready(now) if sequence.started else 0
            self._count(sequence, min(done, sequence.total))
            held += len(sequence.prompt.ids) + done
        self.metrics.gauges["num_requests_running"] = len(self._running)
        self.metrics.gauges["num_requests_waiting"] = len(self._waiting)
        self.metrics.gauges["kv_cache_usage_perc"] = min(1.0, held / self._kv_tokens)
        return self.metrics.render()

    def die(self) -> None:
        """Kill the engine: running sequences fail, and /health returns 503."""
        self.dead = True
        self._abort_all()

    async def shut_down(self, grace: float) -> None:
        """Shut down: abort new sequences, and give running ones `grace` seconds to finish."""
        self.draining = True
        if grace > 0 and not self._idle.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), grace)
        self._abort_all()

    def _abort_all(self) -> None:
        now = self._loop.time()
        for sequence in [*self._running, *self._waiting]:
            if sequence.started:
                self._count(sequence, sequence.ready(now))
            sequence.aborted = True
            _wake(sequence.waiter)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
