"""`ascendllm validate eval`."""

from __future__ import annotations

from functools import partial
from typing import Literal

import click

from ascendllm.cli.validate.common import MOST_IN_FLIGHT, Common, common_options, kind_option, run
from ascendllm.exceptions import SpecError

__all__ = ["command"]

KEYS = ("shots", "filter", "metric", "baseline", "tolerance", "limit", "data")


@click.command("eval")
@common_options
@kind_option
@click.option(
    "--task",
    "tasks",
    metavar="TASK[,KEY=VALUE…]",
    required=True,
    multiple=True,
    help="A task of lm-eval, as gsm8k,shots=5,filter=strict-match,metric=exact_match,"
    "baseline=92.7,tolerance=1.0,limit=100,data=FOLDER; may be given again.",
)
@click.option("--shots", help="For one --task: solved examples; unset: the task's own number.")
@click.option("--filter", help="For one --task: which of its filters is judged.")
@click.option("--metric", help="For one --task: which of its metrics is judged.")
@click.option("--baseline", metavar="PERCENT", help="For one --task: what it is held against.")
@click.option("--tolerance", metavar="POINTS", help="For one --task: points below that pass [1.0].")
@click.option("--limit", help="For one --task: the first so many questions only.")
@click.option("--data", metavar="FOLDER", help="For one --task: its data sets, by hub name.")
@click.option(
    "--concurrency", type=click.IntRange(1, MOST_IN_FLIGHT), default=16, show_default=True
)
def command(
    common: Common,
    kind: Literal["base", "instruct"],
    tasks: tuple[str, ...],
    concurrency: int,
    **alone: str | None,
) -> None:
    """Tasks of lm-eval, run by lm-eval, against baselines."""
    from ascendllm.checks.evals.run import EVALS, EvalsOptions, check_evals
    from ascendllm.checks.evals.task import parse_task, require_distinct

    given = "".join(f",{key}={alone[key]}" for key in KEYS if alone[key] is not None)
    if given and len(tasks) > 1:
        raise click.UsageError(
            f"{given[1:]}: with several --task give it inside one, as --task '{tasks[0]}{given}'."
        )
    try:
        parsed = tuple(parse_task(text + given) for text in tasks)
        require_distinct(parsed)
    except SpecError as error:
        raise click.UsageError(error.message) from None
    options = EvalsOptions(common.endpoint, parsed, kind, concurrency)
    run(EVALS, partial(check_evals, options), common)
