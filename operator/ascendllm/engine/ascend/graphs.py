"""How many graphs vLLM-Ascend captures: a budget of streams, not what was asked for.

Source: vllm-ascend 0.18.0rc1, `utils.py` (`update_aclgraph_sizes`); the sizes that are asked for
are vLLM's (`VllmConfig._set_cudagraph_sizes`), up to the sequences at once and 512 at the most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ascendllm.engine.ascend.setup import Setup
from ascendllm.engine.model_numbers import ModelNumbers

__all__ = ["capture_limit", "captured_sizes", "remarks_of_model"]

_STREAMS = 1800
_STREAMS_OF_A_GROUP = 40
_MOST = 512
_DEFAULT_SEQUENCES = 256
_PIECEWISE = ("", "PIECEWISE", "FULL_AND_PIECEWISE")


def remarks_of_model(setup: Setup, model: ModelNumbers) -> Iterator[str]:
    """That fewer batch sizes get a graph than there are."""
    layers = model.num_hidden_layers
    mode = str(setup.compilation.get("cudagraph_mode", "")).upper()
    if layers is None or not setup.graphs or mode not in _PIECEWISE:
        return
    if setup.values.get("speculative_config"):
        return  # the draft's layers count too, and nobody has looked at them
    sizes, wide = len(captured_sizes(setup)), setup.env.get("HCCL_OP_EXPANSION_MODE") == "AIV"
    groups = sum(size > 1 for size in (setup.engine.data_parallel_size, setup.tensor))
    limit = capture_limit(layers, groups, wide=wide)
    if limit >= sizes:
        return
    more = capture_limit(layers, groups, wide=True)
    hint = (
        f"; HCCL_OP_EXPANSION_MODE=AIV in spec.runtime.env allows {min(more, sizes)}"
        if not wide and more > limit
        else ""
    )
    yield (
        f"graphs are captured for {limit} of {sizes} batch sizes, since {layers} layers take the "
        f"NPU's streams up; batches of the others are padded{hint}"
    )


def captured_sizes(setup: Setup) -> Sequence[int]:
    """The batch sizes that vLLM asks for a graph of."""
    for given in (
        setup.values.get("cudagraph_capture_sizes"),
        setup.compilation.get("cudagraph_capture_sizes"),
    ):
        if isinstance(given, list) and given:
            return given
    top = setup.values.get("max_cudagraph_capture_size")
    if not isinstance(top, int):
        top = min(setup.engine.max_num_seqs or _DEFAULT_SEQUENCES, _MOST)
    return [
        *(size for size in (1, 2, 4) if size <= top),
        *range(8, min(top + 1, 256), 8),
        *range(256, top + 1, 16),
    ]


def capture_limit(layers: int, groups: int, *, wide: bool) -> int:
    """How many sizes the streams allow.

    Args:
        layers: Of the model.
        groups: Of tensor and data parallel, how many are more than 1.
        wide: HCCL_OP_EXPANSION_MODE=AIV; reckoned for a dense model without expert parallel.
    """
    graph = layers + 1
    if wide:
        factor = 1 + groups
        return int((_STREAMS - factor * graph) / graph / factor)
    return int((_STREAMS - groups * _STREAMS_OF_A_GROUP) / graph / (1 + groups * 2))
