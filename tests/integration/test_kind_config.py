"""kind-config.yaml is what kind's own parser takes it for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.binaries import KINDCONFIG
from cluster.commands import run
from cluster.errors import ClusterError
from cluster.paths import REPOSITORY

_CONFIG = REPOSITORY / "kind-config.yaml"


def test_kind_makes_one_node_of_it() -> None:
    nodes = json.loads(run([str(KINDCONFIG.path()), str(_CONFIG)]))

    assert [node["Role"] for node in nodes] == ["control-plane"]
    assert nodes[0]["Image"].startswith("kindest/node:v1.34.")


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("role: control-plane", "rolle: control-plane", "rolle"),
        ("role: control-plane", "role: master", "master"),
        ("name: ascendllm-0", "name: Ascend_LLM", "not a valid cluster name"),
    ],
)
def test_kind_refuses_what_it_does_not_know(
    tmp_path: Path, right: str, wrong: str, complaint: str
) -> None:
    broken = tmp_path / "kind-config.yaml"
    broken.write_text(_CONFIG.read_text().replace(right, wrong))

    with pytest.raises(ClusterError, match=complaint):
        run([str(KINDCONFIG.path()), str(broken)])
