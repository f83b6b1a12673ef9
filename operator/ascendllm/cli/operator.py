"""`ascendllm operator`: the controller."""

from __future__ import annotations

import asyncio
import logging
import os

import click

from ascendllm.exceptions import SettingsError
from ascendllm.runtime.logs import configure_logs
from ascendllm.runtime.process import Options, run_operator
from ascendllm.settings import Settings

__all__ = ["command"]

logger = logging.getLogger(__name__)


@click.command("operator")
@click.option("--kubeconfig", type=click.Path(exists=True, dir_okay=False), help="Outside a pod.")
@click.option(
    "--namespace",
    envvar="POD_NAMESPACE",
    default="ascendllm-system",
    show_default=True,
    help="Where the Lease is kept.",
)
@click.option("--port", default=8080, show_default=True, help="Of /healthz, /readyz and /metrics.")
@click.option(
    "--resync",
    default=600.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="Seconds after which every resource is looked at again.",
)
@click.option(
    "--log-level",
    default="INFO",
    show_default=True,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]),
)
def command(
    kubeconfig: str | None, namespace: str, port: int, resync: float, log_level: str
) -> None:
    """Run the controller.

    Its settings come from the environment, where the Deployment puts the keys of ConfigMap
    ascendllm-operator as ASCENDLLM_<key>.
    """
    configure_logs(log_level)
    try:
        settings = Settings.from_environment(os.environ)
        for warning in settings.warnings():
            logger.warning(warning)
        asyncio.run(run_operator(settings, Options(kubeconfig, namespace, port, resync)))
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
