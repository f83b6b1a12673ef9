"""`ascendllm download`: a model from a hub or a store into a folder."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from ascendllm.checks.run_configmap import in_cluster
from ascendllm.download.run import download
from ascendllm.download.source import parse_source
from ascendllm.download.telling import CacheConfigMap, Listener, OnStderr
from ascendllm.exceptions import DownloadError, SpecError

__all__ = ["command"]

_FAILED, _FAILED_FOR_NOW = 1, 2


@click.command("download")
@click.argument("source")
@click.option(
    "--to",
    "root",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Its own folder; what came whole is in TO/model.",
)
@click.option("--revision", help="Of a hub: branch, tag or commit. [main, of ModelScope master]")
@click.option("--endpoint", help="The server's address, such as a mirror's. [the public one]")
@click.option("--region", help="Of S3: what requests are signed for.")
@click.option("--adapter", is_flag=True, help="It is a LoRA adapter, not a model.")
@click.option("--no-weights", is_flag=True, help="Configuration and tokenizer alone.")
@click.option("--configmap", help="In a pod: where progress and result are written.")
@click.option("--attempt", type=int, default=1, hidden=True)
def command(
    source: str,
    root: Path,
    revision: str | None,
    endpoint: str | None,
    region: str | None,
    adapter: bool,
    no_weights: bool,
    configmap: str | None,
    attempt: int,
) -> None:
    """Bring the model, or the adapter, SOURCE into a folder: whole and verified, or not at all.

    SOURCE is hf://owner/name, ms://owner/name or s3://bucket/prefix. What is cut goes on where it
    was. Tokens and keys come from the environment: HF_TOKEN, MODELSCOPE_API_TOKEN,
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN.

    Prints the result as JSON. Exit codes: 0 it is there, 1 it failed, 2 it failed and may succeed
    if tried again.
    """
    # A container's first process ignores SIGTERM unless it says otherwise. What came stays.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    try:
        listener: Listener = (
            OnStderr() if configmap is None else CacheConfigMap(configmap, in_cluster(), attempt)
        )
        wanted = parse_source(
            source,
            revision=revision,
            endpoint=endpoint,
            region=region,
            weights=not no_weights,
            adapter=adapter,
        )
    except SpecError as error:
        raise click.UsageError(error.message) from None
    try:
        came = download(wanted, root, os.environ, listener.tell, listener.interval)
        result: dict[str, Any] = {"result": "Complete", **came}
        code = 0
    except (DownloadError, SpecError) as error:
        again = isinstance(error, DownloadError) and error.again
        code = _FAILED_FOR_NOW if again else _FAILED
        result = {
            "result": "Failed",
            "reason": error.reason,
            "message": error.message[:1000],
            "again": again,
        }
    listener.end(result)
    click.echo(json.dumps(result, indent=2))
    sys.stdout.flush()
    # Fetches that run still are left to themselves: what they brought is on the disk.
    os._exit(code)
