"""What Volcano's plugin for Ascend (MindCluster's ascend-for-volcano) wants of a pod.

The plugin assigns whole cards itself. How, its policy says: without one, and without the node
label accelerator-type in the pod's nodeSelector, it takes every `huawei.com/Ascend910` for a 910A
(internal/npu/factory.go, `get910CardHandlerName`). The policies for super pods are not used: to
them the replicas of a Deployment are one distributed job, of which every pod must have a whole
node (ascend910a3/superpod/frame.go, `CheckTaskNPU`).
"""

from __future__ import annotations

from collections.abc import Mapping

from ascendllm.api.npu import Npu
from ascendllm.api.placement import Placement
from ascendllm.engine.chips import Generation
from ascendllm.engine.worlds import world_of

__all__ = ["NAME", "POLICY", "assigns_cards", "count_problem", "policy_for", "policy_of"]

NAME = "volcano"

POLICY = "huawei.com/schedule_policy"
"""Annotation of a pod: how the NPUs of a node hang together."""

_BY_SERVER: Mapping[str, str] = {
    "card-910b-2": "chip1-node2",
    "card-910b-infer": "chip1-node2",
    "module-910b-8": "chip8-node8",
    "module-910b-16": "chip8-node16",
    "module-a3-8-super-pod": "chip2-node8",
    "module-a3-16": "chip2-node16",
    "module-a3-16-super-pod": "chip2-node16",
}

_BY_GENERATION: Mapping[Generation, str] = {"A2": "chip8-node8", "A3": "chip2-node16"}

_WITH_POLICY = ("huawei.com/Ascend910",)
"""Of 310P the plugin's default is right; how those of Ascend 950 hang together, only users know."""

_UP_TO_8 = tuple(range(1, 9))
_COUNTS: Mapping[str, tuple[int, ...]] = {
    "chip1-node2": _UP_TO_8,
    "chip8-node8": _UP_TO_8,
    "chip8-node16": (*_UP_TO_8, 10, 12, 14, 16),
    "chip2-node8": (1, 2, 4, 6, 8),
    "chip2-node16": (1, 2, 4, 6, 8, 10, 12, 14, 16),
}
"""NPUs that a pod may ask for: of an A3's module both dies or, alone, one."""

_PAIRED = ("chip2-node8", "chip2-node16")


def assigns_cards(npu: Npu, placement: Placement) -> bool:
    """Whether Volcano gives a pod its cards, and the device plugin only mounts them.

    It does so for MindCluster's whole cards: not for its static vNPUs, nor in other worlds.
    """
    return placement.scheduler_name == NAME and world_of(npu, placement).whole_cards


def policy_of(
    npu: Npu, placement: Placement, generation: Generation | None, server: str | None
) -> str | None:
    """The policy that a pod is scheduled by: as the user says, else as `policy_for` does."""
    given = (placement.annotations or {}).get(POLICY)
    if given is not None or npu.resource not in _WITH_POLICY:
        return given
    return policy_for(generation, server)


def policy_for(generation: Generation | None, server: str | None) -> str | None:
    """The policy of a kind of server, else of the usual one of a generation.

    Args:
        generation: Of the chips.
        server: The nodes' label accelerator-type.
    """
    by_server = _BY_SERVER.get(server or "")
    return by_server or (_BY_GENERATION.get(generation) if generation is not None else None)


def count_problem(policy: str, count: int, pods: int) -> str | None:
    """Why the plugin would leave a pod pending, with what fits; None where it would not."""
    allowed = _COUNTS.get(policy)
    if allowed is None:
        return None
    if count not in allowed:
        fitting = ", ".join(str(number) for number in allowed)
        return (
            f"spec.npu.count {count}: Volcano's policy {policy} schedules pods of {fitting} NPUs: "
            "take one of these"
        )
    if count == 1 and pods > 1 and policy in _PAIRED:
        return (
            f"spec.npu.count 1 with {pods} pods: Volcano's policy {policy} schedules half a module "
            "for a single pod alone: set npu.count to 2, or spec.replicas to 1"
        )
    return None
