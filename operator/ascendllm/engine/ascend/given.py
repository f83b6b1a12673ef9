"""Rules of vLLM's own options: what an Ascend chip has not, and what vLLM-Ascend sets itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ascendllm.engine.ascend.setup import Setup

__all__ = ["METHODS", "refusals", "remarks"]

_BLOCK = 128

METHODS = ("ascend", "compressed-tensors")
"""`NPUPlatform.supported_quantization`; ModelSlim's W8A8 and others are `ascend`."""

_MODES = ("NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE")

_IGNORED: Mapping[str, str] = {
    "all2all_backend": "vLLM-Ascend chooses its own way",
    "attention_backend": "vLLM-Ascend has one of its own",
    "disable_cascade_attn": "cascade attention is a GPU's",
    "enable_flashinfer_autotune": "FlashInfer is NVIDIA's",
    "enable_layerwise_nvtx_tracing": "NVTX is NVIDIA's",
    "max_num_partial_prefills": "vLLM-Ascend resets it to 1",
    "mm_encoder_attn_backend": "vLLM-Ascend has one of its own",
    "ray_workers_use_nsight": "Nsight is NVIDIA's",
}
"""Options that are reset or never read there (`_fix_incompatible_config`, `get_attn_backend_cls`,
`check_and_update_config`), and why."""

_NO_COMPLETIONS: Mapping[str, tuple[str, ...]] = {
    "runner": ("pooling", "draft"),
    "convert": ("embed", "classify"),
}


def refusals(setup: Setup) -> Iterator[str]:
    """Options on which a server ends, or with which it can never become ready."""
    cache = str(setup.values.get("kv_cache_dtype", ""))
    if cache.startswith("fp8"):
        yield (
            f"spec.engine: --kv-cache-dtype={cache}: Ascend has no FP8 KV cache: remove it; "
            "it is the model's dtype then"
        )
    method = setup.engine.quantization
    if method is not None and method.lower() not in METHODS:
        yield (
            f"spec.engine.quantization {method}: vLLM-Ascend has {' and '.join(METHODS)}, no "
            "FP8, NVFP4, AWQ or GPTQ: serve the BF16 weights, or ones quantized by ModelSlim "
            "(ascend), or leave it unset to have it read from the model"
        )
    passes = setup.compilation.get("pass_config")
    if isinstance(passes, Mapping) and passes.get("fuse_attn_quant") is True:
        yield (
            "spec.engine.compilationConfig.pass_config.fuse_attn_quant fuses NVIDIA's FP8 "
            "attention: remove it"
        )
    mode = setup.compilation.get("cudagraph_mode")
    if isinstance(mode, str) and mode.upper() not in _MODES:
        yield (
            f"spec.engine.compilationConfig.cudagraph_mode {mode!r} is none of {', '.join(_MODES)}"
        )
    for dest, words in _NO_COMPLETIONS.items():
        word = setup.values.get(dest)
        if word in words:
            yield (
                f"spec.engine: --{dest}={word}: such a server answers no completion, by which "
                "pods become ready: remove it"
            )


def remarks(setup: Setup) -> Iterator[str]:
    """Options that have no effect, or another one."""
    for dest, reason in _IGNORED.items():
        if setup.values.get(dest) not in (None, False):
            flag = f"--{dest.replace('_', '-')}"
            yield f"spec.engine.args {flag} has no effect on Ascend: {reason}: remove it"
    passes = setup.compilation.get("pass_config")
    if isinstance(passes, Mapping) and passes.get("fuse_allreduce_rms") is True:
        yield (
            "spec.engine.compilationConfig.pass_config.fuse_allreduce_rms is NVIDIA's: Ascend's is "
            "spec.engine.additionalConfig.ascend_compilation_config.fuse_allreduce_rms"
        )
    if str(setup.compilation.get("cudagraph_mode", "")).upper() == "FULL_AND_PIECEWISE":
        yield (
            "spec.engine.compilationConfig.cudagraph_mode FULL_AND_PIECEWISE becomes PIECEWISE on "
            "Ascend"
        )
    block = setup.values.get("block_size")
    whole = setup.values.get("enable_chunked_prefill") is False
    paged = setup.engine.enable_prefix_caching is not False or not whole
    if isinstance(block, int) and block != _BLOCK and paged:
        yield (
            f"spec.engine: --block-size={block} becomes {_BLOCK} on Ascend while prefix "
            "caching or chunked prefill is on"
        )
    if setup.values.get("disable_log_stats"):
        yield (
            "spec.engine: --disable-log-stats: /metrics has no figures of the engine then, "
            "so hangs are not seen and nothing can be scaled by them"
        )
