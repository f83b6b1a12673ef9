"""The numbers of a configuration that tell what a model, or an adapter, needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["adapter_numbers", "numbers"]

_CONFIG_BYTES = 4 * 1024 * 1024
_LARGEST = 2**40

_INTEGERS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "kv_lora_rank",
    "qk_rope_head_dim",
    "num_experts",
    "n_routed_experts",
)
_TEXTS = ("model_type", "torch_dtype", "dtype")


def numbers(folder: Path) -> dict[str, Any]:
    """What of config.json, as it is named there, a fit check can use; {} where it cannot be read.

    As `ascendllm.engine.model_numbers` reads them. Of a model that sees and reads, the numbers are
    those of the part that reads (`text_config`). `quantization` is the method: of
    `quantization_config`, or ascend where ModelSlim, Ascend's own tool, left its description.
    """
    config = _read(folder / "config.json")
    if config is None:
        return {}
    inner = config.get("text_config")
    layers = [inner, config] if isinstance(inner, dict) else [config]
    found: dict[str, Any] = {}
    architectures = config.get("architectures")
    if isinstance(architectures, list):
        found["architectures"] = [str(item)[:80] for item in architectures[:4]]
    for key in _INTEGERS:
        value = _first(layers, key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST:
            found[key] = value
    for key in _TEXTS:
        value = _first(layers, key)
        if isinstance(value, str):
            found.setdefault("torch_dtype" if key == "dtype" else key, value[:40])
    quantization = _first(layers, "quantization_config")
    if isinstance(quantization, dict) and isinstance(quantization.get("quant_method"), str):
        found["quantization"] = quantization["quant_method"][:40]
    elif any(folder.glob("quant_model_description*.json")):
        found["quantization"] = "ascend"
    rope = _first(layers, "rope_scaling") or _first(layers, "rope_parameters")
    kind = (rope.get("rope_type") or rope.get("type")) if isinstance(rope, dict) else None
    found["rope_type"] = str(kind or "default")[:40]
    of_layers = _first(layers, "layer_types")
    mixed = isinstance(of_layers, list) and any(kind != "full_attention" for kind in of_layers)
    if mixed or _first(layers, "use_sliding_window") is True:
        found["mixed_layers"] = True
    return found


def adapter_numbers(folder: Path) -> dict[str, Any]:
    """`r` of adapter_config.json, the adapter's rank; {} where it cannot be read."""
    rank = (_read(folder / "adapter_config.json") or {}).get("r")
    is_one = isinstance(rank, int) and not isinstance(rank, bool) and 0 < rank <= _LARGEST
    return {"r": rank} if is_one else {}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > _CONFIG_BYTES:
            return None
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


def _first(layers: Sequence[Mapping[str, Any]], key: str) -> Any:
    return next((layer[key] for layer in layers if layer.get(key) is not None), None)
