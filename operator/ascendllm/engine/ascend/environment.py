"""Rules of `spec.runtime.env`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from ascendllm.engine.ascend.setup import Setup

__all__ = ["refusals", "remarks"]

_INTEGERS = frozenset(
    {
        "COMPILE_CUSTOM_KERNELS",
        "MSMONITOR_USE_DAEMON",
        "VLLM_ASCEND_BALANCE_SCHEDULING",
        "VLLM_ASCEND_ENABLE_CONTEXT_PARALLEL",
        "VLLM_ASCEND_ENABLE_FLASHCOMM",
        "VLLM_ASCEND_ENABLE_FLASHCOMM1",
        "VLLM_ASCEND_ENABLE_FUSED_MC2",
        "VLLM_ASCEND_ENABLE_MATMUL_ALLREDUCE",
        "VLLM_ASCEND_ENABLE_MLAPO",
        "VLLM_ASCEND_ENABLE_NZ",
        "VLLM_ASCEND_FLASHCOMM2_PARALLEL_SIZE",
        "VLLM_ASCEND_FUSION_OP_TRANSPOSE_KV_CACHE_BY_BLOCK",
    }
)
"""Read with `int(…)`: `true` is a ValueError at start. DYNAMIC_EPLB is a word instead."""

_BUILD_ONLY = frozenset(
    {"CMAKE_BUILD_TYPE", "CXX_COMPILER", "C_COMPILER", "MAX_JOBS", "SOC_VERSION", "VERBOSE"}
)

_DEAD: Mapping[str, str] = {
    "ASCEND_OP_FUSION": "fusion is on; spec.engine.additionalConfig.ascend_compilation_config and "
    "ascend_fusion_config switch single ones",
    "ASCEND_PARALLEL_STREAM_NUM": "use TASK_QUEUE_ENABLE, HCCL_OP_EXPANSION_MODE=AIV, or "
    "spec.engine.additionalConfig.multistream_overlap_shared_expert",
    "DETAIL_TIME_LOG": "use VLLM_LOGGING_LEVEL=DEBUG or --profiler-config",
    "USE_MM_ALL_REDUCE_OP": "use VLLM_ASCEND_ENABLE_MATMUL_ALLREDUCE=1 (A2)",
    "USE_VOCAB_PARALLEL": "the vocabulary is split by tensor parallelism anyway",
    "VLLM_USE_ASCEND": "the plugin of vLLM-Ascend activates itself",
}
"""Variables that circulate and that no release of vLLM or vLLM-Ascend has read, and what does what
they promise. Searched in all 42 tags of vllm-ascend and in vLLM 0.3.3, 0.7.3 and 0.18.0."""


def refusals(setup: Setup) -> Iterator[str]:
    """Variables on which a server ends."""
    for name, value in sorted(setup.env.items()):
        if name in _INTEGERS and not _integer(value):
            yield (
                f"spec.runtime.env {name}={value!r} is no integer, and vLLM-Ascend reads it as "
                "one: write 1 or 0"
            )
    yield from _allocator(setup)
    if setup.env.get("ASCEND_LAUNCH_BLOCKING") == "1" and setup.graphs:
        yield (
            "spec.runtime.env ASCEND_LAUNCH_BLOCKING=1 cannot be combined with graphs: remove it, "
            "or set spec.engine.enforceEager to true"
        )
    plugins = setup.env.get("VLLM_PLUGINS")
    if plugins is not None and "ascend" not in (part.strip() for part in plugins.split(",")):
        yield (
            f"spec.runtime.env VLLM_PLUGINS={plugins!r} leaves out ascend, without which vLLM "
            "finds no device: add it, or remove the variable"
        )


def remarks(setup: Setup) -> Iterator[str]:
    """Variables that no server reads, or reads otherwise than is meant."""
    for name, value in sorted(setup.env.items()):
        if name in _DEAD:
            yield (
                f"spec.runtime.env {name} is read by no release of vLLM or vLLM-Ascend: remove "
                f"it; {_DEAD[name]}"
            )
        elif name in _BUILD_ONLY:
            yield (
                f"spec.runtime.env {name} is read while vLLM-Ascend is built and never by a "
                "server: remove it"
            )
        elif name.startswith("VLLM_ASCEND_") and name not in _INTEGERS:
            near = difflib.get_close_matches(name, _INTEGERS, n=1, cutoff=0.8)
            hint = f"did you mean {near[0]}?" if near else "remove it"
            yield f"spec.runtime.env {name} is not read by vLLM-Ascend 0.18: {hint}"
        elif name == "DYNAMIC_EPLB" and value.lower() not in ("true", "false", "1", "0"):
            yield f"spec.runtime.env DYNAMIC_EPLB={value!r} counts as false: write true or false"
    if setup.values.get("enable_sleep_mode") and setup.env.get("VLLM_ASCEND_ENABLE_NZ") != "0":
        yield (
            "spec.engine: --enable-sleep-mode without spec.runtime.env "
            "VLLM_ASCEND_ENABLE_NZ=0: the server sleeps and cannot be woken up"
        )


def _integer(value: str) -> bool:
    try:
        int(value)
    except ValueError:
        return False
    return True


def _allocator(setup: Setup) -> Iterator[str]:
    settings = setup.env.get("PYTORCH_NPU_ALLOC_CONF", "")
    if "expandable_segments:True" not in settings.replace(" ", ""):
        return
    for other in ("max_split_size_mb", "garbage_collection_threshold"):
        if other in settings:
            yield (
                f"spec.runtime.env PYTORCH_NPU_ALLOC_CONF={settings!r}: {other} and "
                "expandable_segments:True exclude each other: remove one"
            )
    if setup.values.get("enable_sleep_mode"):
        yield (
            "spec.runtime.env PYTORCH_NPU_ALLOC_CONF has expandable_segments:True, which "
            "--enable-sleep-mode cannot be combined with: remove one"
        )
