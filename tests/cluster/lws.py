"""The LeaderWorkerSet controller on a cluster: the real one, v0.7.0, from its Go module."""

from __future__ import annotations

from cluster import upstream
from cluster.binaries import LWS_CONTROLLER
from cluster.provider import Provider

__all__ = ["install"]

_MODULE = "sigs.k8s.io/lws"
_NAMESPACE = "lws-system"


def install(cluster: Provider) -> None:
    """Put the controller on a cluster that may have it; returns when it is available.

    The first time on a machine the program is built, which takes minutes.
    """
    folder = upstream.module(LWS_CONTROLLER, _MODULE) / "config" / "default"
    programs = {"lws-controller-manager": LWS_CONTROLLER}
    upstream.install(cluster, _NAMESPACE, upstream.kustomized(cluster, folder), programs)
