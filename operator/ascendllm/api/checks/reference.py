"""What an earlier run recorded, for a check that compares with it."""

from __future__ import annotations

from typing import Self

from pydantic import ConfigDict, model_validator

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import ObjectName, cel, rules
from ascendllm.api.sources import DataFiles

__all__ = ["Reference"]


class Reference(ResourceModel):
    """Where the reference is; exactly one of configMap and data."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.configMap) != has(self.data)",
                "give exactly one place of the reference: configMap or data",
            )
        )
    )

    config_map: ObjectName | None = None
    """A ConfigMap of this namespace; mmlu reads its key answers.json (a run's report has it),
    parity its key reference.jsonl."""

    data: DataFiles | None = None
    """A folder with the file of that name; in S3 the file itself."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.config_map is None) == (self.data is None):
            raise ValueError("give exactly one place of the reference: configMap or data")
        return self
