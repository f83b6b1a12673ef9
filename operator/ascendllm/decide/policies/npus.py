"""What a device plugin, or a scheduler of NPUs, would not give."""

from __future__ import annotations

from ascendllm.api.scalars import parse_quantity
from ascendllm.decide.policies.given import Input
from ascendllm.engine.chips import generation_for
from ascendllm.engine.in_force import in_force
from ascendllm.engine.volcano import POLICY, assigns_cards
from ascendllm.engine.worlds import SOFT, VNPU_MODE, Slice, World, slice_of, world_of
from ascendllm.exceptions import SpecError

__all__ = [
    "chips_not_served",
    "generation_contradicts",
    "module_is_two",
    "policy_missing",
    "slice_refused",
    "static_slice_is_one",
]


def chips_not_served(given: Input) -> SpecError | None:
    """A resource of chips, or of a kind, that no pod can be served on."""
    world = world_of(given.spec.npu, given.spec.placement)
    if not world.unserved:
        return None
    return SpecError(
        "UnsupportedChip",
        f"spec.npu.resource {given.spec.npu.resource}: {world.unserved}; set it to a resource of "
        "A2, A3 or 310P",
    )


def generation_contradicts(given: Input) -> SpecError | None:
    """The generation is told in three places, which must not disagree."""
    npu, variant = given.spec.npu, given.spec.runtime.variant
    named = world_of(npu, given.spec.placement).generation
    told = {
        f"spec.npu.resource {npu.resource}": named,
        "spec.npu.generation": None if npu.generation == "auto" else npu.generation,
        "spec.runtime.variant": None if variant == "auto" else generation_for(variant),
    }
    said = {field: generation for field, generation in told.items() if generation is not None}
    if len(set(said.values())) <= 1:
        return None
    parts = ", ".join(f"{field} says {generation}" for field, generation in said.items())
    return SpecError(
        "GenerationMismatch",
        f"{parts}: an image is built for one generation and ends at start on every other; leave "
        "generation and variant at auto, or make them agree",
    )


def static_slice_is_one(given: Input) -> SpecError | None:
    """A container can have one static vNPU, so nothing can be spread over several."""
    npu, nodes = given.spec.npu, given.spec.nodes
    if not world_of(npu, given.spec.placement).static_slice or npu.count == nodes == 1:
        return None
    return SpecError(
        "InvalidNpuCount",
        f"spec.npu.count {npu.count}, spec.nodes {nodes}: a container gets one static vNPU "
        f"({npu.resource}), and none works together with another: set both to 1, or ask for whole "
        "cards",
    )


def module_is_two(given: Input) -> SpecError | None:
    """HAMi gives 910C by the module, of two NPUs each; a single one it rounds up or takes alone."""
    npu = given.spec.npu
    world = world_of(npu, given.spec.placement)
    if world.family != "HAMi" or world.generation != "A3" or npu.count == 1 or npu.count % 2 == 0:
        return None
    return SpecError(
        "InvalidNpuCount",
        f"spec.npu.count {npu.count}: HAMi gives {npu.resource} by modules of two: set it to 1 or "
        "to an even number",
    )


def slice_refused(given: Input) -> SpecError | None:
    """A slice that HAMi would refuse, or in which vLLM would ask for more than there is."""
    spec = given.spec
    sliced, world = slice_of(spec.npu, spec.placement), world_of(spec.npu, spec.placement)
    if sliced is None:
        return None
    problem = (
        _foreign(given, world)
        or _numbers(given)
        or _cards(given, sliced)
        or _memory(given, sliced, world)
        or _graphs(given, sliced)
    )
    return SpecError("InvalidSlice", problem) if problem is not None else None


def policy_missing(given: Input) -> SpecError | None:
    """Volcano's plugin schedules the NPUs of Ascend 950 by a policy that only users know."""
    spec = given.spec
    if spec.npu.resource != "huawei.com/npu" or not assigns_cards(spec.npu, spec.placement):
        return None
    if POLICY in (spec.placement.annotations or {}):
        return None
    return SpecError(
        "InvalidPlacement",
        f"spec.placement.schedulerName volcano schedules no {spec.npu.resource} without a policy: "
        f"set {POLICY} in spec.placement.annotations to how the node's NPUs hang together, such as "
        "chip4-node8",
    )


def _foreign(given: Input, world: World) -> str | None:
    if world.family in ("HAMi", "other"):
        return None
    return (
        f"spec.placement.resources: only HAMi slices NPUs by memory and cores, and "
        f"{given.spec.npu.resource} is {world.family}'s: remove {given.spec.npu.resource}-memory "
        f"and -core, and the annotation {VNPU_MODE}, or name HAMi's resource"
    )


def _numbers(given: Input) -> str | None:
    resource, resources = given.spec.npu.resource, given.spec.placement.resources
    if resources is None:
        return None
    for kind, unit, most in (("memory", "MiB", 2**31 - 1), ("core", "percent", 100)):
        name = f"{resource}-{kind}"
        for asked in (resources.limits, resources.requests):
            text = (asked or {}).get(name)
            if text is None or (text.isdecimal() and 1 <= int(text) <= most):
                continue
            hint = f", such as {_mebibytes(text)}" if kind == "memory" else f", at most {most}"
            return f"spec.placement.resources {name} {text}: HAMi counts plain {unit}{hint}"
    return None


def _mebibytes(text: str) -> int:
    """What was probably meant, such as 16384 for 16Gi."""
    return max(1, int(parse_quantity(text) / 2**20)) if not text.isdecimal() else 16384


def _cards(given: Input, sliced: Slice) -> str | None:
    count = given.spec.npu.count
    if sliced.soft or count == 1:
        return None
    return (
        f"spec.npu.count {count}: HAMi's templates slice one NPU a pod: set it to 1, ask for whole "
        f"NPUs, or set {VNPU_MODE}: {SOFT} in spec.placement.annotations"
    )


def _memory(given: Input, sliced: Slice, world: World) -> str | None:
    """What each card must have free, and what vLLM may take of all of them together.

    HAMi's scheduler asks every card for the whole slice, and its limiter gives it to the container
    once: by its guide vLLM's share must not be more than the slice of all the cards' memory.
    """
    if sliced.memory is None or world.memory is None:
        return None
    npu, card = given.spec.npu, int(parse_quantity(world.memory) / 2**20)
    name = f"spec.placement.resources {npu.resource}-memory {sliced.memory}"
    if sliced.memory > card:
        return (
            f"{name}: HAMi wants it free on each card, and {npu.resource} has {card} MiB: lower it"
        )
    share, whole = in_force(given.spec.engine).memory_utilization, card * npu.count
    if not sliced.soft or share * whole <= sliced.memory:
        return None
    most = int(sliced.memory * 100 / whole) / 100
    return (
        f"{name}: spec.engine.memoryUtilization {share} of {whole} MiB is more than the slice: set "
        f"it to at most {most}, or raise the slice"
    )


def _graphs(given: Input, sliced: Slice) -> str | None:
    if not sliced.soft or in_force(given.spec.engine).enforce_eager is not False:
        return None
    return (
        "spec.engine.enforceEager false: graphs do not work on HAMi's soft slices "
        "(vllm-ascend#8585): remove it, or ask for whole NPUs"
    )
