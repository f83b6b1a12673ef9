"""Which files of a source vLLM reads.

Repositories hold the same weights several times: vLLM reads safetensors where there are any
(`--load-format auto` looks for them first), and then no other form. Meta's repositories keep their
own form in `original/`, others consolidated files beside the shards that an index names. Of an
adapter vLLM reads adapter_config.json and one file of weights, by their names; what it was trained
by, or merged into, often lies beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from ascendllm.download.listing import RemoteFile

__all__ = ["ADAPTER_WEIGHTS", "chosen", "is_weights"]

ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")
"""The first of them that is there is read (vLLM 0.18, vllm/lora/lora_model.py)."""

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".npz", ".h5", ".msgpack", ".onnx")
_FOREIGN = (".h5", ".msgpack", ".onnx", ".onnx_data", ".tflite", ".mlmodel", ".ot", ".npz")
"""Weights of other frameworks."""

_IDLE = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".mp4", ".pdf", ".zip")
_ELSEWHERE = ("original", "metal", "onnx", "openvino", "coreml", "flax", "tf", ".git", ".cache")
"""Folders with another form of the same weights, and a client's own."""


def is_weights(path: str) -> bool:
    """Whether a file holds weights, not configuration, code or a tokenizer."""
    return path.lower().endswith(_WEIGHTS)


def chosen(files: Sequence[RemoteFile], *, weights: bool, adapter: bool) -> tuple[RemoteFile, ...]:
    """The files to fetch, small ones first, then weights by name.

    Args:
        files: All that the source holds.
        weights: Whether the weights are wanted.
        adapter: Whether it is a LoRA adapter.
    """
    kept = [file for file in files if not _is_idle(file.path)]
    picked = _of_adapter(kept) if adapter else _of_model(kept, weights)
    return tuple(sorted(picked, key=lambda file: (is_weights(file.path), file.path)))


def _of_adapter(kept: Sequence[RemoteFile]) -> list[RemoteFile]:
    top = {file.path for file in kept if "/" not in file.path}
    read = next((path for path in ADAPTER_WEIGHTS if path in top), None)
    return [
        file
        for file in kept
        if file.path in top and (file.path == read or not is_weights(file.path))
    ]


def _of_model(kept: Sequence[RemoteFile], weights: bool) -> list[RemoteFile]:
    top = {file.path for file in kept if "/" not in file.path}
    if any(path.endswith(".safetensors") for path in top):
        form: tuple[str, ...] = (".safetensors",)
    elif any(path.endswith((".bin", ".pt", ".pth")) for path in top):
        form = (".bin", ".pt", ".pth")
    else:
        form = _WEIGHTS
    consolidated = "model.safetensors.index.json" in top
    return [
        file
        for file in kept
        if not is_weights(file.path)
        or (
            weights
            and file.path.lower().endswith(form)
            and not (consolidated and PurePosixPath(file.path).name.startswith("consolidated"))
        )
    ]


def _is_idle(path: str) -> bool:
    parts = path.lower().split("/")
    if any(part in _ELSEWHERE for part in parts[:-1]) or parts[-1] == ".gitattributes":
        return True
    return parts[-1].endswith(_FOREIGN + _IDLE)
