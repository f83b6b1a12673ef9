"""What is downloaded into a folder of a claim, once for all resources that want it.

That is a model, or an adapter of one.

Its objects are shared: the ConfigMap that records it, and the claim where that is made for it, are
owned by every resource that uses them, and go with the last one. What fills it (`downloading`) is
owned by the ConfigMap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ascendllm.api.lora import Lora
from ascendllm.api.model_source import ModelCache, ModelSource
from ascendllm.api.scalars import parse_quantity
from ascendllm.api.spec import Spec
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.desired.sources import Mounted
from ascendllm.engine import options
from ascendllm.engine.in_force import in_force

__all__ = [
    "MODEL_FOLDER",
    "SWEPT",
    "CachedModel",
    "cache_claim",
    "cache_record",
    "cached_adapter",
    "cached_model",
    "cached_models",
    "is_retained",
    "mount_cached",
]

MODEL_FOLDER = "model"
"""Of a cache's folder: where the model is, once it is whole."""

SWEPT = "swept"
"""Of `names.JOB_STATE` on a cache: what filled it was taken away."""

_SECRETS = ("tokenSecret", "credentialsSecret")


@dataclass(frozen=True)
class CachedModel:
    """What is downloaded, and where to.

    Attributes:
        source: Where it is; not a host path, nor a claim.
        cache: Whose claim it goes into.
        weights: Whether the weights are wanted; not a model's with `--load-format=dummy`.
        adapter: The adapter's name in the spec; None where it is the model itself.
    """

    source: ModelSource
    cache: ModelCache
    weights: bool = True
    adapter: str | None = None

    @cached_property
    def name(self) -> str:
        """The name of its objects and of its folder, made from what it is.

        It stands in recorded templates: what it is made from never changes, and a field at its
        default is no part of it. Two servers may hold different files under one name, so the
        endpoint counts; how one is let in does not, nor what a spec calls an adapter. What is an
        adapter to one and a model to another is fetched for each, since other files are wanted.
        """
        source = self._dumped(exclude_defaults=True)
        identity: dict[str, Any] = {"source": source, "place": self._place}
        if not self.weights:
            identity["weights"] = False
        if self.adapter is not None:
            identity["adapter"] = True
        return f"{self.kind}-{names.digest(identity)}"

    @property
    def kind(self) -> str:
        """What it is: `model` or `adapter`."""
        return "model" if self.adapter is None else "adapter"

    @property
    def field(self) -> str:
        """Where its source and its cache stand in the spec."""
        return "spec.model" if self.adapter is None else f"spec.engine.loras[{self.adapter}]"

    @property
    def described(self) -> dict[str, Any]:
        """The source without its secrets."""
        return self._dumped(exclude_defaults=False)

    def _dumped(self, *, exclude_defaults: bool) -> dict[str, Any]:
        dumped = self.source.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude_defaults=exclude_defaults
        )
        return {
            kind: {key: value for key, value in fields.items() if key not in _SECRETS}
            for kind, fields in dumped.items()
        }

    @property
    def claim(self) -> str:
        """The claim's name."""
        return self.cache.claim_name or self.name

    @property
    def makes_claim(self) -> bool:
        """Whether the claim is the operator's to make."""
        return self.cache.claim_name is None

    @property
    def retain(self) -> bool:
        """Whether the claim stays when nobody uses it any more."""
        return self.cache.retain is not False

    @property
    def access_mode(self) -> str:
        """Of a claim that is made."""
        return self.cache.access_mode or "ReadWriteMany"

    @property
    def _place(self) -> Any:
        if self.cache.claim_name is not None:
            return self.cache.claim_name
        return [self.cache.storage_class_name, self.access_mode]


def cached_models(spec: Spec) -> tuple[CachedModel, ...]:
    """What a spec wants downloaded: the model, then the adapters; what is the same, once."""
    found = (cached_model(spec), *map(cached_adapter, spec.engine.loras or ()))
    each: dict[str, CachedModel] = {}
    for item in filter(None, found):
        each.setdefault(item.name, item)
    return tuple(each.values())


def cached_model(spec: Spec) -> CachedModel | None:
    """The model itself; None where it is served from where it is."""
    if spec.model.cache is None:
        return None
    given = options.load().values(in_force(spec.engine).args or [])
    weights = given.get("load_format") != "dummy"
    return CachedModel(spec.model.source, spec.model.cache, weights)


def cached_adapter(lora: Lora) -> CachedModel | None:
    """An adapter, whose weights are read with `--load-format=dummy` too; None as of the model."""
    if lora.cache is None:
        return None
    return CachedModel(lora.source, lora.cache, adapter=lora.name)


def mount_cached(cached: CachedModel, volume: str, path: str) -> Mounted:
    """Its own folder, and nothing else of the claim, read-only."""
    return Mounted(
        path,
        [
            {
                "name": volume,
                "persistentVolumeClaim": {"claimName": cached.claim, "readOnly": True},
            }
        ],
        [
            {
                "name": volume,
                "mountPath": path,
                "subPath": f"{cached.name}/{MODEL_FOLDER}",
                "readOnly": True,
            }
        ],
        [],
    )


def cache_claim(
    owner: Owner, cached: CachedModel, live: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The claim of a cache that makes its own.

    Args:
        owner: One of those who use it.
        cached: What goes into it.
        live: The claim as it is; one that somebody wanted larger, or kept, stays so.
    """
    wanted = cached.cache.size or "1Gi"
    metadata: dict[str, Any] = {
        "name": cached.claim,
        "namespace": owner.namespace,
        "labels": names.cache_labels(cached.name),
    }
    if cached.retain:
        metadata["annotations"] = {names.RETAIN: "true"}
    elif not is_retained(live):
        metadata["ownerReferences"] = [owner.share]
    storage_class = cached.cache.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": {
            "accessModes": [cached.access_mode],
            **({"storageClassName": storage_class} if storage_class is not None else {}),
            "resources": {"requests": {"storage": _size(wanted, live)}},
        },
    }


def is_retained(claim: Mapping[str, Any] | None) -> bool:
    """Whether somebody wants the claim kept."""
    annotations = ((claim or {}).get("metadata") or {}).get("annotations") or {}
    return annotations.get(names.RETAIN) == "true"


def cache_record(
    owner: Owner,
    cached: CachedModel,
    claim_uid: str,
    attempts: Mapping[str, Any] | None,
    *,
    swept: bool = False,
) -> dict[str, Any]:
    """The ConfigMap of a cache, as far as the operator writes it; the same, whoever writes it.

    Args:
        owner: One of those who use it.
        cached: What is downloaded.
        claim_uid: Of the claim; a claim that was made anew is filled anew.
        attempts: `attempts.json`: what was tried so far; None before anything was.
        swept: Whether it is complete, and what filled it is gone.
    """
    record = {
        "source": cached.described,
        "claim": cached.claim,
        "claimUID": claim_uid,
        "weights": cached.weights,
        **({"adapter": True} if cached.adapter is not None else {}),
    }
    data = {"download.json": _json(record)}
    if attempts is not None:
        data["attempts.json"] = _json(attempts)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": cached.name,
            "namespace": owner.namespace,
            "labels": names.cache_labels(cached.name),
            **({"annotations": {names.JOB_STATE: SWEPT}} if swept else {}),
            "ownerReferences": [owner.share],
        },
        "data": data,
    }


def _requested(claim: Mapping[str, Any] | None) -> str | None:
    resources = ((claim or {}).get("spec") or {}).get("resources") or {}
    value = (resources.get("requests") or {}).get("storage")
    return value if isinstance(value, str) else None


def _size(wanted: str, claim: Mapping[str, Any] | None) -> str:
    """What to request: a claim never shrinks, and grows only once it is bound (API server)."""
    there = _requested(claim)
    if there is None:
        return wanted
    bound = ((claim or {}).get("status") or {}).get("phase") == "Bound"
    try:
        return wanted if bound and parse_quantity(wanted) > parse_quantity(there) else there
    except ValueError:
        return there


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
