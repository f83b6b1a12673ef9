"""Caches, as their ConfigMaps record them, and what fills them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ascendllm.desired import names
from ascendllm.desired.cache import SWEPT
from ascendllm.desired.downloading import ASKED, ATTEMPT
from ascendllm.state.pods import held_up
from ascendllm.state.stage import cut, quoted
from ascendllm.state.times import parse_time

__all__ = ["Attempts", "CacheRecord", "Filling", "filling"]

_TEXT = 1000
_TRIED = 16


@dataclass(frozen=True)
class Attempts:
    """`attempts.json`: what was tried, as the operator writes it down.

    Attributes:
        count: Jobs that failed since something else was asked for.
        number: Of the last job.
        failed_at: When the last one failed.
        reason: Why.
        message: Why, and the remedy.
        again: Whether it may succeed with nothing mended.
        tried: What was asked for by those who started them.
    """

    count: int = 0
    number: int = 0
    failed_at: str = ""
    reason: str = ""
    message: str = ""
    again: bool = False
    tried: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it stands in the ConfigMap."""
        return {
            "count": self.count,
            "number": self.number,
            "failedAt": self.failed_at,
            "reason": self.reason,
            "message": self.message,
            "again": self.again,
            "tried": list(self.tried[-_TRIED:]),
        }

    @classmethod
    def read(cls, text: Any) -> Attempts | None:
        """The attempts of a text; None where it is none."""
        value = _map(text)
        if value is None:
            return None
        tried = value.get("tried")
        return cls(
            count=_int(value.get("count")),
            number=_int(value.get("number")),
            failed_at=str(value.get("failedAt") or ""),
            reason=str(value.get("reason") or ""),
            message=str(value.get("message") or "")[:_TEXT],
            again=value.get("again") is True,
            tried=tuple(str(item) for item in tried) if isinstance(tried, list) else (),
        )


@dataclass(frozen=True)
class CacheRecord:
    """The ConfigMap of a cache.

    Attributes:
        item: The object.
        record: `download.json`, which the operator wrote.
        progress: `progress.json` of the job; {} where there is none.
        result: `result.json` of the job; {} where there is none.
        attempts: `attempts.json`; None before anything failed.
    """

    item: Mapping[str, Any]
    record: Mapping[str, Any]
    progress: Mapping[str, Any]
    result: Mapping[str, Any]
    attempts: Attempts | None

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> CacheRecord:
        """The record of a ConfigMap; what cannot be read is empty."""
        data: Mapping[str, Any] = item.get("data") or {}
        return cls(
            item=item,
            record=_map(data.get("download.json")) or {},
            progress=_map(data.get("progress.json")) or {},
            result=_map(data.get("result.json")) or {},
            attempts=Attempts.read(data.get("attempts.json")),
        )

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        return self.result.get("result") == "Complete"

    @property
    def claim_uid(self) -> str:
        """Of the claim that it is in."""
        return str(self.record.get("claimUID") or "")

    @property
    def swept(self) -> bool:
        """Whether what filled it was taken away."""
        annotations = self.item["metadata"].get("annotations") or {}
        return annotations.get(names.JOB_STATE) == SWEPT


@dataclass(frozen=True)
class Filling:
    """A job that fills a cache.

    Attributes:
        name: The job's.
        attempt: Its number.
        asked: What was asked for by whoever started it.
        image: The downloader image that it was started with.
        ended: It has succeeded or failed.
        ended_at: When; the first moment of all where that is not known.
        failure: Why it failed, in the job controller's words; "" where it has not.
        held_up: What keeps its pod from running; None where nothing does.
        running: A pod of it runs.
        copying: A pod of it copies files out of an image.
    """

    name: str
    attempt: int
    asked: str
    image: str
    ended: bool
    ended_at: datetime
    failure: str
    held_up: str | None
    running: bool
    copying: bool


def filling(
    cache: str, jobs: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]
) -> Filling | None:
    """The newest job of a cache; None where there is none.

    Args:
        cache: Its name.
        jobs: The namespace's that fill caches.
        pods: Theirs.
    """
    found = [job for job in jobs if _label(job, names.CACHE) == cache]
    if not found:
        return None
    job = max(found, key=_attempt)
    name = job["metadata"]["name"]
    mine = [pod for pod in pods if _label(pod, "batch.kubernetes.io/job-name") == name]
    conditions = {
        condition.get("type"): condition
        for condition in (job.get("status") or {}).get("conditions") or []
        if condition.get("status") == "True"
    }
    failed = conditions.get("Failed")
    phases = [(pod.get("status") or {}).get("phase") for pod in mine]
    causes = [cause for pod in mine if (cause := held_up(pod)) is not None]
    containers = job["spec"]["template"]["spec"]["containers"]
    return Filling(
        name=name,
        attempt=_attempt(job),
        asked=str((job["metadata"].get("annotations") or {}).get(ASKED) or ""),
        image=str(containers[0].get("image") or ""),
        ended=bool(conditions.keys() & {"Failed", "Complete"}),
        ended_at=max(
            (moment for condition in conditions.values() if (moment := _since(condition))),
            default=datetime.min.replace(tzinfo=UTC),
        ),
        failure=_failure(failed, mine) if failed is not None else "",
        held_up=causes[0] if causes and "Running" not in phases else None,
        running="Running" in phases,
        copying=any(_copies(pod) for pod in mine),
    )


def _failure(condition: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> str:
    """The job controller's words, and how the last container ended."""
    told = f"{condition.get('reason', '')}: {condition.get('message', '')}"
    for pod in sorted(
        pods, key=lambda p: str(p["metadata"].get("creationTimestamp")), reverse=True
    ):
        status = pod.get("status") or {}
        for container in (
            *(status.get("initContainerStatuses") or []),
            *(status.get("containerStatuses") or []),
        ):
            ended = (container.get("state") or {}).get("terminated") or {}
            if ended and ended.get("exitCode") != 0:
                log = " ".join(str(ended.get("message") or "").split())[-400:]
                words = f": its last lines: {quoted(log)}" if log else ""
                return cut(
                    f"{told}; container {container.get('name')} ended with {ended.get('exitCode')} "
                    f"({ended.get('reason', '')}){words}",
                    _TEXT,
                )
    return cut(told, _TEXT)


def _since(condition: Mapping[str, Any]) -> datetime | None:
    return parse_time(condition.get("lastTransitionTime"))


def _copies(pod: Mapping[str, Any]) -> bool:
    return any(
        container.get("name") == "copy" and "running" in (container.get("state") or {})
        for container in (pod.get("status") or {}).get("initContainerStatuses") or []
    )


def _attempt(job: Mapping[str, Any]) -> int:
    annotations = job["metadata"].get("annotations") or {}
    text = str(annotations.get(ATTEMPT) or "0")
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _label(item: Mapping[str, Any], label: str) -> str | None:
    value = (item["metadata"].get("labels") or {}).get(label)
    return value if isinstance(value, str) else None


def _map(text: Any) -> Mapping[str, Any] | None:
    if not isinstance(text, str):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _int(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
