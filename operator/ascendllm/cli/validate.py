"""`ascendllm validate smoke|mmlu|bench`: one check against any OpenAI-compatible server.

The result goes to stdout (JSON, or a table for people), progress to stderr. Exit codes: 0 passed,
1 failed, 2 no verdict (or a wrong command line), 143 after SIGTERM with the checkpoint written.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import click

from ascendllm.checks.endpoint import Endpoint, parse_endpoint
from ascendllm.checks.progress import StderrProgress
from ascendllm.checks.result import CheckResult
from ascendllm.checks.runner import Body, CheckName, run_check
from ascendllm.checks.sinks import CheckpointFile, ReportFile, Sink
from ascendllm.exceptions import SpecError

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., Any])
MOST_IN_FLIGHT = 4096
MOST_REQUESTS = 1_000_000
MOST_TOKENS = 10_000_000


def percent_points(ctx: click.Context, param: click.Parameter, value: str | None) -> Decimal | None:
    """A decimal number from 0 to 100, kept as it was written."""
    if value is None:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and 0 <= number <= 100):
        raise click.BadParameter(f"{value!r} is not a number from 0 to 100 (percent points).")
    return number


@dataclass(frozen=True, slots=True)
class Common:
    """The options that every check has."""

    endpoint: Endpoint
    timeout: float
    run_configmap: str | None
    output: Path | None
    format: Literal["json", "table"]


FILE = click.Path(dir_okay=False, path_type=Path)
COMMON = (
    click.option("--base-url", required=True, help="The server, with or without /v1."),
    click.option("--model", required=True, help="The served name, to the letter."),
    click.option("--api-key-file", type=FILE, help="A file that holds the server's API key."),
    click.option(
        "--timeout",
        type=click.FloatRange(1, 7 * 86400),
        default=21600,
        show_default=True,
        help="Seconds for the whole check.",
    ),
    click.option("--output", type=FILE, help="Write the full report there, JSON."),
    click.option(
        "--run-configmap",
        metavar="NAME",
        help="In a pod: checkpoint, progress and result go to this ConfigMap of its namespace.",
    ),
    click.option(
        "-o",
        "form",
        type=click.Choice(["json", "table"]),
        default="json",
        show_default=True,
        help="What stdout gets.",
    ),
)


def common_options(function: F) -> F:
    """Give a command the options that every check has; they arrive as `common`."""

    def with_common(**values: Any) -> None:
        try:
            endpoint = parse_endpoint(
                values.pop("base_url"), values.pop("model"), values.pop("api_key_file")
            )
        except SpecError as error:
            raise click.UsageError(error.message) from None
        common = Common(
            endpoint,
            values.pop("timeout"),
            values.pop("run_configmap"),
            values.pop("output"),
            values.pop("form"),
        )
        function(common=common, **values)

    with_common.__name__ = function.__name__
    with_common.__doc__ = function.__doc__
    decorated: Any = with_common
    for option in reversed(COMMON):
        decorated = option(decorated)
    decorated.__click_params__ = getattr(function, "__click_params__", []) + (
        decorated.__click_params__
    )
    return cast(F, decorated)


@click.group()
def command() -> None:
    """Run one check against an OpenAI-compatible server."""


def kind_option(function: F) -> F:
    """`--kind`, for the checks whose API depends on it."""
    return click.option(
        "--kind",
        type=click.Choice(["base", "instruct"]),
        default="base",
        show_default=True,
        help="Which API is asked: base models complete, instruct models chat.",
    )(function)


@command.command()
@common_options
@kind_option
def smoke(common: Common, kind: Literal["base", "instruct"]) -> None:
    """Health, version, served name, one answer, streaming, usage."""
    from ascendllm.checks.smoke.run import SMOKE, SmokeOptions, check_smoke

    _run(SMOKE, partial(check_smoke, SmokeOptions(common.endpoint, kind)), common)


@command.command()
@common_options
@kind_option
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="MMLU's csv files: a folder or a tar archive with {dev,test}/<subject>_{dev,test}.csv.",
)
@click.option("--protocol", type=click.Choice(["lmEval"]), default="lmEval", show_default=True)
@click.option("--shots", type=click.IntRange(0, 100), default=5, show_default=True)
@click.option("--custom-data", is_flag=True, help="Other counts than MMLU's own are wanted.")
@click.option(
    "--baseline",
    metavar="PERCENT",
    callback=percent_points,
    help="What the accuracy is held against; unset: nothing.",
)
@click.option(
    "--baseline-average", type=click.Choice(["macro", "micro"]), default="macro", show_default=True
)
@click.option(
    "--tolerance",
    metavar="POINTS",
    callback=percent_points,
    default="1.0",
    show_default=True,
    help="How many percent points below the baseline still pass.",
)
@click.option(
    "--concurrency", type=click.IntRange(1, MOST_IN_FLIGHT), default=16, show_default=True
)
@click.option("--checkpoint", type=FILE, help="Go on from this file, and keep it up to date.")
def mmlu(common: Common, kind: str, checkpoint: Path | None, **values: Any) -> None:
    """MMLU by the letters' log-probabilities, as lm-eval asks it, one request a question."""
    from ascendllm.checks.mmlu.run import MMLU, MmluOptions, check_mmlu

    if kind == "instruct":
        raise click.UsageError(
            "--kind instruct: this version asks base models only, by the letters' "
            "log-probabilities; run smoke and bench, or give --kind base if the model is one."
        )
    if checkpoint and common.run_configmap:
        raise click.UsageError("--checkpoint and --run-configmap exclude each other: give one.")
    options = MmluOptions(common.endpoint, **values)
    sinks: list[Sink] = [CheckpointFile(checkpoint)] if checkpoint else []
    _run(MMLU, partial(check_mmlu, options), common, sinks)


@command.command()
@common_options
@click.option("--input-tokens", type=click.IntRange(1, MOST_TOKENS), default=128, show_default=True)
@click.option(
    "--output-tokens", type=click.IntRange(1, MOST_TOKENS), default=128, show_default=True
)
@click.option("--concurrency", type=click.IntRange(1, MOST_IN_FLIGHT), default=4, show_default=True)
@click.option("--requests", type=click.IntRange(1, MOST_REQUESTS), default=20, show_default=True)
@click.option("--seed", type=click.IntRange(0), help="Of the random prompts; unset: a fresh one.")
@click.option("--npus", type=click.IntRange(1), help="NPUs that serve, for the figure per NPU.")
def bench(common: Common, seed: int | None, **values: Any) -> None:
    """Throughput and latency in a closed loop, as `vllm bench serve` defines them."""
    from ascendllm.checks.bench.run import BENCH, BenchOptions, check_bench

    chosen = secrets.randbelow(2**32) if seed is None else seed
    options = BenchOptions(common.endpoint, seed=chosen, **values)
    _run(BENCH, partial(check_bench, options), common)


def _run(check: CheckName, body: Body, common: Common, sinks: list[Sink] | None = None) -> None:
    """Run the check, print its result, and exit."""
    places = [StderrProgress(check.name), *(sinks or [])]
    if common.output:
        places.append(ReportFile(common.output))
    if common.run_configmap:
        places.append(_run_configmap(common.run_configmap))
    ending = asyncio.run(run_check(check, body, places, common.timeout))
    if ending.result is not None:
        print(_table(ending.result) if common.format == "table" else _json(ending.result))
    sys.exit(ending.exit_code)


def _run_configmap(name: str) -> Sink:
    from ascendllm.checks.run_configmap import RunConfigMap, in_cluster

    try:
        return RunConfigMap(name, in_cluster())
    except SpecError as error:
        raise click.UsageError(error.message) from None


def _json(result: CheckResult) -> str:
    return json.dumps(result.to_json(), ensure_ascii=False, allow_nan=False, indent=2)


def _table(result: CheckResult) -> str:
    """Key and value by line; lists of objects as rows below."""
    data = result.to_json()
    plain = {k: v for k, v in data.items() if not isinstance(v, dict | list)}
    width = max(len(key) for key in data)
    lines = [f"{key:<{width}}  {value}" for key, value in plain.items()]
    for key, value in data.items():
        if isinstance(value, list):
            lines += ["", key, *(f"  {_row(item)}" for item in value)]
        elif isinstance(value, dict):
            lines += ["", key, *(f"  {name}  {_row(item)}" for name, item in value.items())]
    return "\n".join(lines)


def _row(item: object) -> str:
    if isinstance(item, dict):
        return "  ".join(f"{key}={value}" for key, value in item.items())
    return str(item)
