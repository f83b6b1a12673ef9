"""What `vllm serve` would refuse, told before any pod starts."""

from __future__ import annotations

import json

from ascendllm.decide.policies.given import Input
from ascendllm.engine import options
from ascendllm.engine.arguments import OWNED, tensor_parallel_size
from ascendllm.exceptions import SpecError

__all__ = [
    "engine_arguments_refused",
    "engine_config_too_large",
    "parallelism_does_not_fit",
    "too_long_for_one_step",
]

_CONFIG_LIMIT = 64 * 1024


def parallelism_does_not_fit(given: Input) -> SpecError | None:
    """tensor x pipeline x data parallel size must be the pod's NPUs: no card idle, none missing."""
    engine, count = given.spec.engine, given.spec.npu.count
    tensor = tensor_parallel_size(engine, given.spec.npu)
    product = tensor * engine.pipeline_parallel_size * engine.data_parallel_size
    if product == count:
        return None
    return SpecError(
        "ParallelismMismatch",
        f"spec.engine asks for tensorParallelSize {tensor} x pipelineParallelSize "
        f"{engine.pipeline_parallel_size} x dataParallelSize {engine.data_parallel_size} = "
        f"{product} NPUs, spec.npu.count gives a pod {count}: the two must be equal; change one",
    )


def engine_arguments_refused(given: Input) -> SpecError | None:
    """An option that `vllm serve` would refuse is named before any pod starts."""
    problems = options.load().problems(given.spec.engine.args or [], OWNED)
    if not problems:
        return None
    return SpecError(
        "InvalidEngineArgs",
        "spec.engine.args: " + "; ".join(problem.message for problem in problems),
    )


def engine_config_too_large(given: Input) -> SpecError | None:
    """Each of the two JSON settings becomes one argument, and Linux limits those to 128 KiB."""
    engine = given.spec.engine
    for field, value in (
        ("additionalConfig", engine.additional_config),
        ("compilationConfig", engine.compilation_config),
    ):
        size = len(json.dumps(value).encode()) if value is not None else 0
        if size > _CONFIG_LIMIT:
            return SpecError(
                "InvalidEngine",
                f"spec.engine.{field} is {size} bytes of JSON: at most {_CONFIG_LIMIT} can be "
                "given; leave out what is at its default",
            )
    return None


def too_long_for_one_step(given: Input) -> SpecError | None:
    """vLLM refuses a step smaller than the number of sequences in it."""
    tokens, sequences = given.spec.engine.max_num_batched_tokens, given.spec.engine.max_num_seqs
    if tokens is None or sequences is None or tokens >= sequences:
        return None
    return SpecError(
        "InvalidEngine",
        f"spec.engine.maxNumBatchedTokens {tokens} is less than maxNumSeqs {sequences}: a step "
        "holds at least one token of each sequence; raise the first or lower the second",
    )
