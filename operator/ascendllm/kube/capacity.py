"""How many NPUs are free where: looked up only where a pod finds no node, or has to leave its own.

One answer serves every resource for a while. The pods of a node are asked for by its name, which
the API server has an index of; a list of all pods of a cluster may be 100 MB.
"""

from __future__ import annotations

import asyncio
import time

from ascendllm.kube.cluster import Cluster, Object
from ascendllm.state.capacity import NodeNpus, node_npus

__all__ = ["Capacity"]

_FRESH_SECONDS = 10.0
_NODES = 64
"""Of more nodes the largest speak."""


class Capacity:
    """The NPUs of the cluster's nodes by resource.

    Args:
        cluster: The API server.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, tuple[float, tuple[NodeNpus, ...]]] = {}
        self._lock = asyncio.Lock()

    async def of(self, resource: str) -> tuple[NodeNpus, ...]:
        """The nodes that have NPUs of a resource.

        Raises:
            ClusterError: The API server refuses or fails.
        """
        async with self._lock:
            asked, nodes = self._known.get(resource, (float("-inf"), ()))
            if time.monotonic() - asked < _FRESH_SECONDS:
                return nodes
            nodes = await self._ask(resource)
            self._known = {
                key: item
                for key, item in self._known.items()
                if time.monotonic() - item[0] < _FRESH_SECONDS
            }
            self._known[resource] = (time.monotonic(), nodes)
            return nodes

    async def _ask(self, resource: str) -> tuple[NodeNpus, ...]:
        having = [
            (found.capacity, node)
            for node in await self._cluster.list("Node")
            if (found := node_npus(node, (), resource)) is not None
        ]
        largest = sorted(having, key=lambda item: -item[0])[:_NODES]
        nodes = await asyncio.gather(*(self._node(node, resource) for _, node in largest))
        return tuple(node for node in nodes if node is not None)

    async def _node(self, node: Object, resource: str) -> NodeNpus | None:
        on_it = await self._cluster.list("Pod", fields=f"spec.nodeName={node['metadata']['name']}")
        return node_npus(node, on_it, resource)
