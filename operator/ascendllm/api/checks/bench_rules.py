"""Rules that span the fields of bench, each as the API server and as we check it.

A rule in CEL sees the schema's defaults; it holds for the same specs as the function beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ascendllm.api.scalars import cel

if TYPE_CHECKING:
    from ascendllm.api.checks.bench import BenchCheck

__all__ = ["GOODPUT_REQUESTS", "SCHEMA_RULES", "problems"]

GOODPUT_REQUESTS = 20_000
"""Goodput is judged on each request's latencies, which a run's ConfigMap must hold."""

_SWEEP_ALONE = (
    "concurrency and sweep exclude each other: remove concurrency, the sweep names its own"
)
_ENOUGH = (
    "requests must be at least concurrency, or that many are never in flight: raise requests or "
    "lower concurrency"
)
_ENOUGH_SWEPT = (
    "requests must be at least the largest concurrency of sweep, or that many are never in "
    "flight: raise requests, or leave that concurrency out"
)
_ONCE = "each concurrency may stand in sweep once: remove the second one"
_ONE_RATE = "requestRate and rampUp exclude each other: remove one"
_RATE_ALONE = (
    "at a rate no concurrency is a limit: remove concurrency and sweep, or requestRate and rampUp"
)
_NO_RATE = (
    "burstiness is about requests that come at a rate: set requestRate or rampUp, or remove it"
)
_GOODPUT = (
    f"goodput is judged request by request, of at most {GOODPUT_REQUESTS} requests: lower "
    "requests, or remove goodput"
)
_OWN_LENGTHS = (
    "a ShareGPT file brings its own lengths: remove inputTokens and outputTokens, or "
    "dataset.sharegpt"
)
_GOODPUT_SHARDS = (
    f"goodput over shards is judged on at most {GOODPUT_REQUESTS} requests, less one a shard, of "
    "the whole sweep: lower requests, or remove goodput or shards"
)
_RANDOM_ONLY = (
    "prefixTokens is about random prompts: remove it, or dataset.sharegpt, whose prompts are "
    "taken as they are"
)
_SHARDS = (
    "each shard needs a request in flight: lower shards, or raise the (smallest) concurrency (at "
    "a rate: requests) to it"
)
_AT_A_RATE = "(has(self.requestRate) || has(self.rampUp))"

SCHEMA_RULES = (
    cel("!has(self.sweep) || self.concurrency == 4", _SWEEP_ALONE, path=".sweep"),
    cel(
        f"has(self.sweep) || {_AT_A_RATE} || self.requests >= self.concurrency",
        _ENOUGH,
        path=".requests",
    ),
    cel(
        "!has(self.sweep) || self.sweep.all(c, self.requests >= c)",
        _ENOUGH_SWEPT,
        path=".requests",
    ),
    cel("!has(self.requestRate) || !has(self.rampUp)", _ONE_RATE, path=".rampUp"),
    cel(
        f"!{_AT_A_RATE} || (self.concurrency == 4 && !has(self.sweep))",
        _RATE_ALONE,
        path=".concurrency",
    ),
    cel(
        f"self.burstiness == 1.0 || {_AT_A_RATE}",
        _NO_RATE,
        path=".burstiness",
    ),
    cel(f"!has(self.goodput) || self.requests <= {GOODPUT_REQUESTS}", _GOODPUT, path=".goodput"),
    cel(
        "self.prefixTokens == 0 || !has(self.dataset) || !has(self.dataset.sharegpt)",
        _RANDOM_ONLY,
        path=".prefixTokens",
    ),
    cel(
        "!has(self.dataset) || !has(self.dataset.sharegpt) || "
        "(self.inputTokens == 128 && self.outputTokens == 128)",
        _OWN_LENGTHS,
        path=".dataset",
    ),
    cel(
        "!has(self.goodput) || self.shards == 1 || self.requests * "
        f"(has(self.sweep) ? size(self.sweep) : 1) <= {GOODPUT_REQUESTS} - self.shards",
        _GOODPUT_SHARDS,
        path=".goodput",
    ),
    cel(
        "has(self.sweep) ? self.sweep.all(c, c >= self.shards) : "
        f"({_AT_A_RATE} ? self.requests : self.concurrency) >= self.shards",
        _SHARDS,
        path=".shards",
    ),
)


def problems(bench: BenchCheck) -> Iterator[str]:
    """What is wrong with the fields together, each with its remedy."""
    sweep = bench.sweep
    at_a_rate = bench.request_rate is not None or bench.ramp_up is not None
    levels = sweep if sweep is not None else [bench.concurrency]
    if sweep is not None and bench.concurrency != 4:
        yield f"{_SWEEP_ALONE} (concurrency {bench.concurrency})"
    if sweep is not None and len(set(sweep)) < len(sweep):
        yield f"{_ONCE} (sweep {sweep})"
    if bench.request_rate is not None and bench.ramp_up is not None:
        yield f"{_ONE_RATE} (requestRate {bench.request_rate})"
    if at_a_rate and (sweep is not None or bench.concurrency != 4):
        yield f"{_RATE_ALONE} (concurrency {bench.concurrency}, sweep {sweep or 'unset'})"
    if not at_a_rate and bench.requests < max(levels):
        rule = _ENOUGH if sweep is None else _ENOUGH_SWEPT
        yield f"{rule} (requests {bench.requests}, concurrency {max(levels)})"
    if not at_a_rate and bench.burstiness != 1:
        yield f"{_NO_RATE} (burstiness {bench.burstiness})"
    if bench.dataset is not None and bench.dataset.sharegpt is not None:
        yield from _sharegpt_problems(bench)
    if bench.goodput is not None:
        yield from _goodput_problems(bench, len(levels))
    if bench.shards > (bench.requests if at_a_rate else min(levels)):
        yield f"{_SHARDS} (shards {bench.shards}, concurrency {min(levels)})"


def _sharegpt_problems(bench: BenchCheck) -> Iterator[str]:
    if bench.prefix_tokens:
        yield f"{_RANDOM_ONLY} (prefixTokens {bench.prefix_tokens})"
    lengths = (bench.input_tokens, bench.output_tokens)
    if lengths != (128, 128):
        yield f"{_OWN_LENGTHS} (inputTokens {lengths[0]}, outputTokens {lengths[1]})"


def _goodput_problems(bench: BenchCheck, levels: int) -> Iterator[str]:
    if bench.requests > GOODPUT_REQUESTS:
        yield f"{_GOODPUT} (requests {bench.requests})"
    elif bench.shards > 1 and bench.requests * levels > GOODPUT_REQUESTS - bench.shards:
        yield f"{_GOODPUT_SHARDS} (requests {bench.requests} x {levels}, shards {bench.shards})"
