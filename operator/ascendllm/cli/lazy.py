"""A click group that imports a command only when it is called.

The images hold different sets of packages (the validator has no kopf, no kubernetes), so a command
must not import what only another command needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["LazyGroup"]


class LazyGroup(click.Group):
    """A group in which command `x` is the attribute `command` of the module `x` of a package.

    A built-in command takes precedence over an entry point of the same name. Installed
    distributions are searched only for the help and for a name that is not built in.

    Args:
        package: The package.
        commands_help: Every built-in command with its help line.
        entry_point_group: The group in which other distributions register commands, None for a
            group without such commands. Their help lines are their distributions' summaries.
        optional: Commands that another distribution may add, with the error message for each where
            it is not installed.
    """

    def __init__(
        self,
        *args: Any,
        package: str,
        commands_help: Mapping[str, str],
        entry_point_group: str | None = None,
        optional: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self._package = package
        self._help = commands_help
        self._entry_point_group = entry_point_group
        self._optional = optional or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names."""
        return sorted(self._all_help())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and return it.

        Raises:
            click.UsageError: The command belongs to a distribution that is not installed.
        """
        command: click.Command
        if cmd_name in self._help:
            command = import_module(f"{self._package}.{cmd_name}").command
            return command
        if (entry_point := self._entry_points().get(cmd_name)) is not None:
            command = entry_point.load()
            return command
        if cmd_name in self._optional:
            raise click.UsageError(f"{cmd_name}: {self._optional[cmd_name]}", ctx)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help lines without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(self._all_help().items()))

    def _all_help(self) -> dict[str, str]:
        added = {
            name: (entry_point.dist and entry_point.dist.metadata["Summary"]) or ""
            for name, entry_point in self._entry_points().items()
        }
        return {**added, **self._help}

    def _entry_points(self) -> Mapping[str, EntryPoint]:
        if self._entry_point_group is None:
            return {}
        # Imported here because it is slow (about 30 ms) and built-in commands do not need it.
        from importlib.metadata import entry_points

        return {found.name: found for found in entry_points(group=self._entry_point_group)}
