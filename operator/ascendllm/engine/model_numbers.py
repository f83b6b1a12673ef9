"""The numbers of a model that tell whether it can be served as it is asked for.

They are `config.json`'s, by its own names, and the bytes of the weights. Whoever can see the files
writes them down: the init container of the serving pods, or the job that fetched them. Both are
written by others, so they are bounded and cleaned here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["ModelNumbers"]

_LARGEST = 2**50
_MOST = 2**16
"""Heads, layers."""

_TEXT_CHARACTERS = 40


@dataclass(frozen=True)
class ModelNumbers:
    """What is known of a model; None: not told.

    Attributes:
        model_type: Such as `llama`.
        torch_dtype: The weights' type.
        quantization: The method that the files name, such as `fp8`; `ascend` where ModelSlim left
            its description.
        rope_type: How positions are stretched, such as `yarn`; `default` where they are not.
        mixed_layers: Not every layer keeps the whole context.
        num_hidden_layers: Layers.
        num_attention_heads: Heads of queries.
        num_key_value_heads: Heads of keys and values; those of queries where not told.
        head_dim: Of one head; hidden_size over the heads where not told.
        hidden_size: Of the model.
        kv_lora_rank: With it, attention keeps one compressed vector a token (MLA).
        qk_rope_head_dim: What MLA keeps besides.
        max_position_embeddings: The longest context that it was made for.
        weight_bytes: Of all weights.
    """

    model_type: str | None = None
    torch_dtype: str | None = None
    quantization: str | None = None
    rope_type: str | None = None
    mixed_layers: bool = False
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_size: int | None = None
    kv_lora_rank: int | None = None
    qk_rope_head_dim: int | None = None
    max_position_embeddings: int | None = None
    weight_bytes: int | None = None

    @classmethod
    def read(cls, given: object) -> ModelNumbers | None:
        """The numbers of a mapping; what is none of them is left out, None where all is."""
        if not isinstance(given, Mapping):
            return None
        known = {
            field.name: value
            for field in fields(cls)
            if (value := _clean(field.name, str(field.type), given.get(field.name))) is not None
        }
        return cls(**known) if known else None

    @property
    def key_value_heads(self) -> int | None:
        """Heads of keys and values."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def size_of_head(self) -> int | None:
        """Elements of one head."""
        if self.head_dim is not None:
            return self.head_dim
        if self.hidden_size is None or self.num_attention_heads is None:
            return None
        return self.hidden_size // self.num_attention_heads


def _clean(name: str, kind: str, value: Any) -> Any:
    if kind.startswith("bool"):
        return True if value is True else None
    if kind.startswith("str"):
        plain = isinstance(value, str) and value.isprintable() and value != ""
        return value[:_TEXT_CHARACTERS] if plain else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= (_MOST if name.startswith("num_") else _LARGEST) else None
