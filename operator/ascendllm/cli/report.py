"""`ascendllm report`: the proof of one resource as a document."""

from __future__ import annotations

import json

import click

from ascendllm.api.crd import KIND
from ascendllm.cli.cluster import cluster_options, with_cluster
from ascendllm.exceptions import SpecError
from ascendllm.kube.client import ApiServer
from ascendllm.report.document import markdown

__all__ = ["command"]


@click.command("report")
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["markdown", "json"]),
    default="markdown",
    show_default=True,
    help="json: the status as it is.",
)
@cluster_options
def command(name: str, output: str, kubeconfig: str | None, namespace: str) -> None:
    """Print the proof of NAME."""

    async def work(cluster: ApiServer) -> None:
        resource = await cluster.get(KIND, namespace, name)
        if resource is None:
            raise SpecError("NotFound", f"there is no AscendLLM {name} in namespace {namespace}")
        status = resource.get("status") or {}
        if output == "json":
            click.echo(json.dumps(status, indent=2, ensure_ascii=False))
            return
        run = ((status.get("validation") or {}).get("mmlu") or {}).get("report")
        stored = await cluster.get("ConfigMap", namespace, run) if run else None
        subjects = ((stored or {}).get("data") or {}).get("subjects.txt")
        click.echo(markdown(resource, subjects), nl=False)

    with_cluster(kubeconfig, work)
