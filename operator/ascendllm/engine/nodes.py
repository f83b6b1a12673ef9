"""What the nodes tell of the NPUs that a pod could get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ascendllm.engine.chips import (
    ACCELERATOR_TYPE,
    Generation,
    chip_of,
    generation_of,
    memory_of,
)

__all__ = ["INFER_CARD", "NodeFacts", "candidates", "common", "least_memory"]

INFER_CARD = "infer-card-type"
"""Written by MindCluster's device plugin: `card-300i-duo` where all cards are Atlas 300I Duo."""


@dataclass(frozen=True)
class NodeFacts:
    """One node.

    Attributes:
        generation: Of its chips; None where its labels do not tell.
        chip: Their model; None where it is not told.
        memory: Of one NPU, in GiB; None where it is not told.
        server: The kind of server, such as `module-910b-8`; None where it is not told.
        card: The kind of card, such as `card-300i-duo`; None for every other.
    """

    name: str
    generation: Generation | None
    chip: str | None
    memory: int | None
    server: str | None
    card: str | None


def candidates(
    nodes: Iterable[Mapping[str, Any]], resource: str, selector: Mapping[str, str]
) -> tuple[NodeFacts, ...]:
    """The nodes that offer the resource and bear the labels, by name."""
    found = [
        _facts(node["metadata"])
        for node in nodes
        if _offers(node, resource) and selector.items() <= _labels(node["metadata"]).items()
    ]
    return tuple(sorted(found, key=lambda node: node.name))


def least_memory(nodes: Iterable[NodeFacts]) -> str | None:
    """The memory that an NPU of any of them has, as a quantity; None where none tells."""
    told = [node.memory for node in nodes if node.memory is not None]
    return f"{min(told)}Gi" if told else None


def common(values: Iterable[str | None]) -> str | None:
    """What all say alike; None where they differ, or one says nothing."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _facts(metadata: Mapping[str, Any]) -> NodeFacts:
    labels = _labels(metadata)
    return NodeFacts(
        metadata["name"],
        generation_of(labels),
        chip_of(labels),
        memory_of(labels),
        labels.get(ACCELERATOR_TYPE) or None,
        labels.get(INFER_CARD) or None,
    )


def _labels(metadata: Mapping[str, Any]) -> Mapping[str, str]:
    return metadata.get("labels") or {}


def _offers(node: Mapping[str, Any], resource: str) -> bool:
    capacity = (node.get("status") or {}).get("capacity") or {}
    return str(capacity.get(resource, "0")) != "0"
