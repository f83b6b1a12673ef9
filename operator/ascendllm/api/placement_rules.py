"""Rules between the resources of placement and the NPUs.

`npu.count` is the one place that says how many NPUs a pod gets; beside it only HAMi has more to
ask of the same card.
"""

from __future__ import annotations

from collections.abc import Iterator

from ascendllm.api.job import OVERCOMMITTED
from ascendllm.api.npu import Npu
from ascendllm.api.placement import Placement
from ascendllm.api.scalars import cel

__all__ = ["PLACEMENT_RULES", "placement_problems"]

_NAMES = (
    "resources may hold cpu, memory, ephemeral-storage, hugepages-*, resources of other device "
    "plugins, and <npu.resource>-memory and -core of HAMi: set npu.count and npu.resource for NPUs"
)

_RESOURCES = "has(self.placement) && has(self.placement.resources)"


def _rule(field: str) -> str:
    given = f"self.placement.resources.{field}"
    return (
        f"!({_RESOURCES} && has({given})) || {given}.all(name, "
        "name in ['cpu', 'memory', 'ephemeral-storage'] || name.startsWith('hugepages-') || "
        "name == self.npu.resource + '-memory' || name == self.npu.resource + '-core' || "
        "(name.contains('/') && !name.startsWith('huawei.com/') && name != self.npu.resource))"
    )


PLACEMENT_RULES = (
    cel(_rule("limits"), _NAMES, path=".placement.resources.limits"),
    cel(_rule("requests"), _NAMES, path=".placement.resources.requests"),
)


def placement_problems(npu: Npu, placement: Placement) -> Iterator[str]:
    """What of the placement does not fit the NPUs, each with its remedy."""
    resources = placement.resources
    if resources is None:
        return
    for field, given in (("limits", resources.limits), ("requests", resources.requests)):
        for name in given or {}:
            if not _allowed(name, npu.resource):
                yield f"placement.resources.{field}: {_NAMES} (it holds {name})"


def _allowed(name: str, npus: str) -> bool:
    return (
        name in OVERCOMMITTED
        or name.startswith("hugepages-")
        or name in (f"{npus}-memory", f"{npus}-core")
        or ("/" in name and not name.startswith("huawei.com/") and name != npus)
    )
