"""Options that may not stand in `spec.engine.args`, and what sets each."""

from __future__ import annotations

from collections.abc import Mapping

from ascendllm.api.engine import Engine
from ascendllm.engine import multi_node, options

__all__ = ["FIELDS", "OWNED"]

_BY_OPERATOR = "set by the operator"

OWNED: Mapping[str, str] = {
    "--additional-config": "spec.engine.additionalConfig",
    "--api-key": "spec.service.apiKeySecret (a key in an argument list is readable by everyone)",
    "--compilation-config": "spec.engine.compilationConfig",
    "--config": "spec.engine.config (the mapping of the file)",
    "--data-parallel-size": "spec.engine.dataParallelSize",
    "--dtype": "spec.engine.dtype",
    "--enable-prefix-caching": "spec.engine.enablePrefixCaching",
    "--enforce-eager": "spec.engine.enforceEager",
    "--gpu-memory-utilization": "spec.engine.memoryUtilization",
    "--grpc": "not supported: probes and checks speak HTTP",
    "--hf-token": "not supported: a token in an argument list is readable by everyone, and serving "
    "pods fetch nothing",
    "--host": _BY_OPERATOR,
    "--lora-modules": "spec.engine.loras",
    "--max-model-len": "spec.engine.maxModelLen",
    "--max-num-batched-tokens": "spec.engine.maxNumBatchedTokens",
    "--max-num-seqs": "spec.engine.maxNumSeqs",
    "--mm-encoder-only": "not supported: a server without a language model answers no completion, "
    "by which pods become ready",
    "--model": "spec.model.source",
    "--pipeline-parallel-size": "spec.engine.pipelineParallelSize",
    "--port": _BY_OPERATOR,
    "--quantization": "spec.engine.quantization",
    "--seed": "spec.engine.seed",
    "--served-model-name": "spec.model.servedName",
    "--shutdown-timeout": _BY_OPERATOR,
    "--skip-tokenizer-init": "not supported: a server without a tokenizer answers no text, by "
    "which pods become ready",
    "--ssl-certfile": "not supported: probes and checks speak plain HTTP inside the cluster",
    "--ssl-keyfile": "not supported: probes and checks speak plain HTTP inside the cluster",
    "--tensor-parallel-size": "spec.engine.tensorParallelSize",
    "--tokens-only": "not supported: a server of tokens answers no text, by which pods become "
    "ready",
    "--trust-remote-code": "spec.engine.trustRemoteCode",
    "--uds": "not supported: probes and checks speak HTTP on a port",
    **multi_node.OWNED,
}
"""Canonical flag to the field that sets it, or to why it is refused, behind the word "is"."""

_ATTRIBUTES = {field.alias or name: name for name, field in Engine.model_fields.items()}

FIELDS: Mapping[str, str] = {
    options.load().by_flag[flag].dest: _ATTRIBUTES[alias]
    for flag, owner in OWNED.items()
    if (alias := owner.removeprefix("spec.engine.")) in _ATTRIBUTES
}
"""`dest` of an option to the attribute of `Engine` that sets it."""
