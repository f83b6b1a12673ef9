"""Names, labels and annotations of the operator's objects, and the hashes in the names."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = [
    "CACHE",
    "CACHES",
    "CHECK",
    "FIELD_MANAGER",
    "JOB_STATE",
    "LAST_CRASH",
    "LOADED_AT",
    "MANAGED_BY",
    "NAME",
    "RETAIN",
    "REVISION",
    "RUN",
    "SELECTOR",
    "STARTED_AT",
    "WORKER_OF",
    "cache_labels",
    "child",
    "digest",
    "labels",
    "run_name",
    "serving_labels",
    "sharing_manager",
]

FIELD_MANAGER = "ascendllm"
MANAGED_BY = "app.kubernetes.io/managed-by"

NAME = "ascendllm.io/name"
"""Label of every object of a resource: the resource's name."""
REVISION = "ascendllm.io/revision"
"""Label of a revision's objects and serving pods; never of job pods, or they would be served."""
WORKER_OF = "ascendllm.io/worker-of"
"""Label of the pods that compute for a serving pod on another node: the revision. They answer no
client, so they don't bear `REVISION`, which Services select."""
CHECK = "ascendllm.io/check"
"""Label of a run's objects: which check it is."""
RUN = "ascendllm.io/run"
"""Label of a run's objects: the run's hash."""
STARTED_AT = "ascendllm.io/started-at"
"""Annotation of a workload: when it was raised from 0, which the progress deadline counts from."""
LOADED_AT = "ascendllm.io/loaded-at"
"""Annotation of a workload: when it was first available since it was raised from 0."""
LAST_CRASH = "ascendllm.io/last-crash"
"""Annotation of a workload of groups: what the last crash said, until its replicas are ready."""
JOB_STATE = "ascendllm.io/job"
"""Annotation of a run: `started` once its job was seen, `stopped` where the operator itself took
it away."""

CACHE = "ascendllm.io/cache"
"""Label of a cache's objects, which resources share: the cache's name."""
CACHES = "ascendllm.io/caches"
"""Annotation of a revision's pod template: the caches that it reads, with commas between."""
RETAIN = "ascendllm.io/retain"
"""Annotation of a cache's claim that somebody wants kept: it then has no owner."""

SELECTOR = f"{MANAGED_BY}={FIELD_MANAGER}"
"""What the operator watches: objects with its label."""


def digest(value: Any) -> str:
    """10 hex digits of a JSON value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def child(name: str, revision: str) -> str:
    """The name of a revision's objects."""
    return f"{name}-{revision}"


def run_name(name: str, check: str, run: str) -> str:
    """The name of a run's objects."""
    return f"{name}-{check}-{run}"


def labels(name: str, **more: str) -> dict[str, str]:
    """The labels of an object of resource `name`."""
    return {
        "app.kubernetes.io/name": "ascendllm",
        "app.kubernetes.io/instance": name,
        MANAGED_BY: FIELD_MANAGER,
        NAME: name,
        **more,
    }


def serving_labels(name: str, revision: str) -> dict[str, str]:
    """What selects the serving pods of a revision."""
    return {NAME: name, REVISION: revision}


def cache_labels(cache: str) -> dict[str, str]:
    """The labels of a cache's objects; `NAME` stays out, as they are nobody's alone."""
    return {"app.kubernetes.io/name": "ascendllm", MANAGED_BY: FIELD_MANAGER, CACHE: cache}


def sharing_manager(name: str) -> str:
    """Whose fields of a shared object are a resource's: its own, so that they go with it."""
    return f"{FIELD_MANAGER}-{name}"
