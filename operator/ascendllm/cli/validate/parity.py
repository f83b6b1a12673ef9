"""`ascendllm validate parity`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import partial

import click

from ascendllm.cli.validate.common import Common, common_options, run
from ascendllm.cli.validate.data_options import data_options
from ascendllm.exceptions import SpecError

__all__ = ["command"]


def bound(ctx: click.Context, param: click.Parameter, value: str | None) -> Decimal | None:
    """A decimal number that is not negative, kept as it was written."""
    if value is None:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    most = 100 if param.metavar == "PERCENT" else 1000
    if not (number.is_finite() and 0 <= number <= most):
        raise click.BadParameter(f"{value!r} is not a number from 0 to {most}.")
    return number


@click.command("parity")
@common_options
@click.option(
    "--reference", required=True, help="What `ascendllm parity record` wrote: a file, or s3://…"
)
@data_options
@click.option(
    "--min-rank-agreement",
    metavar="PERCENT",
    callback=bound,
    help="Of the reference's tokens, how many must be the likeliest here too.",
)
@click.option(
    "--max-perplexity-difference",
    metavar="PERCENT",
    callback=bound,
    help="Of the reference's perplexity.",
)
@click.option(
    "--max-mean-logprob-difference",
    metavar="NAT",
    callback=bound,
    help="The mean difference of the tokens' log-probabilities.",
)
@click.option(
    "--max-p99-logprob-difference",
    metavar="NAT",
    callback=bound,
    help="Its 99th percentile.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="More at once would be summed in other batches than the reference's were.",
)
def command(
    common: Common,
    reference: str,
    data_endpoint: str | None,
    data_region: str | None,
    concurrency: int,
    **bounds: Decimal | None,
) -> None:
    """A server against a recorded reference, token by token.

    With no threshold given those of the reference's control run count; without one either, no
    verdict is reached (Inconclusive, exit code 2) and the figures are shown.
    """
    from ascendllm.checks.data_source import parse_source
    from ascendllm.checks.parity.run import PARITY, ParityOptions, check_parity

    try:
        source = parse_source(reference, data_endpoint, data_region, option="--reference")
    except SpecError as error:
        raise click.UsageError(error.message) from None
    thresholds = {_camel(name): value for name, value in bounds.items() if value is not None}
    options = ParityOptions(common.endpoint, source, thresholds, concurrency)
    run(PARITY, partial(check_parity, options), common)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
