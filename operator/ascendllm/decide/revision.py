"""Which revision is the spec's: a kept one as it was recorded, or one resolved and rendered now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ascendllm.api.spec import Spec
from ascendllm.decide.needs import NodesNeeded
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.desired.revision import revision_inputs
from ascendllm.desired.template import pod_template
from ascendllm.engine.chips import CHIP_LABEL, Generation, generation_of, image_tag, variant_for
from ascendllm.exceptions import SpecError
from ascendllm.settings import Settings
from ascendllm.state.observed import Observed
from ascendllm.state.revisions import Revision

__all__ = ["NodesNeeded", "resolve", "spec_revision"]


@dataclass(frozen=True)
class _Wanted:
    inputs: Mapping[str, Any]

    def same_runtime(self, revision: Revision) -> bool:
        return all(self.inputs.get(k) == revision.inputs.get(k) for k in ("runtime", "npu"))


def spec_revision(owner: Owner, spec: Spec, observed: Observed, settings: Settings) -> Revision:
    """The spec's revision; its number is the highest.

    A revision whose inputs are the spec's is used as it was recorded, whatever this operator would
    render. Only other inputs are resolved and rendered; what was resolved is carried over from the
    newest revision with the same runtime and npu, so that an unset version moves only when they do.

    Raises:
        SpecError: The nodes do not tell the generation.
        NodesNeeded: The nodes must be looked at first.
    """
    wanted = _Wanted(revision_inputs(spec, owner.name))
    highest = max((revision.number for revision in observed.revisions), default=0)
    for revision in observed.revisions:
        if revision.inputs == wanted.inputs:
            return _newest(revision, highest)
    carried = next((r.resolved for r in observed.revisions if wanted.same_runtime(r)), None)
    resolved = carried if carried is not None else resolve(spec, settings, observed.nodes)
    template = pod_template(owner, spec, resolved)
    rendered = Revision(names.digest(template), highest + 1, wanted.inputs, resolved, template)
    for revision in observed.revisions:
        # Other words for the same pods, such as 16384Mi for 16Gi: the record stays as it is.
        if revision.hash == rendered.hash:
            return _newest(revision, highest)
    return rendered


def resolve(
    spec: Spec, settings: Settings, nodes: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """Image, and what it was chosen by.

    Args:
        spec: What is asked for.
        settings: The operator's repository and version.
        nodes: The cluster's nodes; None where they were not looked at.

    Raises:
        SpecError: `AmbiguousGeneration`.
        NodesNeeded: The nodes must be looked at first.
    """
    if spec.runtime.image is not None:
        return {"image": spec.runtime.image}
    version = spec.runtime.version or settings.runtime_version
    resolved: dict[str, Any] = {"version": version}
    if spec.runtime.variant != "auto":
        variant = spec.runtime.variant
    else:
        generation = spec.npu.generation
        if generation == "auto":
            if nodes is None:
                raise NodesNeeded
            generation = _generation(spec.npu.resource, nodes)
        resolved["generation"] = generation
        variant = variant_for(generation)
    resolved["variant"] = variant
    resolved["image"] = f"{settings.runtime_repository}:{image_tag(version, variant)}"
    return resolved


def _generation(resource: str, nodes: Sequence[Mapping[str, Any]]) -> Generation:
    found: dict[Generation, str] = {}
    unlabelled = []
    for node in nodes:
        if not _has(resource, node):
            continue
        name = node["metadata"]["name"]
        generation = generation_of(node["metadata"].get("labels") or {})
        if generation is None:
            unlabelled.append(name)
        else:
            found.setdefault(generation, name)
    if len(found) == 1:
        return next(iter(found))
    remedy = "set spec.npu.generation to A2, A3 or 310P"
    if found:
        seen = ", ".join(f"{generation} (node {name})" for generation, name in found.items())
        raise SpecError(
            "AmbiguousGeneration",
            f"spec.npu.generation is auto, and nodes with {resource} have several generations: "
            f"{seen}; an image is built for one: {remedy}",
        )
    if unlabelled:
        raise SpecError(
            "AmbiguousGeneration",
            f"spec.npu.generation is auto, and no node with {resource} has a label {CHIP_LABEL} "
            f"that tells it (looked at {', '.join(sorted(unlabelled)[:3])}): {remedy}, or label "
            "the nodes",
        )
    raise SpecError(
        "AmbiguousGeneration",
        f"spec.npu.generation is auto, and no node offers {resource}: {remedy}, or check "
        "spec.npu.resource and the device plugin",
    )


def _has(resource: str, node: Mapping[str, Any]) -> bool:
    capacity = (node.get("status") or {}).get("capacity") or {}
    return str(capacity.get(resource, "0")) != "0"


def _newest(revision: Revision, highest: int) -> Revision:
    if revision.number == highest:
        return revision
    return Revision(
        revision.hash, highest + 1, revision.inputs, revision.resolved, revision.template
    )
