"""Every object that a resource becomes is one that the API server takes as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from cluster.control_plane import ControlPlane
from cluster.definitions import GATEWAY_API, KEDA, LEADER_WORKER_SET, installed
from integration.admin import Admin
from unit.core.test_golden import CASES, GOLDEN


@pytest.fixture(scope="module", autouse=True)
def definitions(control_plane: ControlPlane) -> Iterator[None]:
    """The kinds of others that a resource may become."""
    with installed(control_plane, GATEWAY_API, KEDA, LEADER_WORKER_SET):
        control_plane.kubectl(
            "get", "httproutes,scaledobjects,leaderworkersets", "--all-namespaces"
        )
        yield


@pytest.mark.parametrize("case", CASES)
async def test_the_api_server_takes_the_golden_objects(admin: Admin, case: str) -> None:
    for item in yaml.safe_load_all((GOLDEN / case / "objects.yaml").read_text()):
        taken = await admin.post(item, dry_run=True)
        assert taken["kind"] == item["kind"]
        if item["kind"] == "Job":
            args = taken["spec"]["template"]["spec"]["containers"][0]["args"]
            assert args[0] in ("validate", "download")
