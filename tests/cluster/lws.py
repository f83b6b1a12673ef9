"""The LeaderWorkerSet controller on a cluster: the real one, v0.7.0, from its Go module."""

from __future__ import annotations

from dataclasses import replace

from cluster import upstream
from cluster.binaries import LWS_CONTROLLER
from cluster.definitions import LEADER_WORKER_SET
from cluster.provider import Provider

__all__ = ["install"]

_NAMESPACE = "lws-system"


def install(cluster: Provider) -> None:
    """Put the controller on a cluster that may have it; returns when it is available.

    The first time on a machine the program is built, which takes minutes.
    """
    folder = replace(LEADER_WORKER_SET, place="config/default").path()
    programs = {"lws-controller-manager": LWS_CONTROLLER}
    upstream.install(cluster, _NAMESPACE, upstream.kustomized(cluster, folder), programs)
