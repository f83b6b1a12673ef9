"""`ascendllm validate mmlu`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from ascendllm.checks.sinks import CheckpointFile, Sink
from ascendllm.cli.validate.common import (
    FILE,
    MOST_IN_FLIGHT,
    Common,
    common_options,
    kind_option,
    percent_points,
    run,
)

__all__ = ["command"]


@click.command("mmlu")
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
def command(common: Common, kind: str, checkpoint: Path | None, **values: Any) -> None:
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
    run(MMLU, partial(check_mmlu, options), common, sinks)
