"""Which image serves, and how its container is set up: `spec.runtime`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import ImageReference, Quantity, cel, rules
from ascendllm.api.sources import LocalObject

__all__ = ["Runtime"]


class Runtime(ResourceModel):
    """Which vLLM-Ascend image serves, and how its container is set up."""

    version: (
        Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
        | None
    ) = None
    """The vLLM-Ascend release, such as v0.18.0rc1; the operator's pinned version when unset."""

    variant: Literal["auto", "a2", "a3", "310p"] = "auto"
    """The image's build for a chip generation; auto follows npu.generation."""

    image: ImageReference | None = None
    """A whole image reference; overrides version and variant."""

    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """Kubernetes' own default when unset."""

    image_pull_secrets: Annotated[list[LocalObject], Field(max_length=8)] | None = None
    """Secrets of this namespace for a private registry."""

    env: (
        Annotated[
            dict[str, Annotated[str, Field(max_length=4096)]],
            Field(
                max_length=64,
                json_schema_extra=rules(
                    cel(
                        "self.all(name, size(name) <= 128 && "
                        "name.matches('^[A-Za-z_][A-Za-z0-9_]*$'))",
                        "names are letters, digits and '_', at most 128 characters",
                    ),
                    cel(
                        "!('ASCEND_VISIBLE_DEVICES' in self) && "
                        "!('ASCEND_RT_VISIBLE_DEVICES' in self)",
                        "ASCEND_VISIBLE_DEVICES and ASCEND_RT_VISIBLE_DEVICES must not be set: the "
                        "device plugin assigns the cards; remove them and set npu.count",
                    ),
                ),
            ),
        ]
        | None
    ) = None
    """Environment variables of the serving container."""

    driver_mounts: Literal["auto", "runtime", "hostPath"] = "auto"
    """Where the NPU driver's files come from: runtime is Ascend Docker Runtime, which mounts them
    by itself; hostPath mounts them from the nodes, for nodes without it; auto is runtime."""

    shm_size: Quantity | None = None
    """The size of /dev/shm, which tensor parallel workers talk through; 16Gi when unset, 128Gi
    where nodes is more than 1."""
