"""Which model is served: `spec.model`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, model_validator

from ascendllm.api.model import ResourceModel
from ascendllm.api.model_source import SOURCE_RULES, ModelCache, ModelSource, cache_problem
from ascendllm.api.scalars import ServedName, rules

__all__ = ["Model"]


class Model(ResourceModel):
    """Which model is served."""

    model_config = ConfigDict(json_schema_extra=rules(*SOURCE_RULES))

    source: ModelSource
    """Where the weights are."""

    cache: ModelCache | None = None
    """Where a source that is downloaded goes."""

    served_name: ServedName | None = None
    """The name that clients ask for; the resource's own name when unset."""

    kind: Literal["base", "instruct"] = "base"
    """A base model is checked by completions, an instruct model by chat."""

    @model_validator(mode="after")
    def _cache_fits_the_source(self) -> Self:
        problem = cache_problem(self.source, self.cache)
        if problem is not None:
            raise ValueError(problem)
        return self
