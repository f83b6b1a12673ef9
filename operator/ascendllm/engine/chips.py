"""Chip generations: how the nodes name them, and which image build each needs.

An image of vLLM-Ascend is built for one generation and its worker refuses every other at start
(vllm-ascend 0.18, `check_ascend_device_type`), while MindCluster registers all of 910A, A2 and A3
as `huawei.com/Ascend910`. So the generation is read from the nodes' labels, never from the
resource's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

__all__ = ["CHIP_LABEL", "Generation", "Variant", "generation_of", "image_tag", "variant_for"]

Generation = Literal["A2", "A3", "310P"]
Variant = Literal["a2", "a3", "310p"]

CHIP_LABEL = "node.kubernetes.io/npu.chip.name"
"""Written by MindCluster's device plugin: the chip's model."""

_CHIPS: tuple[tuple[str, Generation], ...] = (
    (r"910b\w*(-\d)?", "A2"),
    (r"910c?|(910_?)?93\d\d", "A3"),
    (r"310p\w*", "310P"),
)
"""Chip models in lower case without the prefix `ascend`. MindCluster's plugin writes `Ascend910` on
A3 nodes and `910B1` to `910B4` on A2's; CANN's SOC names of A3 are `ascend910_93xx`. The first
generation, 910A, is not served by vLLM-Ascend."""

_VARIANTS: Mapping[Generation, Variant] = {"A2": "a2", "A3": "a3", "310P": "310p"}

_TAG_SUFFIXES: Mapping[Variant, str] = {"a2": "", "a3": "-a3", "310p": "-310p"}


def generation_of(labels: Mapping[str, str]) -> Generation | None:
    """The generation of a node's chips, or None where its labels do not tell."""
    chip = labels.get(CHIP_LABEL, "").strip().lower().removeprefix("ascend").lstrip("-_ ")
    for pattern, generation in _CHIPS:
        if re.fullmatch(pattern, chip):
            return generation
    return None


def variant_for(generation: Generation) -> Variant:
    """The image build for a generation."""
    return _VARIANTS[generation]


def image_tag(version: str, variant: Variant) -> str:
    """The tag of a build, such as `v0.18.0rc1-a3`; the plain tag is A2's."""
    return f"{version}{_TAG_SUFFIXES[variant]}"
