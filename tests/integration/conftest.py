"""A real API server, and a world around it that moves pods and jobs by hand."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from ascendllm.kube.client import ApiServer, connect
from ascendllm.reconcile import Reconciler
from ascendllm.settings import Settings
from cluster.control_plane import ControlPlane
from integration.world import World

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane(manifests=[REPOSITORY / "crds" / "ascendllms.yaml"]) as plane:
        yield plane


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[ApiServer]:
    async with await connect(str(control_plane.kubeconfig)) as server:
        yield server


@pytest.fixture
def settings() -> Settings:
    return Settings.from_mapping(
        {
            "hostPathPrefixes": "/opt/atomgit",
            "runtimeRepository": "registry.test/vllm-ascend",
            "validatorImage": "registry.test/validator:1",
            "mmluData": '{"hostPath": "/opt/atomgit/mmlu", "custom": true}',
        }
    )


@pytest.fixture
async def world(control_plane: ControlPlane, api: ApiServer, settings: Settings) -> World:
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", namespace)
    world = World(api, control_plane, namespace)
    world.reconciler = Reconciler(api, settings, world.clock)
    return world
