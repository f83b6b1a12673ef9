"""`ascendllm validate smoke`."""

from __future__ import annotations

from functools import partial
from typing import Literal

import click

from ascendllm.cli.validate.common import Common, common_options, kind_option, run

__all__ = ["command"]


@click.command("smoke")
@common_options
@kind_option
def command(common: Common, kind: Literal["base", "instruct"]) -> None:
    """Health, version, served name, one answer, streaming, usage."""
    from ascendllm.checks.smoke.run import SMOKE, SmokeOptions, check_smoke

    run(SMOKE, partial(check_smoke, SmokeOptions(common.endpoint, kind)), common)
