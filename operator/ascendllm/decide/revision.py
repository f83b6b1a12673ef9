"""Which revision is the spec's: a kept one as it was recorded, or one resolved and rendered now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm.api.spec import Spec
from ascendllm.decide.resolving import resolve
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.desired.revision import revision_inputs
from ascendllm.desired.template import pod_template
from ascendllm.engine.volcano import assigns_cards, count_problem, policy_of
from ascendllm.engine.worlds import VNPU_MODE
from ascendllm.exceptions import SpecError
from ascendllm.settings import Settings
from ascendllm.state.observed import Observed
from ascendllm.state.revisions import Revision

__all__ = ["spec_revision"]


def spec_revision(owner: Owner, spec: Spec, observed: Observed, settings: Settings) -> Revision:
    """The spec's revision; its number is the highest.

    A revision whose inputs are the spec's is used as it was recorded, whatever this operator would
    render. Only other inputs are resolved and rendered; what was resolved is carried over from the
    newest revision with the same runtime and npu, so that an unset version moves only when they do.
    Of these, what the nodes told stands while the same nodes are asked for.

    Raises:
        SpecError: The nodes do not tell the generation, or Volcano would not schedule the pods.
        NodesNeeded: The nodes must be looked at first.
    """
    inputs = revision_inputs(spec, owner.name)
    highest = max((revision.number for revision in observed.revisions), default=0)
    for revision in observed.revisions:
        if revision.inputs == inputs:
            return _newest(revision, highest)
    before = [r for r in observed.revisions if _of_runtime(r.inputs) == _of_runtime(inputs)]
    resolved = next((r.resolved for r in before if _of_nodes(r.inputs) == _of_nodes(inputs)), None)
    if resolved is None:
        version = next((r.resolved.get("version") for r in before), None)
        resolved = resolve(spec, settings, observed.nodes, version)
    _refuse_count(spec, resolved)
    template = pod_template(owner, spec, resolved)
    rendered = Revision(names.digest(template), highest + 1, inputs, resolved, template)
    for revision in observed.revisions:
        # Other words for the same pods, such as 16384Mi for 16Gi: the record stays as it is.
        if revision.hash == rendered.hash:
            return _newest(revision, highest)
    return rendered


def _of_runtime(inputs: Mapping[str, Any]) -> tuple[Any, ...]:
    return inputs.get("runtime"), inputs.get("npu")


def _of_nodes(inputs: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of the inputs says which nodes are looked at and for what, and how cards are sliced."""
    placement: Mapping[str, Any] = inputs.get("placement") or {}
    asked: Mapping[str, Mapping[str, str]] = placement.get("resources") or {}
    slices = {
        (name, value)
        for resources in asked.values()
        for name, value in resources.items()
        if name.endswith(("-memory", "-core"))
    }
    mode = (placement.get("annotations") or {}).get(VNPU_MODE)
    return placement.get("nodeSelector"), placement.get("schedulerName"), slices, mode


def _refuse_count(spec: Spec, resolved: Mapping[str, Any]) -> None:
    """Volcano leaves pods of other counts pending, and says so where few look."""
    if not assigns_cards(spec.npu, spec.placement):
        return
    generation, server = resolved.get("generation"), resolved.get("server")
    policy = policy_of(spec.npu, spec.placement, generation, server)
    pods = spec.replicas * spec.nodes
    problem = count_problem(policy, spec.npu.count, pods) if policy is not None else None
    if problem is not None:
        raise SpecError("InvalidNpuCount", problem)


def _newest(revision: Revision, highest: int) -> Revision:
    if revision.number == highest:
        return revision
    return Revision(
        revision.hash, highest + 1, revision.inputs, revision.resolved, revision.template
    )
