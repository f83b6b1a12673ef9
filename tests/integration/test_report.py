"""`ascendllm report` against a real API server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result

from ascendllm.cli.report import command
from cluster.control_plane import ControlPlane
from integration.world import World, resource


async def report(world: World, kubeconfig: Path, *options: str) -> Result:
    arguments = ["llama", f"--kubeconfig={kubeconfig}", f"--namespace={world.namespace}", *options]
    # A thread of its own: the command brings its own event loop.
    return await asyncio.to_thread(CliRunner().invoke, command, arguments)


async def test_the_proof_in_every_form(world: World, control_plane: ControlPlane) -> None:
    await world.apply(resource())
    await world.prove()
    served = (await world.status())["servedRevision"]

    markdown = await report(world, control_plane.kubeconfig)
    assert markdown.exit_code == 0, markdown.output
    assert "Verdict: **Passed**" in markdown.output
    assert f"| Served revision | {served} |" in markdown.output
    assert "vllm serve /opt/atomgit/llama" in markdown.output, "the recorded command"
    assert "| Macro average | 66.30 % | 66.70 % | -0.40 |" in markdown.output

    page = await report(world, control_plane.kubeconfig, "-o", "html")
    assert page.exit_code == 0, page.output
    assert page.output.startswith("<!DOCTYPE html>\n")
    assert '<td>Macro average</td><td class="figure">66.30 %</td>' in page.output

    status = await report(world, control_plane.kubeconfig, "-o", "json")
    assert json.loads(status.output)["servedRevision"] == served


async def test_who_may_only_see_the_resource_gets_what_its_status_says(
    world: World, control_plane: ControlPlane
) -> None:
    await world.apply(resource())
    await world.prove()
    world.kubectl("create", "serviceaccount", "viewer")
    world.kubectl("create", "role", "viewer", "--verb=get", "--resource=ascendllms.ascendllm.io")
    world.kubectl(
        "create",
        "rolebinding",
        "viewer",
        "--role=viewer",
        f"--serviceaccount={world.namespace}:viewer",
    )
    seen = await report(world, control_plane.kubeconfig_for(world.namespace, "viewer"))
    assert seen.exit_code == 0, seen.output
    assert "Verdict: **Passed**" in seen.output
    assert "How it was started" not in seen.output


async def test_there_is_no_such_resource(world: World, control_plane: ControlPlane) -> None:
    missing = await report(world, control_plane.kubeconfig)
    assert missing.exit_code == 1
    assert f"there is no AscendLLM llama in namespace {world.namespace}" in missing.output
