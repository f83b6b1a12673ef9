"""Chip generations: how the nodes name them, and which image build each needs.

An image of vLLM-Ascend is built for one generation and its worker refuses every other at start
(vllm-ascend 0.18, `check_ascend_device_type`), while MindCluster registers all of 910A, A2 and A3
as `huawei.com/Ascend910`. So the generation is read from the nodes' labels wherever the resource's
name does not tell it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast, get_args

__all__ = [
    "ACCELERATOR_TYPE",
    "CHIP_LABEL",
    "GENERATIONS",
    "MEMORY_LABEL",
    "Generation",
    "Variant",
    "chip_of",
    "generation_for",
    "generation_of",
    "image_tag",
    "memory_of",
    "other_chips",
    "variant_for",
]

Generation = Literal["A2", "A3", "310P"]
Variant = Literal["a2", "a3", "310p"]
GENERATIONS: tuple[Generation, ...] = get_args(Generation)

CHIP_LABEL = "node.kubernetes.io/npu.chip.name"
"""Written by MindCluster's device plugin: the chip's model."""
MEMORY_LABEL = "mind-cluster/npu-chip-memory"
"""Written by MindCluster's device plugin: the memory of each NPU, such as `64G`."""
ACCELERATOR_TYPE = "accelerator-type"
"""Written by administrators as MindCluster's documents ask: the kind of server."""

_CHIPS: tuple[tuple[str, Generation], ...] = (
    (r"910b\w*(-\d)?|a2g\d", "A2"),
    (r"910c?|(910_?)?93\d\d", "A3"),
    (r"310p\w*|i2\d?", "310P"),
)
"""Chip models in lower case without the prefix `ascend`. MindCluster's plugin writes `Ascend910` on
A3 nodes and `910B1` to `910B4` (of some batches `A2G1` and so on) on A2's; CANN's SOC names of A3
are `ascend910_93xx`. The first generation, 910A, is not served by vLLM-Ascend."""

_SERVERS: tuple[tuple[str, str, Generation], ...] = (
    (ACCELERATOR_TYPE, r"(module|card)-910b-.*", "A2"),
    (ACCELERATOR_TYPE, r"module-a3-.*", "A3"),
    ("servertype", r"Ascend910B-\d+.*", "A2"),
    ("servertype", r"Ascend910A3-\d+.*", "A3"),
    ("servertype", r"Ascend310P-\d+.*", "310P"),
    ("accelerator", r"huawei-Ascend310P", "310P"),
)
"""What else tells it where the plugin is too old to name the chip, in the order of trust."""

_MODELS: Mapping[Generation | Literal["910A"], tuple[str, ...]] = {
    "910A": ("910A", "910PremiumA", "910ProA", "910ProB"),
    "A2": ("910B1", "910B2", "910B2C", "910B3", "910B4", "910B4-1"),
    "A3": ("Ascend910", "Ascend910C"),
}
"""Values of the chip's label on nodes that offer the same resource."""

_VARIANTS: Mapping[Generation, Variant] = {"A2": "a2", "A3": "a3", "310P": "310p"}

_TAG_SUFFIXES: Mapping[Variant, str] = {"a2": "", "a3": "-a3", "310p": "-310p"}


def generation_of(labels: Mapping[str, str]) -> Generation | None:
    """The generation of a node's chips, or None where its labels do not tell.

    A chip that is named, and is of none of the generations, is not guessed at any further.
    """
    chip = labels.get(CHIP_LABEL, "").strip().lower().removeprefix("ascend").lstrip("-_ ")
    for pattern, generation in _CHIPS:
        if re.fullmatch(pattern, chip):
            return generation
    if chip:
        return None
    for label, pattern, generation in _SERVERS:
        if re.fullmatch(pattern, labels.get(label, "")):
            return generation
    return None


def chip_of(labels: Mapping[str, str]) -> str | None:
    """The chip's model as the device plugin wrote it, such as `910B3`."""
    return labels.get(CHIP_LABEL) or None


def memory_of(labels: Mapping[str, str]) -> int | None:
    """The memory of one NPU in GiB (the plugin divides MiB by 1024 and writes `64G`)."""
    found = re.fullmatch(r"(\d{1,6})G(i?B?)?", labels.get(MEMORY_LABEL, ""))
    return int(found[1]) if found is not None and int(found[1]) > 0 else None


def other_chips(generation: Generation) -> tuple[str, ...]:
    """The models of the other generations of the same resource."""
    return tuple(
        model for other, models in _MODELS.items() if other != generation for model in models
    )


def variant_for(generation: Generation) -> Variant:
    """The image build for a generation."""
    return _VARIANTS[generation]


def generation_for(variant: Variant) -> Generation:
    """The generation that a build is for."""
    return cast(Generation, variant.upper())


def image_tag(version: str, variant: Variant) -> str:
    """The tag of a build, such as `v0.18.0rc1-a3`; the plain tag is A2's."""
    return f"{version}{_TAG_SUFFIXES[variant]}"
