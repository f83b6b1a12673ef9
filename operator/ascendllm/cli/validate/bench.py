"""`ascendllm validate bench`."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click

from ascendllm.cli.validate.common import (
    FILE,
    MOST_IN_FLIGHT,
    Common,
    NumberRange,
    common_options,
    run,
)
from ascendllm.cli.validate.data_options import data_options
from ascendllm.exceptions import SpecError

__all__ = ["command"]

MOST_REQUESTS = 1_000_000
MOST_TOKENS = 10_000_000
MOST_SHARDS = 16
MOST_PROCESSES = 64
MOST_RATE = 100_000
COMPARED_BYTES = 1024 * 1024
_THRESHOLD = re.compile(r"\s*([A-Za-z0-9.]+)\s*(<=|>=)\s*([0-9.eE+-]+)\s*")


def _sweep(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Different concurrencies."""
    if value is None:
        return ()
    parts = [part.strip() for part in value.split(",")]
    levels = [int(part) if part.isdecimal() and len(part) < 6 else 0 for part in parts]
    if not all(1 <= level <= MOST_IN_FLIGHT for level in levels) or len(set(levels)) < len(levels):
        raise click.BadParameter(
            f"{value!r}: different numbers from 1 to {MOST_IN_FLIGHT} with commas, as 1,4,16."
        )
    return tuple(levels)


def _rate(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Requests a second; inf is no limit, as vLLM has it."""
    if value is None or value == math.inf:
        return None
    if not 0 < value <= MOST_RATE:
        raise click.BadParameter(f"{value}: a number above 0 up to {MOST_RATE}, or inf.")
    return value


def _positive(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not value > 0:
        raise click.BadParameter(f"{value}: a number above 0, or inf for constant gaps.")
    return value


def _thresholds(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """`figure<=number` and `figure>=number`."""
    from ascendllm.checks.judging.bench import check_figure

    bounds: dict[str, dict[str, float]] = {}
    for value in values:
        match = _THRESHOLD.fullmatch(value)
        try:
            number = float(match[3]) if match else math.nan
        except ValueError:
            number = math.nan
        if match is None or not math.isfinite(number):
            raise click.BadParameter(f"{value!r}: as meanTtftMs<=200 or outputThroughput>=100.")
        try:
            check_figure(match[1])
        except SpecError as error:
            raise click.BadParameter(error.message) from None
        side = bounds.setdefault(match[1], {})
        end = "max" if match[2] == "<=" else "min"
        if end in side:
            raise click.BadParameter(f"{value!r}: {match[1]} has this bound already.")
        side[end] = number
    return bounds


def _compared(
    ctx: click.Context, param: click.Parameter, value: Path | None
) -> Mapping[str, object] | None:
    """A result, or an object of figures."""
    from ascendllm.checks.judging.bench_figures import FIGURES, figure

    if value is None:
        return None
    try:
        if value.stat().st_size > COMPARED_BYTES:
            raise OSError(f"it is longer than {COMPARED_BYTES} bytes")
        data = json.loads(value.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise click.BadParameter(f"{value}: {error}") from None
    if not isinstance(data, dict):
        raise click.BadParameter(f"{value}: it holds no JSON object of figures.")
    if not any(figure(data, name) is not None for name in FIGURES):
        raise click.BadParameter(
            f"{value}: it holds no figure of bench; give a result, or an object as "
            '{"outputThroughput": 100}.'
        )
    return data


@click.command("bench")
@common_options
@click.option("--input-tokens", type=click.IntRange(1, MOST_TOKENS), default=128, show_default=True)
@click.option(
    "--output-tokens",
    type=click.IntRange(1, MOST_TOKENS),
    help="Unset: 128 after random prompts, the file's own length after sharegpt's.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, MOST_IN_FLIGHT),
    help="Requests in flight, 4 when unset; not with a rate, which nothing limits.",
)
@click.option(
    "--sweep",
    metavar="N,N,…",
    callback=_sweep,
    help="Several concurrencies instead, each a load of its own.",
)
@click.option(
    "--requests",
    type=click.IntRange(1, MOST_REQUESTS),
    default=20,
    show_default=True,
    help="In all; of a sweep, for each concurrency.",
)
@click.option(
    "--request-rate",
    type=float,
    callback=_rate,
    help="Requests a second, whether answers come or not; unset or inf: a closed loop.",
)
@click.option(
    "--burstiness",
    type=float,
    default=1.0,
    show_default=True,
    callback=_positive,
    help="Of the rate's gaps: 1 a Poisson process, less in bursts, more evenly, inf constant.",
)
@click.option(
    "--ramp-up-strategy",
    type=click.Choice(["linear", "exponential"]),
    help="A rate that grows, instead of --request-rate.",
)
@click.option("--ramp-up-start-rps", type=click.IntRange(1, MOST_RATE))
@click.option("--ramp-up-end-rps", type=click.IntRange(1, MOST_RATE))
@click.option(
    "--warmup",
    type=click.IntRange(0, MOST_REQUESTS),
    default=0,
    show_default=True,
    help="Requests before each load that no figure counts.",
)
@click.option(
    "--dataset", type=click.Choice(["random", "sharegpt"]), default="random", show_default=True
)
@click.option("--data", metavar="PATH", help="The file of sharegpt, or s3://bucket/key.")
@data_options
@click.option(
    "--prefix-tokens",
    type=click.IntRange(0, MOST_TOKENS),
    default=0,
    show_default=True,
    help="What all random prompts begin with, before --input-tokens.",
)
@click.option(
    "--long-context", is_flag=True, help="One more request that fills the server's context."
)
@click.option("--goodput-ttft-ms", type=NumberRange(0, min_open=True))
@click.option("--goodput-tpot-ms", type=NumberRange(0, min_open=True))
@click.option("--goodput-e2el-ms", type=NumberRange(0, min_open=True))
@click.option(
    "--threshold",
    "thresholds",
    metavar="FIGURE<=N",
    multiple=True,
    callback=_thresholds,
    help="What a figure must keep to, also >=; may be repeated.",
)
@click.option(
    "--compare-to",
    type=FILE,
    callback=_compared,
    help="A result, or an object of figures, JSON: shown beside these.",
)
@click.option(
    "--shards",
    type=click.IntRange(1, MOST_SHARDS),
    default=1,
    show_default=True,
    help="Pods of an Indexed Job that share the load; they meet in --run-configmap.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, MOST_PROCESSES),
    help="That send the load; unset: as many as it needs and cores allow.",
)
@click.option("--under-load", is_flag=True, help="Measure though the server has other clients.")
@click.option("--seed", type=click.IntRange(0), help="Of prompts and gaps; unset: a fresh one.")
@click.option("--npus", type=click.IntRange(1), help="NPUs that serve, for the figure per NPU.")
def command(
    common: Common,
    concurrency: int | None,
    ramp_up_strategy: Literal["linear", "exponential"] | None,
    ramp_up_start_rps: int | None,
    ramp_up_end_rps: int | None,
    data: str | None,
    data_endpoint: str | None,
    data_region: str | None,
    goodput_ttft_ms: float | None,
    goodput_tpot_ms: float | None,
    goodput_e2el_ms: float | None,
    seed: int | None,
    **values: Any,
) -> None:
    """Throughput and latency, as `vllm bench serve` defines them."""
    from ascendllm.checks.bench.options import BenchOptions
    from ascendllm.checks.bench.run import BENCH, check_bench
    from ascendllm.checks.bench.schedule import RampUp
    from ascendllm.checks.data_source import parse_source

    if concurrency is not None and values["sweep"]:
        raise click.UsageError("--concurrency and --sweep exclude each other: give one.")
    if concurrency is not None and (values["request_rate"] or ramp_up_strategy):
        raise click.UsageError(
            "--concurrency limits nothing at a rate: leave out --concurrency, or the rate."
        )
    ramp_up = None
    if ramp_up_strategy and ramp_up_start_rps and ramp_up_end_rps:
        ramp_up = RampUp(ramp_up_strategy, ramp_up_start_rps, ramp_up_end_rps)
    elif ramp_up_strategy or ramp_up_start_rps or ramp_up_end_rps:
        raise click.UsageError(
            "--ramp-up-strategy, --ramp-up-start-rps and --ramp-up-end-rps belong together: give "
            "all three, or none."
        )
    if values["output_tokens"] is None and values["dataset"] == "random":
        values["output_tokens"] = 128
    goodput = {"ttftMs": goodput_ttft_ms, "tpotMs": goodput_tpot_ms, "e2elMs": goodput_e2el_ms}
    try:
        source = None if data is None else parse_source(data, data_endpoint, data_region)
    except SpecError as error:
        raise click.UsageError(error.message) from None
    options = BenchOptions(
        common.endpoint,
        concurrency=concurrency or 4,
        ramp_up=ramp_up,
        data=source,
        goodput={name: value for name, value in goodput.items() if value is not None},
        seed=secrets.randbelow(2**32) if seed is None else seed,
        details=common.output is not None,
        **values,
    )
    if options.shards == 1:
        run(BENCH, partial(check_bench, options), common)
    else:
        _run_shard(options, common)


def _run_shard(options: Any, common: Common) -> None:
    """One pod of an Indexed Job; only shard 0 writes the run's result."""
    from ascendllm.checks.bench.crew import Shards, shard_key
    from ascendllm.checks.bench.run import BENCH, check_bench
    from ascendllm.checks.run_configmap import RunConfigMap, in_cluster

    index = os.environ.get("JOB_COMPLETION_INDEX", "")
    if not index.isdecimal() or common.run_configmap is None:
        raise click.UsageError(
            f"--shards {options.shards} is for the pods of an Indexed Job: it needs "
            "--run-configmap and the environment's JOB_COMPLETION_INDEX; by hand use --processes."
        )
    try:
        sink = RunConfigMap(common.run_configmap, in_cluster())
    except SpecError as error:
        raise click.UsageError(error.message) from None
    shard = replace(options, shard=int(index))
    sink.obsolete = tuple(shard_key(number) for number in range(options.shards))
    crew = Shards(sink, shard.shard, shard.shards)

    def body(tracker: Any, checkpoint: str | None) -> Any:
        return check_bench(shard, tracker, checkpoint, crew)

    # The sink of shard 0 alone: the others' results are parts of its.
    alone = replace(common, run_configmap=None)
    run(BENCH, body, alone, [sink] if crew.leader else [])
