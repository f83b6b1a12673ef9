"""The log of a server while it loads, with the messages of vLLM 0.18 and their timing.

Source: vllm 0.18.0, `model_loader/weight_utils.py` and `v1/worker/gpu_model_runner.py` (tqdm),
`default_loader.py`; vllm-ascend 0.18.0rc1, `worker/model_runner_v1.py`, `worker/worker.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["front_end_trace", "load_log"]

_SHARDS = 4
_GRAPHS = 5


def load_log(model: str, load: float, capture: float) -> Iterator[tuple[float, str]]:
    """Yield lines, each with the seconds to wait before it; the sum is `load` plus `capture`.

    Args:
        model: The model's name or folder.
        load: Seconds to load the weights.
        capture: Seconds to capture graphs; 0 for a server that captures none.
    """
    yield 0, f"Starting to load model {model}..."
    for shard in range(_SHARDS):
        yield 0, _bar("Loading safetensors checkpoint shards", shard, _SHARDS, " Completed")
        yield load / _SHARDS, ""
    yield 0, f"Loading weights took {load:.2f} seconds"
    yield 0, "Available KV cache memory: 30.00 GiB"
    if capture > 0:
        for graph in range(_GRAPHS):
            yield 0, _bar("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE)", graph, _GRAPHS)
            yield capture / _GRAPHS, ""
        yield 0, f"Graph capturing finished in {capture:.0f} secs, took 0.31 GiB"


def front_end_trace() -> str:
    """The traceback that vLLM's front end logs after the engine's error.

    It is longer than the part of a log that the kubelet keeps as a termination message.
    """
    frames = "\n".join(
        f'  File "/usr/local/lib/python3.11/site-packages/vllm/v1/engine/core_client.py", line {n}'
        "\n    self._wait_for_engine_startup(output_address, coordinator)"
        for n in range(600, 625)
    )
    return (
        f"Traceback (most recent call last):\n{frames}\n"
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
        "proc(s): {}"
    )


def _bar(what: str, done: int, total: int, word: str = "") -> str:
    percent = 100 * done // total
    drawn = f" {done}/{total}" if word else f"{'█' * done}{' ' * (total - done)}| {done}/{total}"
    between = f"{word} |" if word else "|"
    return f"{what}: {percent:3}%{between}{drawn} [00:00<?, ?it/s]"
