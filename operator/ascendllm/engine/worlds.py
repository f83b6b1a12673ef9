"""Whose device plugin a resource belongs to, and what its name alone tells.

Three families register Ascend NPUs: MindCluster's ascend-device-plugin (whole cards, and static
vNPUs of which a container gets exactly one), Huawei Cloud CCE's add-on, and HAMi's plugin, which
has a name for each chip and can slice it. Of every other name nothing is assumed.

Sources: MindCluster's component/ascend-common/api/default_name.go and its documents on vNPUs;
vllm-ascend's docs/source/user_guide/deployment_guide/using_volcano_kthena.md for CCE; HAMi's
ascend-device-configmap.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ascendllm.api.job import Resources
from ascendllm.api.npu import Npu
from ascendllm.api.placement import Placement
from ascendllm.api.spec import Spec
from ascendllm.engine.chips import Generation, generation_for

__all__ = [
    "SOFT",
    "VNPU_MODE",
    "Family",
    "Slice",
    "World",
    "slice_of",
    "told_generation",
    "world_of",
]

Family = Literal["MindCluster", "CCE", "HAMi", "other"]

VNPU_MODE = "huawei.com/vnpu-mode"
"""HAMi's annotation of a pod: how its NPUs are sliced."""
SOFT = "hami-core"

_HUAWEI = "huawei.com/"


@dataclass(frozen=True)
class World:
    """What the name of a resource tells.

    Attributes:
        family: Whose plugin registers it.
        generation: Of the chips, where the name tells it.
        chip: The chip's model as the label node.kubernetes.io/npu.chip.name has it, where the name
            tells it.
        memory: What one of it offers, as a quantity, where the name tells it.
        static_slice: A static vNPU: a container can have one, and no other.
        unserved: Why it cannot be served on; "" where nothing speaks against it.
        taint: The key of the taint that keeps other pods off the nodes.
    """

    family: Family
    generation: Generation | None = None
    chip: str | None = None
    memory: str | None = None
    static_slice: bool = False
    unserved: str = ""
    taint: str = ""

    @property
    def whole_cards(self) -> bool:
        """MindCluster's whole cards, which Volcano's plugin for Ascend assigns."""
        return self.family == "MindCluster" and not self.static_slice


@dataclass(frozen=True)
class Slice:
    """What is asked of an NPU that several pods share, as HAMi has it.

    Attributes:
        memory: MiB that the pod gets, and that each of its NPUs must have free; None: all there
            is.
        core: Percent of each NPU's cores; None: no share is kept.
        soft: By interception in the container (hami-core); else by a template of the driver, as
            HAMi does it unless a pod says otherwise.
    """

    memory: int | None
    core: int | None
    soft: bool


_WHOLE: Mapping[str, World] = {
    "Ascend910": World("MindCluster"),
    "Ascend310P": World("MindCluster", "310P"),
    "Ascend310P-V": World("MindCluster", "310P"),
    "Ascend310P-VPro": World("MindCluster", "310P"),
    "Ascend310P-IPro": World("MindCluster", "310P"),
    "Ascend310": World("MindCluster", unserved="vLLM-Ascend has no build for Ascend 310"),
    "npu": World("MindCluster"),
    "npu-core": World(
        "MindCluster",
        unserved="it counts the cores of dynamic vNPUs, which are not supported: use whole cards, "
        "or a static vNPU such as huawei.com/Ascend910-12c.3cpu.32g",
    ),
    "ascend-1980": World("CCE"),
    "ascend-310": World("CCE"),
}

_HAMI: Mapping[str, World] = {
    "Ascend910A": World("HAMi", unserved="vLLM-Ascend has no build for Ascend 910A"),
    "Ascend910B": World("HAMi", "A2"),
    "Ascend910B2": World("HAMi", "A2", "910B2", "64Gi"),
    "Ascend910B3": World("HAMi", "A2", "910B3", "64Gi"),
    "Ascend910B4": World("HAMi", "A2", "910B4", "32Gi"),
    "Ascend910B4-1": World("HAMi", "A2", "910B4-1", "64Gi"),
    "Ascend910C": World("HAMi", "A3", "Ascend910", "64Gi"),
}

_HAMI_310P = World("HAMi", "310P", "310P3", "24Gi")
"""HAMi and MindCluster call it the same; only a slice tells them apart."""

_STATIC = re.compile(
    r"(?P<chip>Ascend910|Ascend310P)-(?P<cores>\d+)c"
    r"(\.(?P<cpus>\d+)cpu)?(\.(?P<memory>\d+)g)?(\.(nd|d)vpp)?"
)


def world_of(npu: Npu, placement: Placement) -> World:
    """The world that the NPUs of a pod belong to."""
    resource = npu.resource
    name = resource.removeprefix(_HUAWEI)
    if name == resource:
        return World("other", taint=resource)
    if name == "Ascend310P" and slice_of(npu, placement) is not None:
        return replace(_HAMI_310P, taint=resource)
    known = _WHOLE.get(name) or _HAMI.get(name)
    if known is not None:
        return replace(known, taint=resource)
    static = _STATIC.fullmatch(name)
    if static is None:
        return World("other", taint=resource)
    memory = f"{static['memory']}Gi" if static["memory"] else None
    taint = _HUAWEI + static["chip"]
    if static["chip"] == "Ascend310P":
        return World("MindCluster", "310P", memory=memory, static_slice=True, taint=taint)
    # Names without CPUs are those of 910A; A2 and A3 share theirs.
    unserved = "" if static["cpus"] else "vLLM-Ascend has no build for Ascend 910A"
    return World("MindCluster", memory=memory, static_slice=True, unserved=unserved, taint=taint)


def told_generation(spec: Spec) -> Generation | None:
    """The chips' generation, where the spec itself tells it; None where the nodes must."""
    if spec.npu.generation != "auto":
        return spec.npu.generation
    if spec.runtime.variant != "auto":
        return generation_for(spec.runtime.variant)
    return world_of(spec.npu, spec.placement).generation


def slice_of(npu: Npu, placement: Placement) -> Slice | None:
    """What HAMi is asked for; None where whole NPUs are.

    A share of the cores exists in soft slices alone. Memory alone is a template, HAMi's own way,
    unless the annotation says otherwise.
    """
    resources = placement.resources or Resources()
    asked = {**(resources.requests or {}), **(resources.limits or {})}
    memory, core = asked.get(f"{npu.resource}-memory"), asked.get(f"{npu.resource}-core")
    soft = core is not None or (placement.annotations or {}).get(VNPU_MODE) == SOFT
    if memory is None and not soft:
        return None
    return Slice(_number(memory), _number(core), soft)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
