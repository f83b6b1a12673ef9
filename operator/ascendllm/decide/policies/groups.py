"""What a replica of several pods needs."""

from __future__ import annotations

from ascendllm.decide.policies.given import Input
from ascendllm.engine.arguments import tensor_parallel_size
from ascendllm.engine.in_force import in_force
from ascendllm.engine.multi_node import spread_problem
from ascendllm.exceptions import SpecError

__all__ = ["copies_over_pods", "leader_worker_set_missing"]


def copies_over_pods(given: Input) -> SpecError | None:
    """A layout that vLLM can't spread over pods."""
    spec, engine = given.spec, in_force(given.spec.engine)
    if spec.nodes == 1:
        return None
    tensor = tensor_parallel_size(engine, spec.npus)
    problem = spread_problem(
        tensor,
        engine.pipeline_parallel_size,
        engine.data_parallel_size,
        spec.npu.count,
        spec.nodes,
    )
    return SpecError("ParallelismMismatch", problem) if problem is not None else None


def leader_worker_set_missing(given: Input) -> SpecError | None:
    """Kubernetes itself has nothing that starts and restarts pods as a group."""
    if given.spec.nodes == 1 or "LeaderWorkerSet" not in given.absent:
        return None
    return SpecError(
        "LeaderWorkerSetMissing",
        f"spec.nodes is {given.spec.nodes}, which needs the kind LeaderWorkerSet "
        "(leaderworkerset.x-k8s.io/v1), and the API server does not serve it: have LeaderWorkerSet "
        "v0.7.0 or newer installed in the cluster (it is found within two minutes), or set "
        "spec.nodes to 1",
        unwatched=True,
    )
