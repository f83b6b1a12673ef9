"""How many NPUs are free where: looked up only where a pod finds no node, or has to leave its own.

One answer serves every resource for a while. The pods of a node are asked for by its name, which
the API server has an index of; a list of all pods of a cluster may be 100 MB.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable

from ascendllm.kube.cluster import Cluster, Object
from ascendllm.kube.nodes import NodeCache
from ascendllm.kube.shared_answer import SharedAnswer
from ascendllm.state.capacity import NodeNpus, extended, node_npus

__all__ = ["Capacity"]

_FRESH_SECONDS = 10.0
_NODES = 64
"""Of more nodes the largest speak."""


class Capacity:
    """The NPUs of the cluster's nodes by resource.

    Args:
        cluster: The API server.
        nodes: The cluster's nodes.
        fresh_seconds: For how long an answer is used.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        cluster: Cluster,
        nodes: NodeCache,
        *,
        fresh_seconds: float = _FRESH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._nodes = nodes
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._answers: dict[str, SharedAnswer[tuple[NodeNpus, ...]]] = {}

    async def of(self, resource: str) -> tuple[NodeNpus, ...]:
        """The nodes that have NPUs of a resource.

        Raises:
            ClusterError: The API server refuses or fails.
        """
        # Specs may name any resource: what nobody asked for lately is dropped.
        self._answers = {
            name: answer for name, answer in self._answers.items() if not answer.is_expired
        }
        if resource not in self._answers:
            ask = functools.partial(self._ask, resource)
            self._answers[resource] = SharedAnswer(ask, self._fresh_seconds, clock=self._clock)
        return await self._answers[resource].get()

    async def _ask(self, resource: str) -> tuple[NodeNpus, ...]:
        having = [
            (found.capacity, node)
            for node in await self._nodes.list()
            if (found := node_npus(node, (), resource)) is not None
        ]
        largest = sorted(having, key=lambda item: -item[0])[:_NODES]
        nodes = await asyncio.gather(*(self._node(node, resource) for _, node in largest))
        return tuple(node for node in nodes if node is not None)

    async def _node(self, node: Object, resource: str) -> NodeNpus | None:
        on_it = self._cluster.each("Pod", fields=f"spec.nodeName={node['metadata']['name']}")
        holders = [_reduced(pod) async for pod in on_it if extended(pod)[resource] > 0]
        return node_npus(node, holders, resource)


def _reduced(pod: Object) -> Object:
    """A pod without what its NPUs do not depend on: it is anybody's, and may have 1.5 MB."""
    containers = (pod.get("spec") or {}).get("containers") or []
    return {
        "metadata": {"uid": pod["metadata"].get("uid", "")},
        "spec": {"containers": [{"resources": item.get("resources")} for item in containers]},
        "status": {"phase": (pod.get("status") or {}).get("phase")},
    }
