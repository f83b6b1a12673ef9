"""Adapters that are served beside the model: `spec.engine.loras`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ascendllm.api.model import ResourceModel
from ascendllm.api.model_source import SOURCE_RULES, ModelCache, ModelSource, cache_problem
from ascendllm.api.scalars import cel, rules

__all__ = ["Lora", "Loras"]

_ONCE = "each adapter's name may stand here once: rename or remove the second one"


class Lora(ResourceModel):
    """A LoRA adapter of the model."""

    model_config = ConfigDict(json_schema_extra=rules(*SOURCE_RULES))

    name: Annotated[
        str,
        Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"),
    ]
    """The name that clients ask for instead of the model's."""

    source: ModelSource
    """Where the folder with adapter_config.json is."""

    cache: ModelCache | None = None
    """Where a source that is downloaded goes."""

    @model_validator(mode="after")
    def _cache_fits_the_source(self) -> Self:
        problem = cache_problem(self.source, self.cache)
        if problem is not None:
            raise ValueError(problem)
        return self


def _require_unique(loras: list[Lora]) -> list[Lora]:
    names = [lora.name for lora in loras]
    if len(set(names)) < len(names):
        raise ValueError(_ONCE)
    return loras


Loras = Annotated[
    list[Lora],
    Field(
        min_length=1,
        max_length=32,
        json_schema_extra=rules(
            cel("self.all(a, self.exists_one(b, b.name == a.name))", _ONCE),
        ),
    ),
    AfterValidator(_require_unique),
]
"""Several adapters, each name once."""
