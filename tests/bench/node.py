"""A whole bare cluster from nothing, and away again."""

from __future__ import annotations

import os
import sys
import time

from bench.figures import Figure, MeasureError
from cluster.commands import run
from cluster.paths import SOURCES, cache_folder

__all__ = ["measure"]

_INSTANCE = "9"
"""A cluster of its own, beside those that are up."""

_BUILD_TIMEOUT = 1800.0
_UP_LIMIT = 20.0


def measure() -> list[Figure]:
    """Seconds, with the programs built beforehand."""
    if os.geteuid() != 0:
        raise MeasureError("a bare cluster needs root")
    if (cache_folder() / f"cluster-{_INSTANCE}.json").exists():
        raise MeasureError(
            f"a cluster is up as ASCENDLLM_CLUSTER={_INSTANCE}; take it down first: "
            f"`ASCENDLLM_CLUSTER={_INSTANCE} python tests/cluster down`"
        )
    _cluster("build")
    try:
        up = _cluster("up", "--provider=bare")
    finally:
        down = _cluster("down")
    return [
        Figure("bare cluster up, from nothing to a ready node", up, "s", _UP_LIMIT),
        Figure("bare cluster down", down, "s"),
    ]


def _cluster(*arguments: str) -> float:
    """Run a command about the cluster; returns its seconds."""
    env = {**os.environ, "ASCENDLLM_CLUSTER": _INSTANCE}
    began = time.monotonic()
    run([sys.executable, str(SOURCES), *arguments], env=env, timeout=_BUILD_TIMEOUT)
    return time.monotonic() - began
