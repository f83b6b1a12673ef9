"""What a spec leaves open, decided once: the image, and the chips that it is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ascendllm.api.spec import Spec
from ascendllm.decide.needs import NodesNeeded
from ascendllm.engine.chips import (
    ACCELERATOR_TYPE,
    CHIP_LABEL,
    Generation,
    image_tag,
    variant_for,
)
from ascendllm.engine.nodes import NodeFacts, candidates, common, least_memory
from ascendllm.engine.volcano import POLICY, assigns_cards, policy_for
from ascendllm.engine.worlds import slice_of, told_generation, world_of
from ascendllm.exceptions import SpecError
from ascendllm.settings import Settings

__all__ = ["resolve"]

_NODES_NAMED = 3


def resolve(
    spec: Spec,
    settings: Settings,
    nodes: Sequence[Mapping[str, Any]] | None,
    version: str | None = None,
) -> dict[str, Any]:
    """The image, what it was chosen by, and what is known of the NPUs.

    Args:
        spec: What is asked for.
        settings: The operator's repository and version.
        nodes: The cluster's nodes; None where they were not looked at.
        version: What was chosen before for the same runtime and NPUs; it stays.

    Returns:
        `image`; where they are known `version`, `variant`, `generation`, `chip` (its model),
        `memory` (of one NPU, a quantity), for Volcano `server` and `card` (their kinds), and
        `driverPaths` where the driver's files are to be mounted.

    Raises:
        SpecError: `AmbiguousGeneration`, `GenerationMismatch`, `AmbiguousServers`.
        NodesNeeded: The nodes must be looked at first.
    """
    told, world = told_generation(spec), world_of(spec.npu, spec.placement)
    if nodes is None and world.chip is None:
        raise NodesNeeded
    offering = candidates(nodes or (), spec.npu.resource, spec.placement.node_selector or {})
    if told is not None:
        _refuse_others(spec, told, offering)
    generation = told or _common_generation(spec, offering)
    chosen = [node for node in offering if node.generation in (generation, None)]
    found: dict[str, Any] = {
        "generation": generation,
        "chip": world.chip or common(node.chip for node in chosen),
        "memory": _of_template(spec) or world.memory or least_memory(chosen),
    }
    if assigns_cards(spec.npu, spec.placement):
        found |= _servers(spec, generation, chosen)
    if spec.runtime.driver_mounts == "hostPath":
        found["driverPaths"] = list(settings.driver_paths)
    known = {key: value for key, value in found.items() if value is not None}
    if spec.runtime.image is not None or generation is None:
        return {**known, "image": spec.runtime.image}
    version = version or spec.runtime.version or settings.runtime_version
    variant = variant_for(generation) if spec.runtime.variant == "auto" else spec.runtime.variant
    image = f"{settings.runtime_repository}:{image_tag(version, variant)}"
    return {"version": version, **known, "variant": variant, "image": image}


def _of_template(spec: Spec) -> str | None:
    """The memory of a template's slice, an NPU of its own; of a soft slice vLLM sees the whole."""
    sliced = slice_of(spec.npu, spec.placement)
    if sliced is None or sliced.soft or sliced.memory is None:
        return None
    return f"{sliced.memory}Mi"


def _common_generation(spec: Spec, offering: Sequence[NodeFacts]) -> Generation | None:
    """The one generation of all nodes; None where an image is given and no node tells one."""
    resource = spec.npu.resource
    by_generation: dict[Generation, list[str]] = {}
    for node in offering:
        if node.generation is not None:
            by_generation.setdefault(node.generation, []).append(node.name)
    if len(by_generation) == 1:
        return next(iter(by_generation))
    remedy = "set spec.npu.generation to A2, A3 or 310P"
    if by_generation:
        seen = "; ".join(f"{key}: {_named(names)}" for key, names in by_generation.items())
        raise SpecError(
            "AmbiguousGeneration",
            f"spec.npu.generation is auto, and nodes with {resource} have several generations "
            f"({seen}); an image is built for one: {remedy}, or narrow spec.placement.nodeSelector",
        )
    if spec.runtime.image is not None:
        return None
    if offering:
        raise SpecError(
            "AmbiguousGeneration",
            f"spec.npu.generation is auto, and no node with {resource} has a label {CHIP_LABEL} "
            f"or {ACCELERATOR_TYPE} that tells a generation that vLLM-Ascend is built for (looked "
            f"at {_named([node.name for node in offering])}): {remedy}, or label the nodes",
        )
    where = " and has the labels of spec.placement.nodeSelector"
    raise SpecError(
        "AmbiguousGeneration",
        f"spec.npu.generation is auto, and no node offers {resource}"
        f"{where if spec.placement.node_selector else ''}: {remedy}, or check spec.npu.resource "
        "and the device plugin",
    )


def _refuse_others(spec: Spec, told: Generation, offering: Sequence[NodeFacts]) -> None:
    """Pods that no node may run would wait for ever, and nothing would say why."""
    fitting = [node for node in offering if node.generation in (told, None)]
    if fitting or not offering:
        return
    seen = sorted({str(node.generation) for node in offering})
    raise SpecError(
        "GenerationMismatch",
        f"spec asks for NPUs of generation {told} (npu.generation, runtime.variant or the name of "
        f"npu.resource), and the nodes with {spec.npu.resource} have {', '.join(seen)} "
        f"({_named([node.name for node in offering])}): set spec.npu.generation to what they have, "
        "or choose other nodes by spec.placement.nodeSelector",
    )


def _servers(
    spec: Spec, generation: Generation | None, chosen: Sequence[NodeFacts]
) -> dict[str, str | None]:
    """What Volcano's policy follows from: one kind of server, or several of one policy."""
    policies = {
        policy: node.server
        for node in chosen
        if (policy := policy_for(generation, node.server)) is not None
    }
    if len(policies) > 1 and POLICY not in (spec.placement.annotations or {}):
        seen = ", ".join(f"{server} ({policy})" for policy, server in sorted(policies.items()))
        raise SpecError(
            "AmbiguousServers",
            f"the nodes with {spec.npu.resource} are of kinds that Volcano schedules differently: "
            f"{seen}; set {ACCELERATOR_TYPE} in spec.placement.nodeSelector to one of them, or "
            f"{POLICY} in spec.placement.annotations",
        )
    return {
        "server": common(node.server for node in chosen),
        "card": common(node.card for node in chosen),
    }


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NODES_NAMED])
    more = len(names) - _NODES_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
