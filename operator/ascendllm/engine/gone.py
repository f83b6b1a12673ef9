"""Options that vLLM once had, or that documents show though it never did, and what does it now."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["GONE"]

_NO_MORE = "the engine no longer needs it: remove it"

GONE: Mapping[str, str] = {
    "--cuda-graph-sizes": "use --cudagraph-capture-sizes",
    "--device": "vLLM finds the NPUs by its plugin: remove it",
    "--disable-log-requests": "requests are only logged with --enable-log-requests: remove it",
    "--disable-async-output-proc": _NO_MORE,
    "--disable-sliding-window-attention": "use --disable-sliding-window",
    "--enable-reasoning": "--reasoning-parser alone does it: remove it",
    "--engine-use-ray": "use --distributed-executor-backend=ray",
    "--gpu-memory-fraction": "use spec.engine.memoryUtilization",
    "--guided-decoding-backend": "use --structured-outputs-config.backend",
    "--max-seq-len-to-capture": "use --max-cudagraph-capture-size",
    "--memory-policy": "vLLM never had it: use spec.engine.memoryUtilization, and "
    "PYTORCH_NPU_ALLOC_CONF in spec.runtime.env",
    "--num-lookahead-slots": _NO_MORE,
    "--num-scheduler-steps": _NO_MORE,
    "--num-speculative-tokens": "use --speculative-config.num_speculative_tokens",
    "--preemption-mode": _NO_MORE,
    "--rope-scaling": "use --hf-overrides.rope_scaling",
    "--rope-theta": "use --hf-overrides.rope_theta",
    "--scheduler-delay-factor": _NO_MORE,
    "--speculative-model": "use --speculative-config.model",
    "--swap-space": _NO_MORE,
    "--task": "use --runner",
    "--use-v2-block-manager": _NO_MORE,
    "--worker-use-ray": "use --distributed-executor-backend=ray",
}
"""Flag to remedy; only flags that vLLM 0.18 does not have."""
