"""What pods need that serve one model together, on several nodes.

Nothing names a network interface: a pod has one, and its name differs from cluster to cluster.
HCCL_IF_IP stays out too: it is for pods in the host's network, which these are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm.desired import names
from ascendllm.desired.devices import host_files
from ascendllm.desired.owner import Owner
from ascendllm.desired.part import Part
from ascendllm.desired.probes import STARTUP_HOURS
from ascendllm.engine.multi_node import HOST_IP

__all__ = ["group_part", "shm_size"]

_SHM_SIZE = "16Gi"
_GROUP_SHM_SIZE = "128Gi"
"""vllm-ascend raised its multi-node pods to this from 15Gi, with which HCCL hung (its PR #8693).
It is a bound, not a reservation; the kubelet bounds it by the node's memory, too."""

_HCCN = "/etc/hccn.conf"

_CONNECT_SECONDS = 1200
"""How long HCCL waits for its peers, as in vllm-ascend's multi-node tests. Its own 120 s are over
before a node has loaded from disk what another one has in its page cache."""


def shm_size(given: str | None, nodes: int) -> str:
    """The size of /dev/shm: as given, or what the number of nodes asks for."""
    return given or (_SHM_SIZE if nodes == 1 else _GROUP_SHM_SIZE)


def group_part(owner: Owner, resolved: Mapping[str, Any]) -> Part:
    """What all pods of a group have, the answering one and the others.

    /etc/hccn.conf holds the addresses of the NPUs' own network ports: without it a model starts
    and answers nonsense (vllm-ascend #7711). So a node that has none is not to start one. Ascend
    Docker Runtime does not mount it; the owner's driver files may hold it already.

    Args:
        owner: Whose pods.
        resolved: What is known of the chips, and the driver's files that are mounted.
    """
    mounted = _HCCN in (resolved.get("driverPaths") or ())
    volumes, mounts = host_files("hccn", () if mounted else (_HCCN,))
    apart = {
        "weight": 100,
        "podAffinityTerm": {
            "labelSelector": {"matchLabels": {names.NAME: owner.name}},
            "topologyKey": "kubernetes.io/hostname",
        },
    }
    return Part(
        # HCCL takes two pods of one node for two servers (vllm-ascend #14506).
        pod={
            "affinity": {
                "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [apart]}
            }
        },
        env=[
            {"name": HOST_IP, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "HCCL_CONNECT_TIMEOUT", "value": str(_CONNECT_SECONDS)},
            # vLLM's own 600 s count the loads of all pods; the startup probe speaks first.
            {"name": "VLLM_ENGINE_READY_TIMEOUT_S", "value": str(STARTUP_HOURS * 3600)},
        ],
        volumes=volumes,
        mounts=mounts,
    )
