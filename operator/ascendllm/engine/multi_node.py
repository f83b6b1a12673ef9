"""How one `vllm serve` spreads over several pods: what the answering pod and the others are told.

Read in vLLM 0.18.0 and vllm-ascend 0.18.0rc1; no Ray is needed for any of it, and so none is used:

- One copy of the model over all pods (data parallel size 1): vLLM's own multiprocessing executor
  with `--nnodes`. vllm-ascend carries it (patch/platform/patch_multiproc_executor.py) and
  documents it (tutorials/features/long_sequence_context_parallel_multi_node.md). Tensor and
  pipeline parallel may both reach over pods.
- Whole copies in every pod (data parallel): `--data-parallel-size-local` and `--headless`, as
  vllm-ascend's tutorials for DeepSeek do. Not `--nnodes`: with a dense model each engine sets its
  own data parallel size to 1 (v1/engine/core.py) and would then count its one pod as all.
- Copies that each span several pods, and several of them: mixtures of experts alone could, and
  nothing of vllm-ascend shows it. Refused.

The answering pod names itself by its IP, since ZeroMQ does not bind to a DNS name; the others name
it by the name that the LeaderWorkerSet's controller tells them (LWS_LEADER_ADDRESS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ascendllm.api.engine import Engine

__all__ = [
    "HOST_IP",
    "OWNED",
    "OWNED_IN_GROUPS",
    "as_worker",
    "leader_options",
    "spread_problem",
]

HOST_IP = "VLLM_HOST_IP"
"""The variable with the pod's own address, which vLLM reads too."""

_LEADER = "$(LWS_LEADER_ADDRESS)"
_INDEX = "LWS_WORKER_INDEX"

_NO_SERVER_EACH = "not supported: every pod would be a server of its own, and clients reach one"

OWNED: Mapping[str, str] = {
    "--data-parallel-address": "spec.nodes",
    "--data-parallel-external-lb": _NO_SERVER_EACH,
    "--data-parallel-hybrid-lb": _NO_SERVER_EACH,
    "--data-parallel-rank": _NO_SERVER_EACH,
    "--data-parallel-size-local": "spec.nodes",
    "--data-parallel-start-rank": "spec.nodes",
    "--headless": "spec.nodes",
    "--master-addr": "spec.nodes",
    "--nnodes": "spec.nodes",
    "--node-rank": "spec.nodes",
}
"""Options that `spec.nodes` sets."""

_SINCE_NODES = "set by the operator where spec.nodes is more than 1"

OWNED_IN_GROUPS: Mapping[str, str] = {
    "--api-server-count": _SINCE_NODES,
    "--data-parallel-backend": _SINCE_NODES,
    "--distributed-executor-backend": _SINCE_NODES,
}
"""Further ones that would break a group of pods, and no single pod."""


def spread_problem(tensor: int, pipeline: int, data: int, count: int, nodes: int) -> str | None:
    """Why a layout can't be spread over pods; None where it can.

    Args:
        tensor: Tensor parallel size.
        pipeline: Pipeline parallel size.
        data: Data parallel size.
        count: NPUs of a pod; the product of the sizes is `count` x `nodes`.
        nodes: Pods, more than one.
    """
    if data == 1 or count % (tensor * pipeline) == 0:
        return None
    return (
        f"spec.engine.dataParallelSize {data} over spec.nodes {nodes}: each copy of the model "
        f"takes {tensor * pipeline} NPUs (tensorParallelSize {tensor} x pipelineParallelSize "
        f"{pipeline}), which don't fill the {count} of a pod evenly. Several copies must each "
        "lie within a pod: choose sizes whose product divides spec.npu.count, or "
        "dataParallelSize 1 for one copy over all pods"
    )


def leader_options(engine: Engine, nodes: int) -> list[str]:
    """The options of the pod that answers, behind those that all pods have."""
    if engine.data_parallel_size > 1:
        # No start rank, not even 0: vLLM would take it for its hybrid load balancing.
        return [_local(engine, nodes), f"--data-parallel-address=$({HOST_IP})"]
    return [f"--nnodes={nodes}", "--node-rank=0", f"--master-addr=$({HOST_IP})"]


def as_worker(arguments: Sequence[str], engine: Engine, nodes: int) -> list[str]:
    """A command line of `vllm serve` as the other pods run it: they compute and answer no client.

    Args:
        arguments: `vllm serve …`, as all pods have it, escaped. The options that are added here
            refer to variables of the container.
        engine: The sizes.
        nodes: Pods of a replica.
    """
    if engine.data_parallel_size == 1:
        rank = [f"--nnodes={nodes}", f"--node-rank=$({_INDEX})", f"--master-addr={_LEADER}"]
        return [*arguments, *rank, "--headless"]
    copies = engine.data_parallel_size // nodes
    address = [_local(engine, nodes), f"--data-parallel-address={_LEADER}", "--headless"]
    if copies == 1:
        return [*arguments, *address, f"--data-parallel-start-rank=$({_INDEX})"]
    # Kubernetes does no sums: a shell works the rank out and becomes vLLM. $$ stands for one $.
    script = f'exec "$@" --data-parallel-start-rank=$$(({_INDEX} * {copies}))'
    return ["sh", "-c", script, "sh", *arguments, *address]


def _local(engine: Engine, nodes: int) -> str:
    return f"--data-parallel-size-local={engine.data_parallel_size // nodes}"
