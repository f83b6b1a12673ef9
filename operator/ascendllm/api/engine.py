"""How vLLM runs: `spec.engine`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ascendllm.api.lora import Loras
from ascendllm.api.model import ResourceModel

__all__ = ["Engine"]


class Engine(ResourceModel):
    """How vLLM runs; each field is an option of `vllm serve`."""

    tensor_parallel_size: Annotated[int, Field(ge=1, le=64)] | None = None
    """NPUs that share each layer; npu.count x nodes divided by the other sizes when unset."""

    pipeline_parallel_size: Annotated[int, Field(ge=1, le=64)] = 1
    """Stages that the layers are split into."""

    data_parallel_size: Annotated[int, Field(ge=1, le=64)] = 1
    """Copies of the model within a replica; over several nodes, as many in each pod."""

    max_model_len: Annotated[int, Field(ge=1, le=16_777_216)] | None = None
    """The longest context (prompt and answer), in tokens; the model's own when unset."""

    max_num_seqs: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """The most requests that run at once."""

    max_num_batched_tokens: Annotated[int, Field(ge=1, le=16_777_216)] | None = None
    """The most tokens of one step."""

    memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    """The share of an NPU's memory that vLLM takes."""

    dtype: Literal["auto", "bfloat16", "float", "float16", "float32", "half"] | None = None
    """The weights' and activations' type; vLLM's own choice when unset."""

    quantization: (
        Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")] | None
    ) = None
    """The quantization method, such as ascend; read from the model's files when unset."""

    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] | None = None
    """The seed of sampling."""

    trust_remote_code: bool = False
    """Run Python code that comes with the model."""

    enforce_eager: bool | None = None
    """Never capture graphs."""

    enable_prefix_caching: bool | None = None
    """Keep the KV cache of prompts' common beginnings; vLLM's own choice when unset."""

    profile: Literal["latency", "balanced", "throughput"] | None = None
    """Fills unset fields for a purpose: latency (maxNumSeqs 8, maxNumBatchedTokens 2048), balanced
    (128, 8192) or throughput (512, 16384). NPUs and parallelism stay as they are."""

    additional_config: Annotated[dict[str, Any], Field(max_length=256)] | None = None
    """vLLM-Ascend's own settings (--additional-config); at most 64 KiB and 32 levels deep."""

    compilation_config: Annotated[dict[str, Any], Field(max_length=256)] | None = None
    """vLLM's compilation settings (--compilation-config); at most 64 KiB and 32 levels deep."""

    loras: Loras | None = None
    """LoRA adapters that are served under names of their own. Ranks above 16 need
    --max-lora-rank in args, several adapters in one step --max-loras."""

    config: Annotated[dict[str, Any], Field(max_length=64)] | None = None
    """The mapping of a --config file of vllm serve, such as {max-num-batched-tokens: 8192}. It
    fills unset fields and adds options; judged as args are."""

    args: (
        Annotated[
            list[Annotated[str, Field(min_length=3, max_length=4096, pattern=r"^--[a-zA-Z]")]],
            Field(max_length=64),
        ]
        | None
    ) = None
    """Further options as `--option` or `--option=value`, one of several values once a value;
    unknown ones and those that a field of the resource sets are refused by name."""
