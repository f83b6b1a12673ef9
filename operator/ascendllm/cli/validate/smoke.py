"""`ascendllm validate smoke`."""

from __future__ import annotations

from functools import partial
from typing import Literal

import click

from ascendllm.cli.validate.common import MOST_IN_FLIGHT, Common, common_options, kind_option, run
from ascendllm.exceptions import SpecError

__all__ = ["command"]

_SPEC_FIELD = "spec.validation.smoke.prompts"
"""The field behind `--prompts` in the operator's jobs, which alone write to a run's ConfigMap."""


@click.command("smoke")
@common_options
@kind_option
@click.option(
    "--prompts",
    metavar="JSON|@FILE",
    help='Your own prompts: [{"prompt" or "messages", "maxTokens", "expect": regex}, ...].',
)
@click.option(
    "--parameters/--no-parameters",
    default=True,
    show_default=True,
    help="Try the request parameters too: top_k, penalties, n, stop, beam search and so on.",
)
@click.option(
    "--language/--no-language",
    default=True,
    show_default=True,
    help="Expect English: a plain paragraph costs what it costs a trained model.",
)
@click.option(
    "--max-num-seqs",
    type=click.IntRange(1, MOST_IN_FLIGHT),
    help="How many requests the server computes at once; the burst is one more [17].",
)
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="NAME",
    help="A LoRA adapter that the server must list and answer for; may be given several times.",
)
def command(
    common: Common,
    kind: Literal["base", "instruct"],
    prompts: str | None,
    parameters: bool,
    language: bool,
    max_num_seqs: int | None,
    adapters: tuple[str, ...],
) -> None:
    """Health, names, shapes, refusals, counters, a burst, request parameters, own prompts."""
    from ascendllm.checks.smoke.prompts import read_prompts
    from ascendllm.checks.smoke.run import SMOKE, SmokeOptions, check_smoke
    from ascendllm.checks.smoke.table import Group

    try:
        cases = read_prompts(prompts) if prompts is not None else ()
    except SpecError as error:
        raise click.UsageError(error.message) from None
    wanted: dict[Group, bool] = {"language": language, "parameters": parameters}
    without = [group for group, asked in wanted.items() if not asked]
    options = SmokeOptions(
        common.endpoint,
        kind,
        prompts=cases,
        prompts_field="--prompts" if common.run_configmap is None else _SPEC_FIELD,
        without=without,
        max_num_seqs=max_num_seqs,
        adapters=adapters,
    )
    run(SMOKE, partial(check_smoke, options), common)
