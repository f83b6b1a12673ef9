"""Records fixtures: what an operator of some revision leaves on a real API server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.control_plane import ControlPlane
from cluster.definitions import GATEWAY_API, KEDA, LEADER_WORKER_SET
from integration.admin import Admin
from integration.admin import admin as connect
from integration.operator_process import OperatorProcess
from takeover.fixtures import FOLDER, Fixture, share_templates
from takeover.namespace import RecordedNamespace
from takeover.restore import create_node
from takeover.scenarios import SCENARIOS, Scenario

__all__ = ["main"]

_REPOSITORY = Path(__file__).resolve().parents[2]
_RIGHTS = ("namespace.yaml", "service-account.yaml", "role.yaml", "lease-role.yaml")
_AT_ONCE = 6


def main(arguments: Sequence[str]) -> int:
    """Record the named scenarios, or all that have no fixture yet."""
    if not arguments:
        print("usage: python tests/takeover REVISION [SCENARIO ...]", file=sys.stderr)
        return 2
    revision, *only = arguments
    commit = _git("rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()
    folder = FOLDER / commit[:7]
    folder.mkdir(exist_ok=True)
    missing = [item for item in SCENARIOS if not (folder / f"{item.name}.yaml").exists()]
    wanted = [item for item in missing if not only or item.name in only]
    for name in sorted(set(only) - {item.name for item in wanted}):
        print(
            f"{name}: there is no such scenario, or it has a fixture, which stays", file=sys.stderr
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="ascendllm-takeover-") as source:
        archive = _git("archive", commit, "operator", "crds", "manifests/base")
        subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
        failures = sum(_record(Path(source), folder, group) for group in _groups(wanted))
    return 1 if failures else 0


def _git(*arguments: str) -> bytes:
    command = ["git", "-C", str(_REPOSITORY), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _groups(scenarios: list[Scenario]) -> Iterator[list[Scenario]]:
    """Scenarios with the same settings and nodes, which can share a cluster."""
    groups: dict[str, list[Scenario]] = {}
    for item in scenarios:
        groups.setdefault(json.dumps([item.settings, item.nodes]), []).append(item)
    yield from groups.values()


def _record(source: Path, folder: Path, scenarios: list[Scenario]) -> int:
    """Record scenarios on a new control plane; returns the number of failures."""
    definitions = (item.path() for item in (GATEWAY_API, KEDA, LEADER_WORKER_SET))
    with ControlPlane(manifests=[source / "crds" / "ascendllms.yaml", *definitions]) as plane:
        files = [f"--filename={source / 'manifests' / 'base' / name}" for name in _RIGHTS]
        plane.kubectl("apply", "--server-side", *files)
        return asyncio.run(_record_all(plane, source, folder, scenarios))


async def _record_all(
    plane: ControlPlane, source: Path, folder: Path, scenarios: list[Scenario]
) -> int:
    kubeconfig = plane.kubeconfig_for("ascendllm-system", "ascendllm-operator")
    environment = {f"ASCENDLLM_{key}": text for key, text in scenarios[0].settings.items()}
    # OperatorProcess sets it; an empty text means unset.
    environment = {"ASCENDLLM_evalsImage": "", **environment}
    environment["PYTHONPATH"] = str(source / "operator")
    operator = OperatorProcess(kubeconfig, source / "operator.log", **environment)
    limit = asyncio.Semaphore(_AT_ONCE)
    async with await connect(plane.kubeconfig) as admin:  # type: ignore[attr-defined]
        for node in scenarios[0].nodes:
            await create_node(admin, node)
        async with operator:
            results = await asyncio.gather(
                *(_record_one(plane, admin, folder, item, limit) for item in scenarios),
                return_exceptions=True,
            )
    failures = 0
    for item, result in zip(scenarios, results, strict=True):
        if isinstance(result, BaseException):
            failures += 1
            print(f"{item.name}: {type(result).__name__}: {result}", file=sys.stderr)
    return failures


async def _record_one(
    plane: ControlPlane, admin: Admin, folder: Path, scenario: Scenario, limit: asyncio.Semaphore
) -> None:
    async with limit:
        namespace = f"takeover-{scenario.name}"
        name = {"name": namespace}
        await admin.post({"apiVersion": "v1", "kind": "Namespace", "metadata": name})
        world = RecordedNamespace(admin, plane, admin, namespace)
        item = scenario.resource
        for needed in _needed(item["spec"]):
            await world.create(needed)
        await world.bind_claims()
        await scenario.moves(world, item)
        await world.until_quiet()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        objects = share_templates([world.recorded(item) for item in await world.everything()])
        fixture = Fixture(namespace, now, scenario.settings, scenario.nodes, objects)
        fixture.save(folder / f"{scenario.name}.yaml")
        print(f"{scenario.name}: {len(objects)} objects", flush=True)


def _needed(spec: Any) -> Iterator[dict[str, Any]]:
    """The claims and ConfigMaps that a spec names, which the user creates."""
    names = sorted(set(_named(spec)))
    for key, name in names:
        metadata = {"name": name}
        if key == "claimName":
            requests = {"storage": "1Ti"}
            yield {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": metadata,
                "spec": {
                    "accessModes": ["ReadWriteMany"],
                    "resources": {"requests": requests},
                },
            }
        else:
            data = {"data.json": "{}"}
            yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _named(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("claimName", "configMap") and isinstance(item, str):
                yield key, item
            yield from _named(item)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item)
