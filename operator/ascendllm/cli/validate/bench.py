"""`ascendllm validate bench`."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

import click

from ascendllm.cli.validate.common import MOST_IN_FLIGHT, Common, common_options, run

__all__ = ["command"]

MOST_REQUESTS = 1_000_000
MOST_TOKENS = 10_000_000


@click.command("bench")
@common_options
@click.option("--input-tokens", type=click.IntRange(1, MOST_TOKENS), default=128, show_default=True)
@click.option(
    "--output-tokens", type=click.IntRange(1, MOST_TOKENS), default=128, show_default=True
)
@click.option("--concurrency", type=click.IntRange(1, MOST_IN_FLIGHT), default=4, show_default=True)
@click.option("--requests", type=click.IntRange(1, MOST_REQUESTS), default=20, show_default=True)
@click.option("--seed", type=click.IntRange(0), help="Of the random prompts; unset: a fresh one.")
@click.option("--npus", type=click.IntRange(1), help="NPUs that serve, for the figure per NPU.")
def command(common: Common, seed: int | None, **values: Any) -> None:
    """Throughput and latency in a closed loop, as `vllm bench serve` defines them."""
    from ascendllm.checks.bench.run import BENCH, BenchOptions, check_bench

    chosen = secrets.randbelow(2**32) if seed is None else seed
    options = BenchOptions(common.endpoint, seed=chosen, **values)
    run(BENCH, partial(check_bench, options), common)
