"""A rule between nodes and model.cache: what several nodes read can't be storage of one."""

from __future__ import annotations

from collections.abc import Iterator

from ascendllm.api.scalars import cel
from ascendllm.api.served_model import Model

__all__ = ["GROUP_RULES", "group_problems"]

_OF_ONE_NODE = (
    "ReadWriteOnce is for storage that only one node can mount, and nodes is more than 1: leave "
    "accessMode out (ReadWriteMany), or set nodes to 1"
)

GROUP_RULES = (
    cel(
        "self.nodes == 1 || !has(self.model.cache) || !has(self.model.cache.accessMode) || "
        "self.model.cache.accessMode != 'ReadWriteOnce'",
        _OF_ONE_NODE,
        path=".model.cache.accessMode",
    ),
)


def group_problems(model: Model, nodes: int) -> Iterator[str]:
    """What of the model the pods of a group could not all read, with the remedy."""
    if nodes > 1 and model.cache is not None and model.cache.access_mode == "ReadWriteOnce":
        yield f"model.cache.accessMode: {_OF_ONE_NODE}"
