"""`ascendllm report`: the proof of one resource as a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ascendllm.api.crd import KIND
from ascendllm.checks.result import readable_json
from ascendllm.cli.cluster import cluster_options, with_cluster
from ascendllm.desired.names import child
from ascendllm.exceptions import ClusterError, SpecError
from ascendllm.kube.client import ApiServer
from ascendllm.report.document import document
from ascendllm.report.html import html
from ascendllm.report.markdown import markdown

__all__ = ["command"]

_FORMS = {"markdown": markdown, "html": html}


@click.command("report")
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Choice([*_FORMS, "json"]),
    default="markdown",
    show_default=True,
    help="html: one page that needs nothing else; json: the status as it is.",
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
            click.echo(readable_json(status))
            return
        run = ((status.get("validation") or {}).get("mmlu") or {}).get("report")
        stored = await _look(cluster, "ConfigMap", namespace, run) if run else {}
        served = status.get("servedRevision")
        record = (
            await _look(cluster, "ControllerRevision", namespace, child(name, served))
            if served
            else {}
        )
        proof = document(
            resource,
            subjects=(stored.get("data") or {}).get("subjects.txt"),
            template=(record.get("data") or {}).get("template"),
        )
        click.echo(_FORMS[output](proof), nl=False)

    with_cluster(kubeconfig, work)


async def _look(cluster: ApiServer, kind: str, namespace: str, name: str) -> Mapping[str, Any]:
    """An object that adds to the document; nothing where it is gone or the user may not see it."""
    try:
        return await cluster.get(kind, namespace, name) or {}
    except ClusterError as error:
        if error.status == 403:
            return {}
        raise
