"""Where a model or an adapter is, and the cache that a download goes into."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import (
    AbsolutePath,
    HubRepository,
    HubRevision,
    ImageReference,
    ObjectName,
    Quantity,
    cel,
    rules,
)
from ascendllm.api.sources import ENDPOINT, PvcSource, S3Source, SecretKey

__all__ = [
    "SOURCE_RULES",
    "HuggingFaceSource",
    "ModelCache",
    "ModelScopeSource",
    "ModelSource",
    "OciSource",
    "cache_problem",
]

_SOURCES = ("hostPath", "pvc", "huggingFace", "modelScope", "s3", "oci")
_DOWNLOADED = ("huggingFace", "modelScope", "s3")
_ONE_SOURCE = f"give exactly one source: {', '.join(_SOURCES[:-1])} or {_SOURCES[-1]}"
_ONE_CACHE = "give exactly one cache: claimName of a claim of yours, or size of a new one"
_OF_A_NEW_CLAIM = "storageClassName, accessMode and retain are of a new claim: give size as well"
_CACHE_MISSING = (
    "this source is downloaded: say where to by cache, such as cache: {size: 40Gi} or "
    "cache: {claimName: models}"
)
_CACHE_USELESS = (
    "cache is for sources that are downloaded: remove it, hostPath and pvc are served from where "
    "they are"
)


class HuggingFaceSource(ResourceModel):
    """A repository of Hugging Face, or of a server that speaks like it."""

    repo: HubRepository
    """The repository, such as meta-llama/Llama-3.1-8B."""

    revision: HubRevision = "main"
    """A branch, a tag or a commit; resolved to a commit once for each cache."""

    token_secret: SecretKey | None = None
    """The access token, for what not everybody may read."""

    endpoint: Annotated[str, Field(max_length=256, pattern=ENDPOINT)] | None = None
    """The address of a mirror, such as https://hf-mirror.com; Hugging Face itself when unset."""


class ModelScopeSource(ResourceModel):
    """A repository of ModelScope."""

    repo: HubRepository
    """The repository, such as LLM-Research/Meta-Llama-3.1-8B."""

    revision: HubRevision = "master"
    """A branch, a tag or a commit; its files are fixed once for each cache."""

    token_secret: SecretKey | None = None
    """The access token, for what not everybody may read."""

    endpoint: Annotated[str, Field(max_length=256, pattern=ENDPOINT)] | None = None
    """The address of another site, such as https://www.modelscope.ai; www.modelscope.cn when
    unset."""


class OciSource(ResourceModel):
    """A folder of an image, which needs `cp` on its PATH."""

    image: ImageReference
    """The image; it is pulled with runtime.imagePullSecrets."""

    path: AbsolutePath = "/models"
    """The folder in the image."""


class ModelSource(ResourceModel):
    """Where the weights are; exactly one of the fields."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"[{', '.join(f'has(self.{source})' for source in _SOURCES)}].exists_one(x, x)",
                _ONE_SOURCE,
            )
        )
    )

    host_path: AbsolutePath | None = None
    """A folder of the node, under a prefix that the operator's owner allows."""

    pvc: PvcSource | None = None
    """A folder on a claim; mounted read-only."""

    hugging_face: HuggingFaceSource | None = None
    """A repository of Hugging Face; needs a cache."""

    model_scope: ModelScopeSource | None = None
    """A repository of ModelScope; needs a cache."""

    s3: S3Source | None = None
    """All objects under a prefix of an S3 store such as OBS; needs a cache."""

    oci: OciSource | None = None
    """A folder of an image; without a cache it is copied in every pod."""

    @property
    def downloaded(self) -> bool:
        """Whether it can be served from a cache only."""
        return any((self.hugging_face, self.model_scope, self.s3))

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = (
            self.host_path,
            self.pvc,
            self.hugging_face,
            self.model_scope,
            self.s3,
            self.oci,
        )
        if sum(source is not None for source in given) != 1:
            raise ValueError(_ONE_SOURCE)
        return self


class ModelCache(ResourceModel):
    """The volume that a download goes into: exactly one of claimName and size.

    Resources of the namespace that want the same model in the same place share one download.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.claimName) != has(self.size)", _ONE_CACHE),
            cel(
                "has(self.size) || !(has(self.storageClassName) || has(self.accessMode) || "
                "has(self.retain))",
                _OF_A_NEW_CLAIM,
            ),
        )
    )

    claim_name: ObjectName | None = None
    """A claim of this namespace; each model gets a folder of its own in it."""

    size: Quantity | None = None
    """The size of a claim that is made for this download; a larger one enlarges it."""

    storage_class_name: ObjectName | None = None
    """The new claim's storage class; the cluster's default when unset."""

    access_mode: Literal["ReadWriteMany", "ReadWriteOnce"] | None = None
    """ReadWriteMany when unset, since every serving pod on every node reads it. ReadWriteOnce for
    storage that only one node can mount, which then runs every pod of the model."""

    retain: bool | None = None
    """Whether the new claim stays when the last resource that uses it is gone; true when unset."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.claim_name is None) == (self.size is None):
            raise ValueError(_ONE_CACHE)
        of_a_new_claim = (self.storage_class_name, self.access_mode, self.retain)
        if self.size is None and any(field is not None for field in of_a_new_claim):
            raise ValueError(_OF_A_NEW_CLAIM)
        return self


SOURCE_RULES = (
    cel(
        "has(self.cache) || !("
        + " || ".join(f"has(self.source.{source})" for source in _DOWNLOADED)
        + ")",
        _CACHE_MISSING,
    ),
    cel(
        "!has(self.cache) || !(has(self.source.hostPath) || has(self.source.pvc))",
        _CACHE_USELESS,
        path=".cache",
    ),
)


def cache_problem(source: ModelSource, cache: ModelCache | None) -> str | None:
    """What of the cache does not fit the source, with its remedy."""
    if cache is None and source.downloaded:
        return _CACHE_MISSING
    if cache is not None and (source.host_path is not None or source.pvc is not None):
        return _CACHE_USELESS
    return None
