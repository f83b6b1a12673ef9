"""What a user writes: the `spec` of an AscendLLM.

A field stands here only once it is implemented, since the API server refuses by name what the
schema does not hold. Defaults that depend on other fields (`servedName`, `tensorParallelSize`) are
resolved by the operator and are not in the schema; a default that stands here never changes within
an API version, because a running model's revision is taken from it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ascendllm.api.kind_rules import KIND_RULES, kind_problems
from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import (
    Duration,
    ImageReference,
    Quantity,
    ResourceName,
    ServedName,
    cel,
    rules,
)
from ascendllm.api.sources import LocalObject, ModelSource
from ascendllm.api.validation import Validation

__all__ = ["Engine", "Model", "Npu", "Rollout", "Runtime", "Service", "Spec"]


class Model(ResourceModel):
    """Which model is served."""

    source: ModelSource
    """Where the weights are."""

    served_name: ServedName | None = None
    """The name that clients ask for; the resource's own name when unset."""

    kind: Literal["base", "instruct"] = "base"
    """A base model is checked by completions, an instruct model by chat."""


class Runtime(ResourceModel):
    """Which vLLM-Ascend image serves, and how its container is set up."""

    version: (
        Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
        | None
    ) = None
    """The vLLM-Ascend release, such as v0.18.0rc1; the operator's pinned version when unset."""

    variant: Literal["auto", "a2", "a3", "310p"] = "auto"
    """The image's build for a chip generation; auto follows npu.generation."""

    image: ImageReference | None = None
    """A whole image reference; overrides version and variant."""

    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """Kubernetes' own default when unset."""

    image_pull_secrets: Annotated[list[LocalObject], Field(max_length=8)] | None = None
    """Secrets of this namespace for a private registry."""

    env: (
        Annotated[
            dict[str, Annotated[str, Field(max_length=4096)]],
            Field(
                max_length=64,
                json_schema_extra=rules(
                    cel(
                        "self.all(name, size(name) <= 128 && "
                        "name.matches('^[A-Za-z_][A-Za-z0-9_]*$'))",
                        "names are letters, digits and '_', at most 128 characters",
                    ),
                    cel(
                        "!('ASCEND_VISIBLE_DEVICES' in self) && "
                        "!('ASCEND_RT_VISIBLE_DEVICES' in self)",
                        "ASCEND_VISIBLE_DEVICES and ASCEND_RT_VISIBLE_DEVICES must not be set: the "
                        "device plugin assigns the cards; remove them and set npu.count",
                    ),
                ),
            ),
        ]
        | None
    ) = None
    """Environment variables of the serving container."""

    shm_size: Quantity = "16Gi"
    """The size of /dev/shm, which tensor parallel workers talk through."""


class Npu(ResourceModel):
    """The NPUs of one pod."""

    resource: ResourceName = "huawei.com/Ascend910"
    """The extended resource that the device plugin registers."""

    count: Annotated[int, Field(ge=1, le=64)] = 1
    """NPUs (logical devices) a pod."""

    generation: Literal["auto", "A2", "A3", "310P"] = "auto"
    """The chips' generation; auto reads it from the nodes' label
    node.kubernetes.io/npu.chip.name."""


class Engine(ResourceModel):
    """How vLLM runs; each field is an option of `vllm serve`."""

    tensor_parallel_size: Annotated[int, Field(ge=1, le=64)] | None = None
    """NPUs that share each layer; npu.count divided by the other sizes when unset."""

    pipeline_parallel_size: Annotated[int, Field(ge=1, le=64)] = 1
    """Stages that the layers are split into."""

    data_parallel_size: Annotated[int, Field(ge=1, le=64)] = 1
    """Copies of the model within a pod."""

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

    additional_config: dict[str, Any] | None = None
    """vLLM-Ascend's own settings (--additional-config)."""

    compilation_config: dict[str, Any] | None = None
    """vLLM's compilation settings (--compilation-config)."""

    args: (
        Annotated[
            list[Annotated[str, Field(min_length=3, max_length=4096, pattern=r"^--[a-zA-Z]")]],
            Field(max_length=64),
        ]
        | None
    ) = None
    """Further options as `--option` or `--option=value`; unknown ones and those that a field
    of the resource sets are refused by name."""


class Service(ResourceModel):
    """The Service that clients use."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """The Service's type."""

    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    """The Service's port; the container listens on 8000 whatever this says."""

    annotations: (
        Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32)] | None
    ) = None
    """Annotations of the Service, such as a cloud's load balancer wants."""


class Rollout(ResourceModel):
    """How a new revision gets traffic."""

    gate: bool = True
    """Only a revision whose every check has passed gets traffic."""

    progress_deadline: Duration = "30m"
    """How long a revision may take until its pods are ready."""


class Spec(ResourceModel):
    """The model to serve, and the proof that it must give before it gets traffic."""

    model_config = ConfigDict(json_schema_extra=rules(*KIND_RULES))

    model: Model
    """Which model is served."""

    runtime: Runtime = Runtime()
    """Which vLLM-Ascend image serves."""

    npu: Npu = Npu()
    """The NPUs of one pod."""

    engine: Engine = Engine()
    """How vLLM runs."""

    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Pods that serve."""

    service: Service = Service()
    """The Service that clients use."""

    rollout: Rollout = Rollout()
    """How a new revision gets traffic."""

    validation: Validation | None = None
    """The proof that is asked for; none when unset."""

    suspend: bool = False
    """No pods and no jobs; history is kept."""

    @model_validator(mode="after")
    def _checks_fit_the_kind(self) -> Self:
        for problem in kind_problems(self.model.kind, self.validation):
            raise ValueError(problem)
        return self
