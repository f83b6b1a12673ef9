"""The command line: one module a command, each imported only when its command is called.

The images hold different sets of packages (the validator has no kopf, no kubernetes), so nothing
that only one command needs may be imported for another.
"""

from __future__ import annotations

from importlib import import_module

import click

from ascendllm import __version__

__all__ = ["cli"]

COMMANDS = {
    "operator": "Run the controller.",
    "render": "Print the Kubernetes objects that a resource becomes, without a cluster.",
    "report": "Print the proof of one resource as a document.",
    "simulate": "Serve as a stand-in for vLLM-Ascend, with chosen accuracy, timing and failures.",
    "status": "Show resources and the state of their proof.",
    "validate": "Run one check against an OpenAI-compatible server.",
}
"""Every command with its help line; command `x` is `command` in `ascendllm.cli.x`."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"ascendllm.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ascendllm")
def cli() -> None:
    """Serve LLMs on Ascend NPUs, and prove them."""
