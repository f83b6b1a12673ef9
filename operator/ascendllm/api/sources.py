"""Folders and files that a resource names: where a data set or a reference is, or a model."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import (
    AbsolutePath,
    ImageReference,
    ObjectName,
    RelativePath,
    SecretDataKey,
    cel,
    rules,
)

__all__ = [
    "ENDPOINT",
    "DataFiles",
    "DataFolder",
    "DataSource",
    "LocalObject",
    "PvcSource",
    "S3Source",
    "SecretKey",
    "same_store",
]

ENDPOINT = r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/?$"
"""No user, no query: what stands in a resource is read by many."""


class LocalObject(ResourceModel):
    """An object of this namespace, by name."""

    name: ObjectName
    """The object's name."""


class SecretKey(ResourceModel):
    """One key of a Secret of this namespace."""

    name: ObjectName
    """The Secret's name."""

    key: SecretDataKey
    """The key in it."""


class PvcSource(ResourceModel):
    """A folder on a PersistentVolumeClaim of this namespace."""

    claim_name: ObjectName
    """The claim's name; it must exist and allow the pods' nodes to mount it."""

    path: RelativePath | None = None
    """The folder inside the volume, relative to its root; the root itself when unset."""


class S3Source(ResourceModel):
    """An object, or all objects under a prefix, of an S3 store such as OBS."""

    uri: Annotated[
        str,
        Field(
            max_length=1024,
            pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/ =+@-]*)?$",
        ),
    ]
    """s3://bucket/key; a key that ends with / is a folder."""

    endpoint: Annotated[str, Field(max_length=256, pattern=ENDPOINT)] | None = None
    """The store's address, such as https://obs.cn-north-4.myhuaweicloud.com; AWS's own when
    unset."""

    region: (
        Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9-]*$")] | None
    ) = None
    """The region that requests are signed for, such as cn-north-4."""

    credentials_secret: LocalObject | None = None
    """A Secret of this namespace with the keys accessKeyId, secretAccessKey and, for temporary
    credentials, sessionToken; requests are not signed when unset."""


def same_store(one: DataFiles | None, other: DataFiles | None) -> bool:
    """Whether one job can read both: it has one endpoint, one region and one pair of keys."""
    stores = [source.s3 for source in (one, other) if source is not None and source.s3 is not None]
    return all(
        (store.endpoint, store.region, store.credentials_secret)
        == (stores[0].endpoint, stores[0].region, stores[0].credentials_secret)
        for store in stores
    )


_ONE_FOLDER = cel(
    "[has(self.pvc), has(self.image), has(self.hostPath)].exists_one(x, x)",
    "give exactly one place: pvc, image or hostPath",
)
_ONE_PLACE = cel(
    "[has(self.pvc), has(self.image), has(self.hostPath), has(self.s3)].exists_one(x, x)",
    "give exactly one place: pvc, image, hostPath or s3",
)


class DataFolder(ResourceModel):
    """Where files are that a job reads from a folder; exactly one of pvc, image and hostPath."""

    model_config = ConfigDict(json_schema_extra=rules(_ONE_FOLDER))

    pvc: PvcSource | None = None
    """A folder on a claim; mounted read-only."""

    image: ImageReference | None = None
    """An image with the files in its folder /data and `cp` on its PATH."""

    host_path: AbsolutePath | None = None
    """A folder of the nodes, under a prefix that the operator's owner allows."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        places: dict[str, object] = {
            "pvc": self.pvc,
            "image": self.image,
            "hostPath": self.host_path,
        }
        if isinstance(self, DataFiles):
            places["s3"] = self.s3
        if sum(place is not None for place in places.values()) != 1:
            *most, last = places
            raise ValueError(f"give exactly one place: {', '.join(most)} or {last}")
        return self


class DataFiles(DataFolder):
    """Where files are that a job reads; exactly one of pvc, image, hostPath and s3."""

    model_config = ConfigDict(json_schema_extra=rules(_ONE_PLACE))

    s3: S3Source | None = None
    """An object store; the job itself reads from it."""


class DataSource(DataFiles):
    """Where the MMLU data is; exactly one of pvc, image, hostPath and s3."""

    model_config = ConfigDict(json_schema_extra=rules(_ONE_PLACE))

    custom: bool = False
    """The data is not the published MMLU (57 subjects, 5 shots each, 14,042 questions); every
    verdict then says so."""
