"""`ascendllm status`: resources and the state of their proof."""

from __future__ import annotations

import asyncio
import sys

import click

from ascendllm.api.crd import KIND
from ascendllm.cli.cluster import cluster_options, with_cluster
from ascendllm.desired import names
from ascendllm.exceptions import ClusterError, SpecError
from ascendllm.kube.client import ApiServer
from ascendllm.report.conditions import ready_condition
from ascendllm.report.overview import detail, overview, unused_caches

__all__ = ["command"]

_LOOK_SECONDS = 1.0
_CLEAR = "\x1b[H\x1b[J"


@click.command("status")
@click.argument("name", required=False)
@click.option("-w", "--watch", is_flag=True, help="Show each change until Ready is True or False.")
@cluster_options
def command(name: str | None, watch: bool, kubeconfig: str | None, namespace: str) -> None:
    """Show the namespace's resources, or NAME with its conditions and checks."""
    if watch and name is None:
        raise click.UsageError("--watch takes a NAME: it ends when that resource is settled")

    async def work(cluster: ApiServer) -> None:
        if name is None:
            click.echo(overview(await cluster.list(KIND, namespace)))
            if left := await _unused(cluster, namespace):
                click.echo(f"\n{left}")
        elif watch:
            await _watch(cluster, namespace, name)
        else:
            click.echo((await _look(cluster, namespace, name))[0])

    with_cluster(kubeconfig, work)


async def _unused(cluster: ApiServer, namespace: str) -> str:
    """The kept caches that no resource uses; nothing where that may not be looked at."""
    try:
        claims = await cluster.list("PersistentVolumeClaim", namespace, names.CACHE)
        records = await cluster.list("ConfigMap", namespace, names.CACHE, metadata_only=True)
    except ClusterError as error:
        if error.status != 403:
            raise
        return ""
    return unused_caches(claims, records)


async def _watch(cluster: ApiServer, namespace: str, name: str) -> None:
    """On a terminal the view is drawn anew; elsewhere each change is printed."""
    shown = ""
    while True:
        text, settled = await _look(cluster, namespace, name)
        if text != shown:
            click.echo(_CLEAR + text if sys.stdout.isatty() else text + "\n")
            shown = text
        if settled:
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def _look(cluster: ApiServer, namespace: str, name: str) -> tuple[str, bool]:
    resource = await cluster.get(KIND, namespace, name)
    if resource is None:
        raise SpecError("NotFound", f"there is no AscendLLM {name} in namespace {namespace}")
    status = resource.get("status") or {}
    ready = ready_condition(status)
    seen = status.get("observedGeneration") == resource["metadata"]["generation"]
    return detail(resource), seen and ready.get("status") in ("True", "False")
