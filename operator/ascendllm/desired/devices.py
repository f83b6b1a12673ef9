"""The NPUs of a serving pod: which, who assigns them, and the driver's files.

Nothing names a card: the device plugin or Volcano does. `ASCEND_VISIBLE_DEVICES` stands here only
as Volcano's own annotation (MindCluster asks for exactly that, and for its absence with every other
scheduler); a literal would mount other people's cards, since the container runtime takes the last
value.

The driver's files come from Ascend Docker Runtime unless the spec says `hostPath`. MindCluster
installs that runtime as its nodes' default, HAMi asks for its RuntimeClass, and on CCE
vllm-ascend's own pods mount nothing of the driver but its tools. Nothing on a node tells whether
the runtime is there, and namespaces of Pod Security's baseline refuse every hostPath volume, so
that is never assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ascendllm.api.npu import Npu
from ascendllm.api.placement import Placement
from ascendllm.desired.part import Part
from ascendllm.engine.chips import ACCELERATOR_TYPE, CHIP_LABEL, other_chips
from ascendllm.engine.volcano import POLICY, assigns_cards, policy_of
from ascendllm.engine.worlds import SOFT, VNPU_MODE, slice_of, world_of

__all__ = ["devices_part", "host_files"]

_DUO = "card-300i-duo"

_RESCHEDULED: Mapping[str, str] = {"fault-scheduling": "grace", "pod-rescheduling": "on"}
"""Volcano moves a pod off a card that fails, by deleting it as anybody would."""
_ALONE: Mapping[str, str] = {"huawei.com/recover_policy_path": "pod"}
"""And no other pod with it: the replicas of a Deployment are one job to Volcano."""


def devices_part(npu: Npu, placement: Placement, resolved: Mapping[str, Any]) -> Part:
    """What the NPUs ask of the pod; what the user says of the same stands instead.

    Args:
        npu: How many of which.
        placement: Scheduler, slices and what else the world is told by.
        resolved: What is known of the chips, and the driver's files that are to be mounted.
    """
    world = world_of(npu, placement)
    own: dict[str, Any] = {}
    if world.family == "HAMi":
        own["runtimeClassName"] = "ascend"
    labels, annotations, env, selector = _scheduling(npu, placement, resolved)
    volumes, mounts = host_files("driver", resolved.get("driverPaths") or ())
    return Part(
        labels=labels,
        annotations=annotations,
        pod=own,
        tolerations=[{"key": world.taint, "operator": "Exists", "effect": "NoSchedule"}],
        node_selector=selector,
        node_requirements=_chips(npu, placement, resolved),
        volumes=volumes,
        mounts=mounts,
        env=env,
        resources={npu.resource: str(npu.count)},
    )


def host_files(
    name: str, paths: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes and mounts of files and folders of the node, read-only, at the same paths.

    Each must be there: a type is given, since a container runtime would otherwise make an empty
    folder of that name on the node.

    Args:
        name: What the volumes' names begin with.
        paths: Absolute; a folder's ends with a slash.
    """
    volumes, mounts = [], []
    for number, path in enumerate(paths):
        folder, plain = path.endswith("/"), path.rstrip("/")
        volume = f"{name}-{number}"
        kind = "Directory" if folder else "File"
        volumes.append({"name": volume, "hostPath": {"path": plain, "type": kind}})
        mounts.append({"name": volume, "mountPath": plain, "readOnly": True})
    return volumes, mounts


def _scheduling(
    npu: Npu, placement: Placement, resolved: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, str], list[dict[str, Any]], dict[str, str]]:
    """Labels, annotations, environment and node labels that a scheduler looks at."""
    sliced = slice_of(npu, placement)
    if sliced is not None and sliced.soft:
        return {}, {VNPU_MODE: SOFT}, [], {}
    if not assigns_cards(npu, placement):
        return {}, {}, [], {}
    annotation = f"metadata.annotations['{npu.resource}']"
    env = {"name": "ASCEND_VISIBLE_DEVICES", "valueFrom": {"fieldRef": {"fieldPath": annotation}}}
    server = resolved.get("server")
    policy = policy_of(npu, placement, resolved.get("generation"), server)
    return (
        {**_RESCHEDULED, **({"duo": "true"} if resolved.get("card") == _DUO else {})},
        {**_ALONE, **({POLICY: policy} if policy is not None else {})},
        [env],
        # Releases that know no policies go by this label.
        {ACCELERATOR_TYPE: server} if server is not None and policy is not None else {},
    )


def _chips(npu: Npu, placement: Placement, resolved: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Keeps off the nodes of other generations where the resource's name is theirs, too."""
    generation = resolved.get("generation")
    if generation is None or world_of(npu, placement).generation is not None:
        return []
    return [{"key": CHIP_LABEL, "operator": "NotIn", "values": list(other_chips(generation))}]
