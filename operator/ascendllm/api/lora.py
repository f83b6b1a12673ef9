"""Adapters that are served beside the model: `spec.engine.loras`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import AbsolutePath, cel, rules
from ascendllm.api.sources import PvcSource

__all__ = ["Lora", "LoraSource", "Loras"]

_ONE_SOURCE = "give exactly one place of the adapter: hostPath or pvc"
_ONCE = "each adapter's name may stand here once: rename or remove the second one"


class LoraSource(ResourceModel):
    """Where an adapter's files are; exactly one of the fields."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("[has(self.hostPath), has(self.pvc)].exists_one(x, x)", _ONE_SOURCE)
        )
    )

    host_path: AbsolutePath | None = None
    """A folder of the node, under a prefix that the operator's owner allows."""

    pvc: PvcSource | None = None
    """A folder on a claim; mounted read-only."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.host_path is None) == (self.pvc is None):
            raise ValueError(_ONE_SOURCE)
        return self


class Lora(ResourceModel):
    """A LoRA adapter of the model."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"),
    ]
    """The name that clients ask for instead of the model's."""

    source: LoraSource
    """Where the folder with adapter_config.json is."""


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
