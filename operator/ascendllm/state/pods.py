"""Serving pods: are they ready, and if not, what holds them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ascendllm.desired import names
from ascendllm.desired.template import CONTAINER
from ascendllm.engine.model_numbers import ModelNumbers
from ascendllm.state.diagnosis import diagnose
from ascendllm.state.provenance import device_names, read_facts, read_model, shared_facts
from ascendllm.state.stage import Stage, cut, quoted, quoted_message
from ascendllm.state.times import parse_time

__all__ = [
    "CRASHING",
    "Pod",
    "Stage",
    "held_up",
    "own_server_crash",
    "refusal",
    "runtime_facts",
    "stage",
    "telling",
]

CRASHING = "CrashLooping"

_DEVICES = 64
_DIGITS = 6
_CRASHES = 2
"""After so many restarts a server is not waited for any more: each takes minutes, and NPUs."""
_SETTING_UP = ("ContainerCreating", "PodInitializing")
_REMEDIES = {
    "CreateContainerConfigError": "create the Secret, or the key in it, that "
    "spec.service.apiKeySecret names, or name another: it goes on by itself"
}
"""What mends a reason of the kubelet's for which the resource gives cause."""
_GROUP_INDEX = "leaderworkerset.sigs.k8s.io/group-index"
"""Label of the pods of a LeaderWorkerSet: which group of it, from 0."""
_GROUP_SIZE = "leaderworkerset.sigs.k8s.io/size"
"""Annotation of the same pods: how many a group has."""


@dataclass(frozen=True)
class Pod:
    """What matters of a serving pod.

    Attributes:
        worker: It computes for its replica's leader and answers no client.
        replica: The replica that it belongs to; a pod of a Deployment is one by itself.
        size: How many pods that replica has.
        created: When it was created, as Kubernetes writes it.
        terminating: On its way out, or already ended (by an eviction, say).
        finished: Ended: it holds no NPU any more.
        image_id: The running image's digest, or "" before it runs.
        restarts: How often the serving container was restarted.
        launch_seconds: From the container's start to the pod's readiness.
        facts: Versions inside the image, as the pod's init container found them.
        model: The model's numbers, as the same container found them.
        devices: The NPUs that the pod was given, as the device plugin says.
        node: Where it runs; "" before it is scheduled.
        address: Its IP address; "" before it has one.
        last_words: Why the container that holds it up ended, and what it wrote last.
        scheduled: When it found its node; "" before.
        began: When its serving container was started last; "" before.
    """

    name: str
    uid: str
    revision: str
    worker: bool
    replica: str
    size: int
    created: str
    ready: bool
    terminating: bool
    finished: bool
    image_id: str
    restarts: int
    launch_seconds: float | None
    stage: Stage
    facts: Mapping[str, str]
    devices: tuple[str, ...]
    node: str = ""
    address: str = ""
    last_words: str = ""
    scheduled: str = ""
    began: str = ""
    model: ModelNumbers | None = None

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Pod:
        """The record of a pod."""
        metadata = item["metadata"]
        labels = metadata.get("labels") or {}
        status = item.get("status") or {}
        container = _container(status)
        ready_condition = _condition(status, "Ready")
        finished = status.get("phase") in ("Succeeded", "Failed")
        return cls(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            revision=labels.get(names.REVISION) or labels.get(names.WORKER_OF, ""),
            worker=names.WORKER_OF in labels,
            replica=labels.get(_GROUP_INDEX, metadata["name"]),
            size=_size(metadata),
            created=metadata.get("creationTimestamp") or "",
            ready=ready_condition.get("status") == "True" and not finished,
            terminating="deletionTimestamp" in metadata or finished,
            finished=finished,
            image_id=container.get("imageID", ""),
            restarts=int(container.get("restartCount", 0)),
            launch_seconds=_launch_seconds(container, ready_condition),
            stage=_stage(metadata["name"], status, container),
            facts=read_facts(status),
            devices=device_names(metadata.get("annotations") or {}),
            node=(item.get("spec") or {}).get("nodeName") or "",
            address=status.get("podIP") or "",
            last_words=_last_words(_not_begun(status) or container),
            scheduled=_scheduled_at(status),
            began=_began(container),
            model=read_model(status),
        )


def stage(pods: Sequence[Pod], wanted: int) -> Stage:
    """What the pods that are not ready wait for; the most telling one speaks for all."""
    pod = telling(pods)
    if pod is None:
        return Stage("Creating", f"{len(pods)} of {wanted} pods exist: waiting for the others")
    return pod.stage


def telling(pods: Sequence[Pod]) -> Pod | None:
    """The pod whose stage tells most of why not all are ready; None where all that exist are."""
    waiting = [pod for pod in pods if not pod.ready]
    return min(waiting, key=lambda pod: _rank(pod.stage.reason), default=None)


def refusal(workload: Mapping[str, Any] | None) -> Stage | None:
    """Why the API server refuses to create a workload's pods; None where it does not.

    A missing RuntimeClass or PriorityClass, a quota, or Pod Security: no pod is there to tell it.

    Args:
        workload: A Deployment, whose status says so.
    """
    failure = _condition((workload or {}).get("status") or {}, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    return Stage(
        "PodsRefused",
        cut(
            f"the API server refuses the pods: {quoted_message(failure)}; check "
            "spec.placement, spec.runtime.driverMounts, the namespace's quotas and its Pod Security"
        ),
    )


def runtime_facts(pods: Sequence[Pod]) -> dict[str, Any]:
    """What serves, as all pods say alike; the NPUs of all of them.

    Returns:
        Versions by name, `imageID` and `devices`; what is not known is left out.
    """
    images = {pod.image_id for pod in pods if pod.image_id}
    devices = sorted({device for pod in pods for device in pod.devices}, key=_by_number)
    return {
        **({"imageID": images.pop()} if len(images) == 1 else {}),
        **shared_facts([pod.facts for pod in pods]),
        **({"devices": devices[:_DEVICES]} if devices else {}),
    }


def _by_number(device: str) -> tuple[int, str]:
    """Ascend910-10 comes after Ascend910-9."""
    return len(device), device


def held_up(item: Mapping[str, Any]) -> str | None:
    """What keeps a job's pod from starting, which may last; None where nothing does."""
    name, status = item["metadata"]["name"], item.get("status") or {}
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return cut(f"pod {name} finds no node: {quoted_message(scheduled)}")
    containers = [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]
    for container in containers:
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason", ""))
        if reason and reason not in _SETTING_UP:
            return cut(f"pod {name}: {reason}: {quoted_message(waiting)}")
    return None


def own_server_crash(item: Mapping[str, Any]) -> str | None:
    """Why the server that a job's pod brings along ends again and again; None where it doesn't."""
    for container in (item.get("status") or {}).get("initContainerStatuses") or []:
        restarts = int(container.get("restartCount", 0))
        if container.get("name") == CONTAINER and restarts >= _CRASHES:
            told = diagnose(str(_ended(container).get("message") or ""))
            crash = _crash(item["metadata"]["name"], container)
            return crash if told is None else f"{told.message}; {crash}"
    return None


_ORDER = (CRASHING, "ImagePullFailed", "Unschedulable", "Loading", "Pulling", "Scheduling")


def _rank(reason: str) -> int:
    return _ORDER.index(reason) if reason in _ORDER else -1


def _stage(name: str, status: Mapping[str, Any], container: Mapping[str, Any]) -> Stage:
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return Stage("Unschedulable", cut(f"pod {name}: {quoted_message(scheduled)}"))
    if status.get("phase") == "Failed":
        return Stage(
            str(status.get("reason") or "PodFailed"),
            cut(f"pod {name} failed: {quoted_message(status)}"),
        )
    container = _not_begun(status) or container
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason", ""))
    if _was_ready(status, container):
        return Stage("NotAnswering", f"pod {name} has started, and its /health does not answer 200")
    # Between two crashes it runs: that is no news until it is ready.
    again = int(container.get("restartCount", 0)) > 0 and bool(_ended(container))
    if reason == "CrashLoopBackOff" or again:
        return Stage(CRASHING, _crash(name, container))
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
        return Stage(
            "ImagePullFailed",
            cut(
                f"pod {name} cannot get its image: {quoted_message(waiting, reason)}; check "
                "spec.runtime (version, variant, image, imagePullSecrets) and the operator's "
                "runtimeRepository"
            ),
        )
    if reason and reason not in _SETTING_UP:
        remedy = _REMEDIES.get(reason)
        told = f"pod {name}: {quoted_message(waiting, reason)}"
        return Stage(reason, cut(f"{told}; {remedy}" if remedy is not None else told))
    if "running" in state:
        return Stage("Loading", f"pod {name} is loading the model")
    if scheduled.get("status") == "True":
        return Stage(
            "Pulling",
            f"pod {name} is being set up on its node: image and volumes; if it lasts, kubectl "
            f"describe pod {name} tells what it waits for",
        )
    return Stage("Scheduling", f"pod {name} waits for a node")


def _not_begun(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The init container that can't begin: the serving one behind it only waits for it."""
    containers: Sequence[Mapping[str, Any]] = status.get("initContainerStatuses") or []
    for container in containers:
        reason = ((container.get("state") or {}).get("waiting") or {}).get("reason")
        if reason and reason not in _SETTING_UP:
            return container
    return None


def _crash(name: str, container: Mapping[str, Any]) -> str:
    last = _ended(container)
    log = " | ".join(line for line in str(last.get("message", "")).splitlines() if line.strip())
    return cut(
        f"pod {name} crashed {container.get('restartCount', 0)} times, last with exit code "
        f"{last.get('exitCode', 'unknown')} ({last.get('reason', 'no reason')}): "
        f"{f'its last lines: {quoted(log[-400:])}' if log else 'it wrote no log'}"
    )


def _ended(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the container ended last; {} where it has not."""
    for state in ("state", "lastState"):
        if ended := (container.get(state) or {}).get("terminated"):
            return ended  # type: ignore[no-any-return]
    return {}


def _last_words(container: Mapping[str, Any]) -> str:
    """Why it ended, as the kubelet calls it, and what it wrote last."""
    ended = _ended(container)
    return "\n".join(str(ended[key]) for key in ("reason", "message") if ended.get(key))


def _was_ready(status: Mapping[str, Any], container: Mapping[str, Any]) -> bool:
    """Whether the container that runs was ready once: the pod stopped being it after the start."""
    running = (container.get("state") or {}).get("running") or {}
    began = parse_time(running.get("startedAt"))
    since = parse_time(_condition(status, "Ready").get("lastTransitionTime"))
    return began is not None and since is not None and since > began


def _began(container: Mapping[str, Any]) -> str:
    running = (container.get("state") or {}).get("running") or {}
    return str(running.get("startedAt") or _ended(container).get("startedAt") or "")


def _scheduled_at(status: Mapping[str, Any]) -> str:
    scheduled = _condition(status, "PodScheduled")
    return str(scheduled.get("lastTransitionTime") or "") if _true(scheduled) else ""


def _true(condition: Mapping[str, Any]) -> bool:
    return condition.get("status") == "True"


def _container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    containers: Sequence[Mapping[str, Any]] = status.get("containerStatuses") or []
    return next((c for c in containers if c.get("name") == CONTAINER), {})


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})


def _size(metadata: Mapping[str, Any]) -> int:
    noted = str((metadata.get("annotations") or {}).get(_GROUP_SIZE, ""))
    return int(noted) if noted.isdecimal() and len(noted) < _DIGITS else 1


def _launch_seconds(container: Mapping[str, Any], ready: Mapping[str, Any]) -> float | None:
    started = parse_time(((container.get("state") or {}).get("running") or {}).get("startedAt"))
    at = parse_time(ready.get("lastTransitionTime"))
    if ready.get("status") != "True" or started is None or at is None or at < started:
        return None
    return (at - started).total_seconds()
