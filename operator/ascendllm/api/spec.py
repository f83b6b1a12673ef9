"""What a user writes: the `spec` of an AscendLLM, one module a block.

A field stands here only once it is implemented, since the API server refuses by name what the
schema does not hold. Defaults that depend on other fields (`servedName`, `tensorParallelSize`) are
resolved by the operator and are not in the schema; a default that stands here never changes within
an API version, because a running model's revision is taken from it.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from ascendllm.api.autoscaling import Autoscaling
from ascendllm.api.engine import Engine
from ascendllm.api.group_rules import GROUP_RULES, group_problems
from ascendllm.api.key_rules import KEY_RULES, key_problems
from ascendllm.api.kind_rules import KIND_RULES, kind_problems
from ascendllm.api.model import ResourceModel
from ascendllm.api.npu import Npu
from ascendllm.api.placement import Placement
from ascendllm.api.placement_rules import PLACEMENT_RULES, placement_problems
from ascendllm.api.rollout import Rollout
from ascendllm.api.runtime import Runtime
from ascendllm.api.scalars import rules
from ascendllm.api.served_model import Model
from ascendllm.api.service import Service
from ascendllm.api.validation import Validation

__all__ = ["Spec"]


class Spec(ResourceModel):
    """The model to serve, and the proof that it must give before it gets traffic."""

    model_config = ConfigDict(
        json_schema_extra=rules(*KIND_RULES, *KEY_RULES, *PLACEMENT_RULES, *GROUP_RULES)
    )

    model: Model
    """Which model is served."""

    runtime: Runtime = Runtime()
    """Which vLLM-Ascend image serves."""

    npu: Npu = Npu()
    """The NPUs of one pod."""

    nodes: Annotated[int, Field(ge=1, le=64)] = 1
    """Pods that serve one replica together, each with npu.count NPUs, on a node of its own where
    there is room; more than 1 needs the LeaderWorkerSet controller in the cluster."""

    engine: Engine = Engine()
    """How vLLM runs."""

    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Replicas that serve: pods, or groups of pods where nodes is more than 1. `kubectl scale` sets
    it, and the autoscaler where there is one."""

    autoscaling: Autoscaling | None = None
    """How many replicas the load asks for; as many as `replicas` says when unset."""

    placement: Placement = Placement()
    """Where the pods run, and what they ask for beside NPUs."""

    service: Service = Service()
    """The Service that clients use."""

    rollout: Rollout = Rollout()
    """How a new revision gets traffic."""

    validation: Validation | None = None
    """The proof that is asked for; none when unset."""

    suspend: bool = False
    """No pods and no jobs; history is kept."""

    @property
    def npus(self) -> int:
        """The NPUs of one replica."""
        return self.npu.count * self.nodes

    @property
    def wanted(self) -> int:
        """Replicas that there should be now; 0 while suspended.

        `replicas` is the user's, or the autoscaler's through the scale subresource; we never write
        it. Under an autoscaler its bounds hold at once, so that a manifest with another number,
        which a GitOps tool applies again and again, ends no pod that the autoscaler would only make
        anew. 0 is below any bound and still counts: for Kubernetes it means not now.
        """
        if self.suspend or self.replicas == 0:
            return 0
        if self.autoscaling is None:
            return self.replicas
        return min(max(self.replicas, self.autoscaling.min_replicas), self.most)

    @property
    def most(self) -> int:
        """The most replicas that there can be before a person changes the spec."""
        return self.replicas if self.autoscaling is None else self.autoscaling.max_replicas

    @property
    def pods(self) -> int:
        """The pods of all replicas that there should be."""
        return self.wanted * self.nodes

    @model_validator(mode="after")
    def _checks_fit_the_kind(self) -> Self:
        for problem in kind_problems(self.model.kind, self.validation):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _placement_fits_the_npus(self) -> Self:
        for problem in placement_problems(self.npu, self.placement):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _all_nodes_read_the_model(self) -> Self:
        for problem in group_problems(self.model, self.nodes):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        for problem in key_problems(self.runtime, self.service):
            raise ValueError(problem)
        return self
