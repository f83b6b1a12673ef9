"""What the commands that look at a cluster have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from ascendllm.checks.result import one_line
from ascendllm.exceptions import AscendError
from ascendllm.kube.client import ApiServer, connect

__all__ = ["cluster_options", "with_cluster"]

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options `--kubeconfig` and `-n`."""
    function = click.option(
        "--kubeconfig",
        type=click.Path(exists=True, dir_okay=False),
        help="Default: KUBECONFIG, or the user's own.",
    )(function)
    return click.option(
        "-n", "--namespace", default=_default_namespace, help="Default: the pod's own, or default."
    )(function)


def with_cluster(kubeconfig: str | None, work: Callable[[ApiServer], Awaitable[None]]) -> None:
    """Connect, work, and turn our errors into one line on stderr."""

    async def run() -> None:
        async with await connect(kubeconfig) as cluster:
            await work(cluster)

    try:
        asyncio.run(run())
    except AscendError as error:
        raise click.ClickException(one_line(str(error))) from error
    except KeyboardInterrupt:
        raise click.Abort from None


def _default_namespace() -> str:
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except OSError:
        return "default"
