"""From the resource's engine fields to the argument list of `vllm serve`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ascendllm.api.engine import Engine
from ascendllm.api.npu import Npu

__all__ = ["OWNED", "PORT", "SHUTDOWN_TIMEOUT_SECONDS", "serve_arguments", "tensor_parallel_size"]

PORT = 8000
"""The port that the container listens on, whatever the client Service's port is."""

SHUTDOWN_TIMEOUT_SECONDS = 120
"""How long vLLM finishes requests after SIGTERM; its own default of 0 aborts them."""

_BY_OPERATOR = "set by the operator"

OWNED: Mapping[str, str] = {
    "--additional-config": "spec.engine.additionalConfig",
    "--api-key": "not supported yet: a key in an argument list is readable by everyone",
    "--compilation-config": "spec.engine.compilationConfig",
    "--config": "spec.engine (a file in the image would bypass the checks of its fields)",
    "--data-parallel-size": "spec.engine.dataParallelSize",
    "--dtype": "spec.engine.dtype",
    "--enable-prefix-caching": "spec.engine.enablePrefixCaching",
    "--enforce-eager": "spec.engine.enforceEager",
    "--gpu-memory-utilization": "spec.engine.memoryUtilization",
    "--grpc": "not supported: probes and checks speak HTTP",
    "--host": _BY_OPERATOR,
    "--max-model-len": "spec.engine.maxModelLen",
    "--max-num-batched-tokens": "spec.engine.maxNumBatchedTokens",
    "--max-num-seqs": "spec.engine.maxNumSeqs",
    "--model": "spec.model.source",
    "--pipeline-parallel-size": "spec.engine.pipelineParallelSize",
    "--port": _BY_OPERATOR,
    "--quantization": "spec.engine.quantization",
    "--seed": "spec.engine.seed",
    "--served-model-name": "spec.model.servedName",
    "--shutdown-timeout": _BY_OPERATOR,
    "--ssl-certfile": "not supported: probes and checks speak plain HTTP inside the cluster",
    "--ssl-keyfile": "not supported: probes and checks speak plain HTTP inside the cluster",
    "--tensor-parallel-size": "spec.engine.tensorParallelSize",
    "--trust-remote-code": "spec.engine.trustRemoteCode",
    "--uds": "not supported: probes and checks speak HTTP on a port",
}
"""Options that may not stand in `spec.engine.args`, and the field that sets each."""


def tensor_parallel_size(engine: Engine, npu: Npu) -> int:
    """The tensor parallel size: as given, or the NPUs that the other sizes leave.

    An uneven division is rounded down here and refused by the policies.
    """
    if engine.tensor_parallel_size is not None:
        return engine.tensor_parallel_size
    return max(1, npu.count // (engine.pipeline_parallel_size * engine.data_parallel_size))


def serve_arguments(model_path: str, served_name: str, engine: Engine, npu: Npu) -> list[str]:
    """The container's `args`: `vllm serve`, the options of the fields, then `engine.args`.

    An option whose field is unset or at vLLM's own default is left out, so that the list holds what
    somebody chose. The entry point of the image sources CANN's environment and then executes these.
    """
    options: list[tuple[str, object]] = [
        ("--host", "0.0.0.0"),  # noqa: S104 - the pod's own address, reached through Services
        ("--port", PORT),
        ("--tensor-parallel-size", tensor_parallel_size(engine, npu)),
        ("--pipeline-parallel-size", _unless(engine.pipeline_parallel_size, 1)),
        ("--data-parallel-size", _unless(engine.data_parallel_size, 1)),
        ("--seed", engine.seed),
        ("--served-model-name", served_name),
        ("--max-model-len", engine.max_model_len),
        ("--max-num-seqs", engine.max_num_seqs),
        ("--max-num-batched-tokens", engine.max_num_batched_tokens),
        ("--gpu-memory-utilization", _share(engine.memory_utilization)),
        ("--trust-remote-code", engine.trust_remote_code or None),
        ("--dtype", engine.dtype),
        ("--quantization", engine.quantization),
        ("--enforce-eager", engine.enforce_eager),
        ("--enable-prefix-caching", engine.enable_prefix_caching),
        ("--additional-config", _json(engine.additional_config)),
        ("--compilation-config", _json(engine.compilation_config)),
        ("--shutdown-timeout", SHUTDOWN_TIMEOUT_SECONDS),
    ]
    rendered = [text for flag, value in options if (text := _option(flag, value)) is not None]
    return ["vllm", "serve", model_path, *rendered, *(engine.args or [])]


def _share(value: float) -> str:
    """All of the number's digits, and at least two decimals, as people write it: 0.90."""
    text = repr(value)
    whole, _, decimals = text.partition(".")
    return text if "e" in text else f"{whole}.{decimals.ljust(2, '0')}"


def _unless(value: int, default: int) -> int | None:
    return None if value == default else value


def _json(value: dict[str, object] | None) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))


def _option(flag: str, value: object) -> str | None:
    if value is None:
        return None
    if value is True:
        return flag
    if value is False:
        return f"--no-{flag.removeprefix('--')}"
    return f"{flag}={value}"
