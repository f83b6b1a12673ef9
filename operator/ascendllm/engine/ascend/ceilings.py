"""The longest contexts that Huawei Cloud's ModelArts guide gives for models on its cards.

They were found with vLLM 0.3.2 at a memory utilization of 0.9 and are advice: one of them (Llama 2
7B, 126,976 tokens) could not even hold its own KV cache. Source: ModelArts, "LLM inference,
Ascend-vLLM", February 2025.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["CEILINGS", "ceiling_remark"]

Key = tuple[int, int]

CEILINGS: Mapping[str, Mapping[Key, int]] = {
    "qwen1.5-72b": {(4, 64): 24_576, (8, 32): 8192},
    "qwen-72b": {(4, 64): 24_576, (8, 32): 8192},
    "llama3-70b": {(4, 64): 32_768, (8, 32): 8192},
    "llama2-70b": {(4, 64): 98_304, (8, 32): 32_768},
    "llama-65b": {(4, 64): 24_576, (8, 32): 8192},
    "qwen1.5-32b": {(2, 64): 65_536, (4, 32): 24_576},
    "qwen1.5-7b": {(1, 64): 49_152, (1, 32): 16_384},
    "qwen-7b": {(1, 64): 49_152, (1, 32): 16_384},
    "llama3-8b": {(1, 64): 98_304, (1, 32): 32_768},
    "llama2-7b": {(1, 64): 126_976, (1, 32): 16_384},
    "chatglm3-6b": {(1, 64): 126_976, (1, 32): 65_536},
    "chatglm2-6b": {(1, 64): 126_976, (1, 32): 65_536},
    "qwen1.5-14b": {(1, 64): 24_576, (2, 32): 24_576},
    "qwen-14b": {(1, 64): 24_576, (2, 32): 24_576},
    "llama2-13b": {(1, 64): 24_576, (2, 32): 24_576},
}
"""Model to (cards, GB of each) to tokens."""


def ceiling_remark(model: str, npus: int, memory: int, length: int | None) -> str | None:
    """That a context is longer than the guide's for the same cards.

    Args:
        model: The last part of a path or a repository, such as `Meta-Llama-3-8B-Instruct`.
        npus: Of a replica.
        memory: GB of each.
        length: spec.engine.maxModelLen.
    """
    name = _plain(model)
    for known, ceilings in CEILINGS.items():
        limit = ceilings.get((npus, memory))
        if limit is None or length is None or length <= limit or _plain(known) not in name:
            continue
        return (
            f"spec.engine.maxModelLen {length} is above the {limit} tokens that Huawei's guide "
            f"gives for {known} on {npus} x {memory} GB (vLLM 0.3.2): few such requests run at once"
        )
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
