"""Folders that a resource names: where a model or a data set is."""

from __future__ import annotations

from typing import Self

from pydantic import ConfigDict, model_validator

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import AbsolutePath, ImageReference, ObjectName, RelativePath, cel, rules

__all__ = ["DataSource", "ModelSource", "PvcSource"]


class PvcSource(ResourceModel):
    """A folder on a PersistentVolumeClaim of this namespace."""

    claim_name: ObjectName
    """The claim's name; it must exist and allow the pods' nodes to mount it."""

    path: RelativePath | None = None
    """The folder inside the volume, relative to its root; the root itself when unset."""


class ModelSource(ResourceModel):
    """Where the weights are; exactly one of the fields."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "[has(self.hostPath), has(self.pvc)].exists_one(x, x)",
                "give exactly one source: hostPath or pvc",
            )
        )
    )

    host_path: AbsolutePath | None = None
    """A folder of the node, under a prefix that the operator's owner allows."""

    pvc: PvcSource | None = None
    """A folder on a claim; mounted read-only."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.host_path is None) == (self.pvc is None):
            raise ValueError("give exactly one source: hostPath or pvc")
        return self


class DataSource(ResourceModel):
    """Where a data set is; exactly one of pvc, image and hostPath."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "[has(self.pvc), has(self.image), has(self.hostPath)].exists_one(x, x)",
                "give exactly one place: pvc, image or hostPath",
            )
        )
    )

    pvc: PvcSource | None = None
    """A folder on a claim; mounted read-only."""

    image: ImageReference | None = None
    """An image with the data set in its folder /data and `cp` on its PATH."""

    host_path: AbsolutePath | None = None
    """A folder of the nodes, under a prefix that the operator's owner allows."""

    custom: bool = False
    """The data is not the published MMLU (57 subjects, 5 shots each, 14,042 questions); every
    verdict then says so."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(place is not None for place in (self.pvc, self.image, self.host_path)) != 1:
            raise ValueError("give exactly one place: pvc, image or hostPath")
        return self
