"""Rules of `spec.engine.additionalConfig`, vLLM-Ascend's own settings."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ascendllm.engine.ascend.setup import Setup

__all__ = ["refusals", "remarks"]

_FIELD = "spec.engine.additionalConfig"

_SECTIONS: Mapping[str, frozenset[str]] = {
    "ascend_compilation_config": frozenset(
        {
            "enable_npugraph_ex",
            "enable_static_kernel",
            "fuse_allreduce_rms",
            "fuse_muls_add",
            "fuse_norm_quant",
            "fuse_qknorm_rope",
        }
    ),
    "ascend_fusion_config": frozenset({"fusion_ops_gmmswigluquant"}),
    "eplb_config": frozenset(
        {
            "algorithm_execution_interval",
            "dynamic_eplb",
            "eplb_policy_type",
            "expert_heat_collection_interval",
            "expert_map_path",
            "expert_map_record_path",
            "num_redundant_experts",
        }
    ),
    "finegrained_tp_config": frozenset(
        {
            "embedding_tensor_parallel_size",
            "lmhead_tensor_parallel_size",
            "mlp_tensor_parallel_size",
            "oproj_tensor_parallel_size",
        }
    ),
    "weight_prefetch_config": frozenset({"enabled", "prefetch_ratio"}),
    "xlite_graph_config": frozenset({"enabled", "full_mode"}),
}
"""The mappings inside it, and their keys."""

_PLAIN = frozenset(
    {
        "SLO_limits_for_dynamic_batch",
        "dump_config_path",
        "enable_async_exponential",
        "enable_cpu_binding",
        "enable_kv_nz",
        "enable_mc2_hierarchy_comm",
        "enable_shared_expert_dp",
        "enable_sparse_c8",
        "layer_sharding",
        "multistream_overlap_gate",
        "multistream_overlap_shared_expert",
        "pa_shape_list",
        "recompute_scheduler_enable",
        "refresh",
    }
)

_COUNTS = (
    "algorithm_execution_interval",
    "expert_heat_collection_interval",
    "num_redundant_experts",
)


def refusals(setup: Setup) -> Iterator[str]:
    """Values on which a server ends."""
    for name, value in setup.additional.items():
        if name in _SECTIONS and not isinstance(value, Mapping):
            yield f"{_FIELD}.{name} {value!r} must be a mapping of {_listed(_SECTIONS[name])}"
    yield from _balancing(setup)
    yield from _fine_grained(setup)
    yield from _xlite(setup)
    yield from _communication(setup)
    compilation = setup.section("ascend_compilation_config")
    if compilation.get("enable_static_kernel") and not compilation.get("enable_npugraph_ex", True):
        yield (
            f"{_FIELD}.ascend_compilation_config.enable_static_kernel needs enable_npugraph_ex: "
            "switch both on or both off"
        )
    if setup.additional.get("enable_kv_nz") and _transfer_role(setup) != "kv_consumer":
        yield (
            f"{_FIELD}.enable_kv_nz is for decode nodes: give --kv-transfer-config with kv_role "
            "kv_consumer, or remove it"
        )


def remarks(setup: Setup) -> Iterator[str]:
    """Keys that are ignored in silence."""
    for name, value in setup.additional.items():
        if name in _SECTIONS:
            if name != "eplb_config" and isinstance(value, Mapping):
                yield from _ignored(value, _SECTIONS[name], f"{_FIELD}.{name}")
        elif name not in _PLAIN:
            yield from _ignored({name: value}, _PLAIN | _SECTIONS.keys(), _FIELD)


def _ignored(given: Mapping[str, Any], known: frozenset[str], field: str) -> Iterator[str]:
    for key in given:
        if key in known:
            continue
        home = next((name for name, keys in _SECTIONS.items() if key in keys), None)
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
        if home is not None:
            hint = f"it belongs into {_FIELD}.{home}"
        else:
            hint = f"did you mean {near[0]}?" if near else "remove it"
        yield f"{field}.{key} is ignored by vLLM-Ascend 0.18, which has no such key: {hint}"


def _balancing(setup: Setup) -> Iterator[str]:
    given = setup.section("eplb_config")
    field = f"{_FIELD}.eplb_config"
    for key in given.keys() - _SECTIONS["eplb_config"]:
        yield f"{field}.{key} is unknown: it takes {_listed(_SECTIONS['eplb_config'])}"
    for key in _COUNTS:
        value = given.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            yield f"{field}.{key} {value!r} must be an integer of at least 0"
    if given.get("eplb_policy_type", 1) not in (0, 1, 2, 3):
        yield f"{field}.eplb_policy_type {given['eplb_policy_type']!r} must be 0, 1, 2 or 3"
    for key in ("expert_map_path", "expert_map_record_path"):
        value = given.get(key)
        if value is not None and not str(value).endswith(".json"):
            yield f"{field}.{key} {value!r} must name a .json file"
    dynamic = given.get("dynamic_eplb") or given.get("expert_map_record_path") is not None
    switched = setup.env.get("DYNAMIC_EPLB", "").lower() in ("true", "1")
    if dynamic and not switched and setup.env.get("EXPERT_MAP_RECORD") != "true":
        yield (
            f"{field}.dynamic_eplb needs DYNAMIC_EPLB=true (or EXPERT_MAP_RECORD=true) in "
            "spec.runtime.env: set it"
        )


def _fine_grained(setup: Setup) -> Iterator[str]:
    copies = setup.engine.data_parallel_size
    given = setup.section("finegrained_tp_config")
    for key in sorted(_SECTIONS["finegrained_tp_config"] & given.keys()):
        size = given[key]
        if isinstance(size, bool) or not isinstance(size, int):
            yield f"{_FIELD}.finegrained_tp_config.{key} {size!r} must be an integer"
        elif size > 0 and copies % size:
            yield (
                f"{_FIELD}.finegrained_tp_config.{key} {size} must divide "
                f"spec.engine.dataParallelSize {copies}: change one"
            )
    if _positive(given.get("oproj_tensor_parallel_size")) and (
        not setup.graphs or _transfer_role(setup) != "kv_consumer"
    ):
        yield (
            f"{_FIELD}.finegrained_tp_config.oproj_tensor_parallel_size is for decode nodes with "
            "graphs: give --kv-transfer-config with kv_role kv_consumer and no enforceEager, or "
            "remove it"
        )


def _xlite(setup: Setup) -> Iterator[str]:
    if not setup.section("xlite_graph_config").get("enabled"):
        return
    field = f"{_FIELD}.xlite_graph_config.enabled"
    if setup.engine.pipeline_parallel_size > 1:
        yield f"{field} needs spec.engine.pipelineParallelSize 1: change one"
    if setup.values.get("speculative_config"):
        yield f"{field} excludes --speculative-config: remove one"


def _communication(setup: Setup) -> Iterator[str]:
    size = _number(setup.env.get("VLLM_ASCEND_FLASHCOMM2_PARALLEL_SIZE"))
    sharding = setup.additional.get("layer_sharding")
    if size > 0 and (size >= setup.tensor or setup.tensor % size):
        yield (
            f"spec.runtime.env VLLM_ASCEND_FLASHCOMM2_PARALLEL_SIZE={size} must divide "
            f"tensorParallelSize {setup.tensor} and be smaller: change one"
        )
    if size > 0 and sharding and sharding != ["o_proj"]:
        yield (
            f"{_FIELD}.layer_sharding {sharding!r} must be [o_proj] alone with "
            "VLLM_ASCEND_FLASHCOMM2_PARALLEL_SIZE: change one"
        )
    for name in ("VLLM_ASCEND_ENABLE_FLASHCOMM1", "VLLM_ASCEND_ENABLE_FLASHCOMM"):
        if setup.on(name) and setup.tensor == 1:
            yield (
                f"spec.runtime.env {name}=1 needs a tensorParallelSize above 1: remove it, or "
                "raise that"
            )
    if setup.additional.get("enable_mc2_hierarchy_comm") and setup.on(
        "VLLM_ASCEND_ENABLE_FUSED_MC2"
    ):
        yield (
            f"{_FIELD}.enable_mc2_hierarchy_comm excludes spec.runtime.env "
            "VLLM_ASCEND_ENABLE_FUSED_MC2: remove one"
        )


def _transfer_role(setup: Setup) -> object:
    transfer = setup.values.get("kv_transfer_config")
    return transfer.get("kv_role") if isinstance(transfer, Mapping) else None


def _positive(value: object) -> bool:
    return isinstance(value, int) and value > 0


def _number(text: str | None) -> int:
    try:
        return int(text or "0")
    except ValueError:
        return 0


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
