"""`ascendllm simulate`, also `ascendllm-simulator`: takes the options of `vllm serve`."""

from __future__ import annotations

import asyncio
import os
import sys

import click

from ascendllm.exceptions import SettingsError, UsageError
from ascendllm_simulator.behaviour import ENVIRONMENT, FILE, MODES
from ascendllm_simulator.config import LoadError, read_config
from ascendllm_simulator.process import serve

__all__ = ["command"]

_SERVE_USAGE = "usage: vllm serve [model_tag] [options]"
_TOP_USAGE = "usage: vllm [-h] [-v] {chat,complete,serve,launch,bench,collect-env,run-batch} ..."


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, args: tuple[str, ...]) -> None:
    """Serve as vLLM-Ascend 0.18 does: MODEL and the options of `vllm serve`, with no model."""
    if "-h" in args or "--help" in args:
        click.echo(_help(context.command_path))
        return
    try:
        config = read_config(args, os.environ)
        code = asyncio.run(serve(config))
    except UsageError as error:
        _refuse(str(error))
    except SettingsError as error:
        click.echo(f"{context.command_path}: {error}", err=True)
        sys.exit(2)
    except LoadError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    sys.exit(code)


def _refuse(message: str) -> None:
    """Exit as vLLM's parser does: its outer parser reports the options that no parser knows."""
    outer = message.startswith("unrecognized arguments:")
    click.echo(_TOP_USAGE if outer else _SERVE_USAGE, err=True)
    click.echo(f"vllm{'' if outer else ' serve'}: error: {message}", err=True)
    sys.exit(2)


def _help(program: str) -> str:
    modes = "\n".join(f"  {name:12} {mode.text}" for name, mode in MODES.items())
    return (
        f"Usage: {program} [MODEL] [OPTIONS OF vllm serve]\n\n"
        "A stand-in for vLLM-Ascend 0.18 on machines without NPUs. How it behaves is read from\n"
        f"{FILE} in the model's folder, overridden key by key by the JSON object in\n"
        f"{ENVIRONMENT}: loadSeconds, captureSeconds, ttftMs, itlMs, accuracy, answers,\n"
        "chatTemplate, kvCacheTokens, failure. Values of failure.mode:\n\n"
        f"{modes}"
    )
