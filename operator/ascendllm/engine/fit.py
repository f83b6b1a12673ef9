"""Does a model fit the NPUs that it is given? Told by its numbers, before or while it is loaded.

Only what is certain is called a misfit: weights and KV cache are counted without activations,
graphs and the runtime's own memory (1 to 4 GiB an NPU), and a card is taken at its full size. What
passes here can still be too large; the server says that itself.

The rules are vLLM 0.18's: `verify_with_parallel_config` and `QKVParallelLinear` (heads),
`_get_and_verify_max_len` (context), `_check_enough_kv_cache_memory` (one whole request must fit),
and `supported_quantization` of vllm-ascend's platform.
KV bytes of a token: 2 x layers x heads of keys and values x size of a head x bytes of an element;
of compressed attention (MLA) layers x (kv_lora_rank + qk_rope_head_dim) x bytes, on every NPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ascendllm.api.engine import Engine
from ascendllm.engine import options
from ascendllm.engine.ascend.given import METHODS
from ascendllm.engine.model_numbers import ModelNumbers

__all__ = ["Layout", "Misfit", "bytes_of_token", "misfit"]

GIB = 2**30

_WHOLE_CONTEXT = frozenset(
    {
        "baichuan",
        "deepseek_v2",
        "deepseek_v3",
        "internlm2",
        "llama",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
    }
)
"""Models each of whose layers keeps all tokens; of others the KV cache is not reckoned up."""

_AS_MADE = (None, "default", "llama3", "mrope")
"""Ways of positions with which the context is `max_position_embeddings`; others multiply it."""

_OTHER_MODEL = ("hf_overrides", "hf_config_path", "config_format")
_OTHER_MEMORY = ("cpu_offload_gb", "offload_group_size", "kv_cache_memory_bytes")
"""Options with which the numbers, or the memory, are not what they seem."""

_MOST = 64
"""The largest tensor parallel size that a resource can ask for."""

_STEP = 1024
"""Contexts are proposed in thousands."""


@dataclass(frozen=True)
class Layout:
    """How a replica's NPUs share the model.

    Attributes:
        tensor: NPUs that share each layer.
        pipeline: Stages of layers.
        data: Copies, which share only the experts, and those only with `experts`.
        experts: Whether experts are spread over all NPUs (--enable-expert-parallel).
    """

    tensor: int
    pipeline: int = 1
    data: int = 1
    experts: bool = False


@dataclass(frozen=True)
class Misfit:
    """Why a model can't be served so.

    Attributes:
        reason: ParallelismMismatch, ContextTooLong, UnsupportedQuantization or ModelDoesNotFit.
        message: The figures, the rule, and what would fit.
    """

    reason: str
    message: str


def misfit(
    model: ModelNumbers,
    engine: Engine,
    layout: Layout,
    memory: int | None,
    env: Mapping[str, str],
) -> Misfit | None:
    """The first reason for which a server ends at its start, or None.

    Args:
        model: The model's numbers.
        engine: The settings as they take effect.
        layout: How its NPUs share it.
        memory: Bytes of one NPU; None where that is not known.
        env: `spec.runtime.env`.
    """
    values = options.load().values(engine.args or [])
    if any(dest in values for dest in _OTHER_MODEL):
        return None
    found = [
        *_heads(model, layout),
        *_layers(model, layout),
        *_context(model, engine, env),
        *_quantization(model),
    ]
    if memory is not None and not any(values.get(dest) for dest in _OTHER_MEMORY):
        found += _memory(model, engine, layout, memory * engine.memory_utilization)
    return found[0] if found else None


def bytes_of_token(model: ModelNumbers, layout: Layout) -> int | None:
    """KV bytes of one token on one NPU, at the least; None where it is not known.

    Keys and values of quantized weights may be quantized too, to one byte.
    """
    layers, heads, size = model.num_hidden_layers, model.key_value_heads, model.size_of_head
    if model.model_type not in _WHOLE_CONTEXT or model.mixed_layers or layers is None:
        return None
    element = 1 if model.quantization is not None else 2
    deep = -(-layers // layout.pipeline)
    if model.kv_lora_rank is not None:
        return deep * (model.kv_lora_rank + (model.qk_rope_head_dim or 0)) * element
    if heads is None or size is None:
        return None
    return 2 * deep * max(1, heads // layout.tensor) * size * element


def _heads(model: ModelNumbers, layout: Layout) -> Iterator[Misfit]:
    heads = model.num_attention_heads
    if heads is None or _shares(model, layout.tensor):
        return
    kept = model.key_value_heads
    fitting = [str(size) for size in range(1, min(heads, _MOST) + 1) if _shares(model, size)]
    yield Misfit(
        "ParallelismMismatch",
        f"the model has {heads} attention heads and {kept} heads of keys and values, which "
        f"tensorParallelSize {layout.tensor} does not share out evenly: set "
        f"spec.engine.tensorParallelSize to one of {', '.join(fitting)}, and the other sizes or "
        "spec.npu.count to match",
    )


def _shares(model: ModelNumbers, tensor: int) -> bool:
    """Each NPU gets as many heads; of keys and values one may be on several NPUs."""
    heads, kept = model.num_attention_heads or tensor, model.key_value_heads or tensor
    if model.kv_lora_rank is not None:
        kept = 1
    return heads % tensor == 0 and (kept % tensor == 0 or tensor % kept == 0)


def _layers(model: ModelNumbers, layout: Layout) -> Iterator[Misfit]:
    layers = model.num_hidden_layers
    if layers is not None and layers < layout.pipeline:
        yield Misfit(
            "ParallelismMismatch",
            f"the model has {layers} layers, fewer than spec.engine.pipelineParallelSize "
            f"{layout.pipeline}: lower that",
        )


def _context(model: ModelNumbers, engine: Engine, env: Mapping[str, str]) -> Iterator[Misfit]:
    own, asked = model.max_position_embeddings, engine.max_model_len
    if own is None or asked is None or asked <= own or model.rope_type not in _AS_MADE:
        return
    if env.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "0") not in ("0", ""):
        return
    yield Misfit(
        "ContextTooLong",
        f"spec.engine.maxModelLen {asked} is more than the {own} tokens that the model was made "
        f"for (max_position_embeddings in its config.json): set it to at most {own}, or stretch "
        "its positions by --hf-overrides in spec.engine.args",
    )


def _quantization(model: ModelNumbers) -> Iterator[Misfit]:
    if model.quantization is not None and model.quantization not in METHODS:
        yield Misfit(
            "UnsupportedQuantization",
            f"the model's files are quantized by {model.quantization}, and vLLM-Ascend has "
            f"{' and '.join(METHODS)}: take the BF16 weights, or ones quantized by ModelSlim",
        )


def _memory(model: ModelNumbers, engine: Engine, layout: Layout, budget: float) -> Iterator[Misfit]:
    if model.weight_bytes is None:
        return
    npus = layout.tensor * layout.pipeline * (layout.data if layout.experts else 1)
    weights = model.weight_bytes / npus
    has = (
        f"{_gib(budget)} GiB that spec.engine.memoryUtilization {engine.memory_utilization:g} "
        "gives vLLM of an NPU"
    )
    if weights > budget:
        needed = -(-model.weight_bytes // int(budget))
        yield Misfit(
            "ModelDoesNotFit",
            f"the weights take {_gib(model.weight_bytes)} GiB, {_gib(weights)} GiB on each of "
            f"{npus} NPUs, more than the {has}: give it more NPUs "
            f"(spec.npu.count, {_next(model, needed)} or more) or weights of fewer bits (W8A8 by "
            "ModelSlim takes half of BF16)",
        )
        return
    token = bytes_of_token(model, layout)
    length = engine.max_model_len or _own_length(model)
    left = budget - weights
    if token is None or length is None or token * length <= left:
        return
    whose = "spec.engine.maxModelLen" if engine.max_model_len else "the model's own context"
    longest = int(left // token) // _STEP * _STEP
    remedy = f"set spec.engine.maxModelLen to less than {longest}, or " if longest else ""
    yield Misfit(
        "ModelDoesNotFit",
        f"{whose} {length} takes {_gib(token * length)} GiB of KV cache on each NPU "
        f"({token / 1024:g} KiB a token), and beside {_gib(weights)} GiB of weights {_gib(left)} "
        f"GiB are left of the {has}: {remedy}give it more NPUs (spec.npu.count or spec.nodes)",
    )


def _own_length(model: ModelNumbers) -> int | None:
    return model.max_position_embeddings if model.rope_type in _AS_MADE else None


def _next(model: ModelNumbers, needed: int) -> int:
    """The next number of NPUs that can share each layer."""
    heads = model.num_attention_heads or needed
    sizes = range(needed, max(needed, heads) + 1)
    return next((size for size in sizes if _shares(model, size)), needed)


def _gib(size: float) -> str:
    return f"{size / GIB:.1f}"
