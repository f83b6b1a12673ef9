"""A group of commands of which each is imported only when it is called.

The images hold different sets of packages (the validator has no kopf, no kubernetes), so nothing
that only one command needs may be imported for another.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

__all__ = ["LazyGroup"]


class LazyGroup(click.Group):
    """Command `x` is `command` in the module `x` of a package.

    Args:
        package: The package.
        commands_help: Every command with its help line.
    """

    def __init__(
        self, *args: Any, package: str, commands_help: Mapping[str, str], **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self._package = package
        self._help = commands_help

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names."""
        return sorted(self._help)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in self._help:
            return None
        command: click.Command = import_module(f"{self._package}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help lines, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(self._help.items()))
