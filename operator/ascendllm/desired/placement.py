"""Where the serving pods run, and what they ask for beside NPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from ascendllm.api.job import OVERCOMMITTED, Resources
from ascendllm.api.placement import Placement
from ascendllm.desired.part import Part

__all__ = ["placement_part"]


def placement_part(placement: Placement) -> Part:
    """What the spec says of it."""
    limits, requests = _resources(placement.resources or Resources())
    fields: dict[str, Any] = {
        "affinity": _plain(placement.affinity) if placement.affinity is not None else None,
        "schedulerName": placement.scheduler_name,
        "priorityClassName": placement.priority_class_name,
        "runtimeClassName": placement.runtime_class_name,
    }
    return Part(
        labels=placement.labels or {},
        annotations=placement.annotations or {},
        pod={key: value for key, value in fields.items() if value},
        tolerations=[_plain(item) for item in placement.tolerations or []],
        node_selector=placement.node_selector or {},
        limits=limits,
        requests=requests,
    )


def _resources(resources: Resources) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Limits and requests; what is countable is limited and requested alike, wherever it stands."""
    limits, requests = dict(resources.limits or {}), dict(resources.requests or {})
    countable = {
        name: value for name, value in {**requests, **limits}.items() if name not in OVERCOMMITTED
    }
    return {**limits, **countable}, {**requests, **countable}


def _plain(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
