"""A model that its NPUs can't serve is told with the figures, not by a crash loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ascendllm.api.scalars import parse_quantity
from ascendllm.api.spec import Spec
from ascendllm.decide.download import Download
from ascendllm.decide.rollout import Rollout
from ascendllm.desired.cache import CachedModel
from ascendllm.engine import options
from ascendllm.engine.adapter_rank import rank_problem
from ascendllm.engine.arguments import tensor_parallel_size
from ascendllm.engine.fit import Layout, Misfit, misfit
from ascendllm.engine.in_force import in_force
from ascendllm.engine.model_numbers import ModelNumbers
from ascendllm.exceptions import SpecError
from ascendllm.state.observed import Observed
from ascendllm.state.pods import CRASHING, Stage, telling
from ascendllm.state.revisions import Revision
from ascendllm.state.stage import cut

__all__ = ["downloaded_misfit", "fitting", "misfit_of"]

_BEFORE_IT_RUNS = ("Pulling", "Loading", CRASHING)


def fitting(rollout: Rollout, spec: Spec, revision: Revision) -> Rollout:
    """The rollout, with the misfit as its stage where the loading pod's model has one.

    Nothing is stopped by it: a pod that gets ready all the same is ready.
    """
    pod = telling(rollout.pods)
    if pod is None or pod.model is None or rollout.stage != pod.stage:
        return rollout
    if pod.stage.reason not in _BEFORE_IT_RUNS or rollout.missed is not None:
        return rollout
    found = misfit_of(pod.model, spec, revision)
    if found is None:
        return rollout
    return replace(rollout, stage=Stage(found.reason, cut(f"{found.message}; pod {pod.name}")))


def downloaded_misfit(
    fetched: Sequence[Download], spec: Spec, revision: Revision, observed: Observed
) -> SpecError | None:
    """Why a downloaded model or adapter would be loaded in vain, before it takes an NPU.

    What serves, or has come up, is proof against any reckoning.
    """
    up = any(pod.ready for pod in observed.pods_of(revision.hash))
    if up or observed.served == revision.hash or spec.suspend:
        return None
    for item in fetched:
        result = item.record.result if item.record is not None and item.record.complete else {}
        config = result.get("config")
        if not isinstance(config, Mapping):
            continue
        if item.cached.adapter is not None:
            if (problem := _adapter_misfit(item.cached, config, spec)) is not None:
                return problem
            continue
        model = ModelNumbers.read({**config, "weight_bytes": result.get("weightBytes")})
        if model is not None and (found := misfit_of(model, spec, revision)) is not None:
            return SpecError(found.reason, found.message)
    return None


def _adapter_misfit(cached: CachedModel, config: Mapping[str, Any], spec: Spec) -> SpecError | None:
    rank = config.get("r")
    if not isinstance(rank, int) or options.table_for(spec.runtime.version) is None:
        return None
    problem = rank_problem(rank, in_force(spec.engine))
    if problem is None:
        return None
    return SpecError("AdapterRankTooLarge", f"adapter {cached.adapter}: {problem}")


def misfit_of(model: ModelNumbers, spec: Spec, revision: Revision) -> Misfit | None:
    """Why the revision's NPUs can't serve the model; None where nothing speaks against it."""
    engine = in_force(spec.engine, revision.resolved.get("generation"))
    env = spec.runtime.env or {}
    return misfit(model, engine, _layout(spec), _memory(revision), env)


def _layout(spec: Spec) -> Layout:
    """How the NPUs of a replica share the model."""
    engine = in_force(spec.engine)
    return Layout(
        tensor_parallel_size(engine, spec.npus),
        engine.pipeline_parallel_size,
        engine.data_parallel_size,
        bool(options.load().values(engine.args or []).get("enable_expert_parallel")),
    )


def _memory(revision: Revision) -> int | None:
    """Bytes of one NPU, as the nodes' labels told when the revision was resolved."""
    told = revision.resolved.get("memory")
    try:
        return int(parse_quantity(told)) if isinstance(told, str) else None
    except ValueError:
        return None
