"""A real API server, and a world around it that moves pods and jobs by hand."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ascendllm.kube.client import ApiServer, connect
from ascendllm.settings import Settings
from cluster.control_plane import ControlPlane
from integration.admin import Admin
from integration.admin import admin as connect_admin
from integration.world import SETTINGS, World

REPOSITORY = Path(__file__).resolve().parents[2]
_RIGHTS = ("namespace.yaml", "service-account.yaml", "role.yaml", "lease-role.yaml")


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane(manifests=[REPOSITORY / "crds" / "ascendllms.yaml"]) as plane:
        files = [f"--filename={REPOSITORY / 'manifests' / 'base' / name}" for name in _RIGHTS]
        plane.kubectl("apply", "--server-side", *files)
        yield plane


@pytest.fixture(scope="session")
def operator_kubeconfig(control_plane: ControlPlane) -> Path:
    """The rights that manifests/base give the operator, and no more."""
    return control_plane.kubeconfig_for("ascendllm-system", "ascendllm-operator")


@pytest.fixture
async def admin(control_plane: ControlPlane) -> AsyncIterator[Admin]:
    async with await connect_admin(control_plane.kubeconfig) as server:
        yield server  # type: ignore[misc]


@pytest.fixture
async def api(operator_kubeconfig: Path) -> AsyncIterator[ApiServer]:
    async with await connect(str(operator_kubeconfig)) as server:
        yield server


@pytest.fixture
def settings() -> Settings:
    return Settings.from_mapping(SETTINGS)


@pytest.fixture
async def world(
    control_plane: ControlPlane, admin: Admin, api: ApiServer, settings: Settings
) -> AsyncIterator[World]:
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    await admin.post({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    world = World(admin, control_plane, api, namespace)
    world.operate(settings)
    yield world
    # What a test leaves would be the next operator's work.
    async for item in admin.each("AscendLLM", namespace, metadata_only=True):
        await admin.remove("AscendLLM", namespace, item["metadata"]["name"])
