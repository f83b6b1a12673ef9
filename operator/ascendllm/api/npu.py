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
    """The extended resource that the device plugin registers."""

    count: Annotated[int, Field(ge=1, le=64)] = 1
    """NPUs (logical devices) a pod."""

    generation: Literal["auto", "A2", "A3", "310P"] = "auto"
    """The chips' generation; auto reads it from the nodes' label
    node.kubernetes.io/npu.chip.name."""
