"""Which files of a source vLLM reads.

Repositories hold the same weights several times: vLLM reads safetensors where there are any
(`--load-format auto` looks for them first), and then no other form. Meta's repositories keep their
own form in `original/`, others consolidated files beside the shards that an index names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from ascendllm.download.listing import RemoteFile

__all__ = ["chosen", "is_weights"]

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".npz", ".h5", ".msgpack", ".onnx")
_FOREIGN = (".h5", ".msgpack", ".onnx", ".onnx_data", ".tflite", ".mlmodel", ".ot", ".npz")
"""Weights of other frameworks."""

_IDLE = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".mp4", ".pdf", ".zip")
_ELSEWHERE = ("original", "metal", "onnx", "openvino", "coreml", "flax", "tf", ".git", ".cache")
"""Folders with another form of the same weights, and a client's own."""


def is_weights(path: str) -> bool:
    """Whether a file holds weights, not configuration, code or a tokenizer."""
    return path.lower().endswith(_WEIGHTS)


def chosen(files: Sequence[RemoteFile], *, weights: bool) -> tuple[RemoteFile, ...]:
    """The files to fetch, small ones first, then weights by name.

    Args:
        files: All that the source holds.
        weights: Whether the weights are wanted.
    """
    kept = [file for file in files if not _is_idle(file.path)]
    top = {file.path for file in kept if "/" not in file.path}
    if any(path.endswith(".safetensors") for path in top):
        form: tuple[str, ...] = (".safetensors",)
    elif any(path.endswith((".bin", ".pt", ".pth")) for path in top):
        form = (".bin", ".pt", ".pth")
    else:
        form = _WEIGHTS
    consolidated = "model.safetensors.index.json" in top
    picked = [
        file
        for file in kept
        if not is_weights(file.path)
        or (
            weights
            and file.path.lower().endswith(form)
            and not (consolidated and PurePosixPath(file.path).name.startswith("consolidated"))
        )
    ]
    return tuple(sorted(picked, key=lambda file: (is_weights(file.path), file.path)))


def _is_idle(path: str) -> bool:
    parts = path.lower().split("/")
    if any(part in _ELSEWHERE for part in parts[:-1]) or parts[-1] == ".gitattributes":
        return True
    return parts[-1].endswith(_FOREIGN + _IDLE)
