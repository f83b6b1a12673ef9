"""Rules of single chip generations."""

from __future__ import annotations

from collections.abc import Iterator

from ascendllm.engine.ascend.setup import Setup

__all__ = ["refusals", "remarks"]


def refusals(setup: Setup) -> Iterator[str]:
    """What the 310P cannot do."""
    dtype = setup.engine.dtype
    if setup.generation == "310P" and dtype not in (None, "float16", "half"):
        yield (
            f"spec.engine.dtype {dtype}: the 310P computes in float16: set that, or leave it unset"
        )


def remarks(setup: Setup) -> Iterator[str]:
    """What the 310P does unasked."""
    if setup.generation != "310P":
        return
    if setup.engine.enforce_eager is False:
        yield "spec.engine.enforceEager false: the 310P is only supported without graphs"
    if setup.engine.max_model_len is None:
        yield (
            "spec.engine.maxModelLen is unset: on the 310P a mask of its square is allocated, so "
            "a long context of the model's own may not fit: set it"
        )
