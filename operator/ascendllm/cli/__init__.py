"""The command line: one module per command, imported only when its command is called.

Other distributions add commands through the entry-point group `ascendllm.commands`.
"""

from __future__ import annotations

import click

from ascendllm import __version__
from ascendllm.cli.lazy import LazyGroup

__all__ = ["cli"]

COMMANDS = {
    "download": "Bring a model from a hub or a store into a folder.",
    "operator": "Run the controller.",
    "parity": "Record a reference for `validate parity`.",
    "render": "Print the Kubernetes objects that a resource becomes, without a cluster.",
    "report": "Print the proof of one resource as a document.",
    "status": "Show resources and the state of their proof.",
    "validate": "Run one check against an OpenAI-compatible server.",
}
"""Every command with its help line; command `x` is `command` in `ascendllm.cli.x`."""

OPTIONAL = {
    "simulate": (
        "the simulator is not installed: install the distribution ascendllm-simulator, "
        "for example with `pip install ./images/simulator` in a checkout of the repository"
    ),
}
"""Commands of other distributions, with the error message for each where it is not installed."""


@click.group(
    cls=LazyGroup,
    package=__name__,
    commands_help=COMMANDS,
    entry_point_group="ascendllm.commands",
    optional=OPTIONAL,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="ascendllm")
def cli() -> None:
    """Serve LLMs on Ascend NPUs, and prove them."""
