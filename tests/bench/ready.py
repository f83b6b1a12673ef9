"""From a server's first good completion to Ready, on a real kubelet."""

from __future__ import annotations

import re
import statistics
import time
from datetime import datetime

from bench.figures import Figure, MeasureError
from cluster import choice
from cluster.installation import install
from cluster.provider import Provider
from e2e.resources import model, resource
from e2e.space import Space, condition, namespace

__all__ = ["measure"]

_LOADS = (3.0, 4.3, 5.6, 6.9, 8.2)
"""Seconds; the probe is at another point of its period each time."""
_LIMIT = 2.0
_LISTENS = re.compile(r"^(\S+) .*Application startup complete", re.MULTILINE)


def measure() -> list[Figure]:
    """Seconds, on the cluster that is up; from when the simulator listens, 5 ms before it can have
    answered."""
    cluster = choice.current()
    if cluster is None:
        raise MeasureError("no cluster is up: `python tests/cluster up` brings one up")
    install(cluster)
    with namespace(cluster, "bench") as space:
        seconds = [_one(cluster, space, number, load) for number, load in enumerate(_LOADS)]
    return [
        Figure("first completion to Ready, median of 5", statistics.median(seconds), "s", _LIMIT),
        Figure("the same, longest", max(seconds), "s", _LIMIT),
    ]


def _one(cluster: Provider, space: Space, number: int, load: float) -> float:
    name = f"ready-{number}"
    path = model(cluster, name, loadSeconds=load)
    with space.watch("ascendllm") as watch:
        space.apply(resource(name, path, None))
        watch.until(
            lambda items: condition(items.get(name), "Ready").get("status") == "True",
            f"{name} is ready",
        )
        # Containers and this process have the same clock.
        at = time.time()
    (pod,) = space.serving_pods(name)
    log = space.kubectl("logs", pod["metadata"]["name"], "--container=vllm", "--timestamps")
    found = _LISTENS.search(log)
    if found is None:
        raise MeasureError(f"the server of {name} does not say when it listened: {log[-500:]}")
    space.kubectl("delete", "ascendllm", name)
    return at - datetime.fromisoformat(found.group(1)[:26] + "+00:00").timestamp()
