"""KEDA on a cluster: its operator and its metrics server, v2.18.0, from its Go module."""

from __future__ import annotations

from dataclasses import replace

from cluster import upstream
from cluster.binaries import KEDA_ADAPTER, KEDA_OPERATOR
from cluster.definitions import KEDA
from cluster.provider import Provider

__all__ = ["install"]

_PROGRAMS = {"keda-operator": KEDA_OPERATOR, "keda-metrics-apiserver": KEDA_ADAPTER}


def install(cluster: Provider) -> None:
    """Put it on a cluster that may have it; returns when it is available.

    The first time on a machine the programs are built, which takes minutes.
    """
    # All but its admission webhooks.
    folder = replace(KEDA, place="config/minimal").path()
    upstream.install(cluster, "keda", upstream.kustomized(cluster, folder), _PROGRAMS)
