"""`ascendllm validate mmlu`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from ascendllm.checks.mmlu.protocols import DEFAULT_BY_KIND, PROTOCOLS
from ascendllm.checks.sinks import CheckpointFile, Sink, warn
from ascendllm.cli.validate.common import (
    FILE,
    MOST_IN_FLIGHT,
    Common,
    common_options,
    kind_option,
    percent_points,
    run,
)
from ascendllm.cli.validate.data_options import data_options
from ascendllm.exceptions import SpecError

__all__ = ["command"]


@click.command("mmlu")
@common_options
@kind_option
@click.option(
    "--data",
    required=True,
    metavar="PATH|s3://…",
    help="MMLU's csv files, a folder or archive of {dev,test}/<subject>_{dev,test}.csv; or the "
    "folder of cais/mmlu's parquet files.",
)
@data_options
@click.option("--data-hash", metavar="sha256:…", help="The datasetHash that the data must have.")
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    help="Unset: lmEval for base models, metaInstruct for instruct models.",
)
@click.option("--shots", type=click.IntRange(0, 100), default=5, show_default=True)
@click.option(
    "--subjects",
    metavar="A,B",
    default="",
    help="Only these; without custom data that can't be judged.",
)
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
    "--baseline-protocol",
    type=click.Choice(PROTOCOLS),
    help="Whose figure the baseline is; unset: the run's own protocol.",
)
@click.option(
    "--baseline-shots",
    type=click.IntRange(0, 100),
    help="With how many shots; unset: as many as the run's.",
)
@click.option(
    "--across-protocols",
    is_flag=True,
    help="Judge though the baseline is of another protocol or of other shots.",
)
@click.option(
    "--tolerance",
    metavar="POINTS",
    callback=percent_points,
    default="1.0",
    show_default=True,
    help="How many percent points below the baseline, or the reference, still pass.",
)
@click.option(
    "--reference",
    metavar="FILE|s3://…",
    help="The answers of an earlier run (answers.json, or what --output wrote): compared question "
    "by question, so that a part of the questions is enough.",
)
@click.option(
    "--reference-model",
    metavar="NAME",
    help="The name that the reference's model was served by, where it is another.",
)
@click.option(
    "--concurrency", type=click.IntRange(1, MOST_IN_FLIGHT), default=16, show_default=True
)
@click.option("--checkpoint", type=FILE, help="Go on from this file, and keep it up to date.")
def command(common: Common, **values: Any) -> None:
    """MMLU accuracy, one request a question.

    Base models are asked by the letters' log-probabilities (lmEval: as lm-eval asks; original: as
    the paper's authors did), instruct models for the letter that they write (metaInstruct).
    """
    from ascendllm.checks.mmlu.run import MMLU, MmluOptions, check_mmlu
    from ascendllm.checks.mmlu.verdict import Baseline

    checkpoint: Path | None = values.pop("checkpoint")
    if checkpoint and common.run_configmap:
        raise click.UsageError("--checkpoint and --run-configmap exclude each other: give one.")
    kind = values.pop("kind")
    values["protocol"] = values["protocol"] or DEFAULT_BY_KIND[kind]
    if (values["protocol"] == "metaInstruct") != (kind == "instruct"):
        warn(f"--kind {kind} is asked by {values['protocol']}, a protocol for the other kind")
    values["subjects"] = tuple(name.strip() for name in values["subjects"].split(",") if name)
    values |= _sources(values)
    value, average = values.pop("baseline"), values.pop("baseline_average")
    whose, shots = values.pop("baseline_protocol"), values.pop("baseline_shots")
    across = values.pop("across_protocols")
    if value is not None:
        values["baseline"] = Baseline(value, average, whose, shots, across)
    elif whose or shots is not None or across:
        raise click.UsageError("--baseline-protocol, --baseline-shots: they need --baseline.")
    options = MmluOptions(common.endpoint, **values)
    sinks: list[Sink] = [CheckpointFile(checkpoint)] if checkpoint else []
    run(MMLU, partial(check_mmlu, options), common, sinks)


def _sources(values: dict[str, Any]) -> dict[str, Any]:
    """Where data and reference lie; takes the options beside them out of the values."""
    from ascendllm.checks.data_source import parse_source

    endpoint, region = values.pop("data_endpoint"), values.pop("data_region")
    if values["reference"] is None and values["reference_model"] is not None:
        raise click.UsageError("--reference-model belongs to --reference: give both, or neither.")
    given = {name: values[name] for name in ("data", "reference") if values[name] is not None}
    remote = {name for name, text in given.items() if text.startswith("s3://")}
    if not remote and (endpoint is not None or region is not None):
        raise click.UsageError("--data-endpoint, --data-region: they belong to s3:// addresses.")
    try:
        return {
            name: parse_source(text, endpoint, region, option=f"--{name}")
            if name in remote
            else parse_source(text, option=f"--{name}")
            for name, text in given.items()
        }
    except SpecError as error:
        raise click.UsageError(error.message) from None
