"""What one concern adds to the serving pods, such as the model's folder or the NPUs' driver.

The pod template is put together from these, so that a concern is one module, and reads whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Part", "put_together"]

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """What one concern adds. Lists are joined in the order of the parts; of maps the later wins.

    Attributes:
        labels: Of the pod.
        annotations: Of the pod.
        pod: Fields of the pod's spec, such as `schedulerName`.
        tolerations: Of the pod; each stands there once.
        node_selector: Labels of the nodes.
        node_requirements: Match expressions that every possible node must fit, beside the affinity.
        volumes: Of the pod.
        init_containers: In the order in which they run.
        container: Fields of the serving container, such as `imagePullPolicy`.
        env: Variables of the serving container; of one name the later part's stays.
        mounts: Of the serving container.
        resources: Extended and other resources of the serving container, asked for and limited
            alike.
        requests: What is asked for beside them.
        limits: What is limited beside them.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pod: Item = field(default_factory=dict)
    tolerations: Sequence[Item] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    node_requirements: Sequence[Item] = ()
    volumes: Sequence[Item] = ()
    init_containers: Sequence[Item] = ()
    container: Item = field(default_factory=dict)
    env: Sequence[Item] = ()
    mounts: Sequence[Item] = ()
    resources: Mapping[str, str] = field(default_factory=dict)
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)


def put_together(name: str, parts: Sequence[Part]) -> dict[str, Any]:
    """The pod template with one serving container.

    Args:
        name: The container's name.
        parts: What it is made of. What nothing adds to is left out.
    """
    both = [part.resources for part in parts]
    limits = _merged([*both, *(part.limits for part in parts)])
    requests = _merged([*both, *(part.requests for part in parts)])
    resources = {key: value for key, value in (("limits", limits), ("requests", requests)) if value}
    env = {item["name"]: item for part in parts for item in part.env}
    container: dict[str, Any] = {
        "name": name,
        **_merged(part.container for part in parts),
        **({"env": list(env.values())} if env else {}),
        **({"resources": resources} if resources else {}),
        **_joined("volumeMounts", (part.mounts for part in parts)),
    }
    pod = {
        **_merged(part.pod for part in parts),
        **_placed(parts),
        **_joined("initContainers", (part.init_containers for part in parts)),
        "containers": [container],
        **_joined("volumes", (part.volumes for part in parts)),
    }
    annotations = _merged(part.annotations for part in parts)
    return {
        "metadata": {
            "labels": _merged(part.labels for part in parts),
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": pod,
    }


def _placed(parts: Sequence[Part]) -> dict[str, Any]:
    """Which nodes are possible, as all parts together say."""
    selector = _merged(part.node_selector for part in parts)
    tolerations: list[Item] = []
    for toleration in (item for part in parts for item in part.tolerations):
        if toleration not in tolerations:
            tolerations.append(toleration)
    affinity = _merged(part.pod.get("affinity") or {} for part in parts)
    requirements = [item for part in parts for item in part.node_requirements]
    if requirements:
        affinity["nodeAffinity"] = _required(affinity.get("nodeAffinity") or {}, requirements)
    fields = {"nodeSelector": selector, "tolerations": tolerations, "affinity": affinity}
    return {key: value for key, value in fields.items() if value}


def _required(affinity: Item, requirements: Sequence[Item]) -> dict[str, Any]:
    """A node affinity that asks for the requirements, too.

    Of its terms one must hold, so each gets them all. A term that asks for nothing fits no node,
    and stays as it is.
    """
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    given = (affinity.get(name) or {}).get("nodeSelectorTerms")
    terms = (
        [{"matchExpressions": list(requirements)}]
        if given is None
        else [_with(term, requirements) if any(term.values()) else term for term in given]
    )
    return {**affinity, name: {"nodeSelectorTerms": terms}}


def _with(term: Item, requirements: Sequence[Item]) -> dict[str, Any]:
    return {**term, "matchExpressions": [*(term.get("matchExpressions") or []), *requirements]}


def _merged(maps: Any) -> dict[str, Any]:
    return {key: value for one in maps for key, value in one.items()}


def _joined(field: str, lists: Any) -> dict[str, list[Any]]:
    found = [item for one in lists for item in one]
    return {field: found} if found else {}
