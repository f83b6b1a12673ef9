"""Is what came something that can be loaded? Told by its own bookkeeping, in a few reads.

A repository that was filled half way lists no file that is missing. What does tell it: each
safetensors file says how long it is (https://huggingface.co/docs/safetensors, Format: 8 bytes N,
N bytes of JSON with `data_offsets`, then the data), and an index names every shard.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ascendllm.download.choice import ADAPTER_WEIGHTS
from ascendllm.exceptions import DownloadError

__all__ = ["verify", "verify_adapter"]

_HEADER_BYTES = 100 * 1000 * 1000
"""The longest header that the format's own reader takes."""
_INDEX_BYTES = 64 * 1024 * 1024


def verify(folder: Path, *, weights: bool) -> None:
    """Look at the model of a folder.

    Args:
        folder: Where it is.
        weights: Whether weights are wanted.

    Raises:
        DownloadError: `NotAModel`, `BrokenModel`.
    """
    if not (folder / "config.json").is_file() and not any(folder.glob("*.gguf")):
        raise DownloadError(
            "NotAModel",
            f"there is no config.json among the files ({_some(folder)}): name the repository or "
            "folder of the model itself",
        )
    if not weights:
        return
    for problem in (*_shards_missing(folder), *_lengths_wrong(folder)):
        raise _broken("BrokenModel", problem)


def verify_adapter(folder: Path) -> None:
    """Look at the LoRA adapter of a folder.

    Args:
        folder: Where it is.

    Raises:
        DownloadError: `NotAnAdapter`, `BrokenAdapter`.
    """
    if not (folder / "adapter_config.json").is_file():
        raise DownloadError(
            "NotAnAdapter",
            f"there is no adapter_config.json among the files ({_some(folder)}): name the "
            "repository or folder of the LoRA adapter itself",
        )
    if not any((folder / name).is_file() for name in ADAPTER_WEIGHTS):
        raise _broken("BrokenAdapter", f"there is none of {', '.join(ADAPTER_WEIGHTS)}")
    for problem in _lengths_wrong(folder):
        raise _broken("BrokenAdapter", problem)


def _broken(reason: str, problem: str) -> DownloadError:
    return DownloadError(reason, f"{problem}: the source itself is incomplete; have it filled anew")


def _shards_missing(folder: Path) -> Iterator[str]:
    for index in folder.glob("*.index.json"):
        if index.stat().st_size > _INDEX_BYTES:
            continue
        shards = _map(_read(index.read_bytes()).get("weight_map")).values()
        for shard in sorted({str(shard) for shard in shards}):
            if shard.endswith(".safetensors") and not (folder / shard).is_file():
                yield f"{index.name} names {shard}, which is not there"


def _lengths_wrong(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.safetensors")):
        size = path.stat().st_size
        with path.open("rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            if size < 8 or not 0 < header_size <= min(_HEADER_BYTES, size - 8):
                yield f"{path.name} of {size} bytes is no safetensors file"
                continue
            header = _read(file.read(header_size))
        ends = [
            offsets[1]
            for name, tensor in header.items()
            if name != "__metadata__"
            and isinstance(offsets := _map(tensor).get("data_offsets"), list)
            and len(offsets) == 2
            and isinstance(offsets[1], int)
        ]
        wanted = 8 + header_size + max(ends, default=0)
        if wanted != size:
            yield f"{path.name} has {size} bytes, by its own header {wanted}"


def _read(text: bytes) -> dict[str, Any]:
    try:
        return _map(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _some(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())[:5]
    return ", ".join(names) or "there are none"
