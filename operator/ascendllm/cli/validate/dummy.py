"""`ascendllm validate dummy`."""

from __future__ import annotations

from functools import partial
from typing import Literal

import click

from ascendllm.cli.validate.common import Common, common_options, kind_option, run

__all__ = ["command"]


@click.command("dummy")
@common_options
@kind_option
def command(common: Common, kind: Literal["base", "instruct"]) -> None:
    """A server with random weights (--load-format dummy) answers in the right shapes."""
    from ascendllm.checks.smoke.run import DUMMY, SmokeOptions, check_smoke

    options = SmokeOptions(common.endpoint, kind, without=("language", "parameters"))
    run(DUMMY, partial(check_smoke, options), common)
