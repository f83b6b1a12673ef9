"""The NPUs of a pod: `spec.npu`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import ResourceName

__all__ = ["Npu"]


class Npu(ResourceModel):
    """The NPUs of one pod."""

    resource: ResourceName = "huawei.com/Ascend910"
    """The extended resource that the device plugin registers, such as huawei.com/Ascend910 of
    MindCluster, huawei.com/ascend-1980 of CCE or huawei.com/Ascend910B3 of HAMi."""

    count: Annotated[int, Field(ge=1, le=64)] = 1
    """NPUs (logical devices) a pod; 1 of static vNPUs."""

    generation: Literal["auto", "A2", "A3", "310P"] = "auto"
    """The chips' generation; auto takes it from the resource's name or, where that does not tell,
    from the labels of the nodes that offer the resource."""
