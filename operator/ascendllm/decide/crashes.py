"""Crashes in groups of pods.

A group is made anew with each crash, and what the crash said would go with its pods: no count of
restarts grows, and no crash loop is seen. So it is noted on the workload, and told until the
replicas are ready.
"""

from __future__ import annotations

from ascendllm.desired import names
from ascendllm.state.diagnosis import diagnose
from ascendllm.state.observed import Observed
from ascendllm.state.pods import CRASHING, Pod
from ascendllm.state.stage import cut, quoted

__all__ = ["last_crash"]

_MOST = 500
"""Characters that are noted."""


def last_crash(revision: str, observed: Observed, *, available: bool) -> str | None:
    """What the last crash of a revision's groups said; None where all is well, or nothing is known.

    Pods on their way out count: a crash is what sends a group there.

    Args:
        revision: The revision.
        observed: What is there.
        available: Its replicas are ready.
    """
    if available:
        return None
    crashed = [
        pod
        for pod in observed.pods
        if pod.revision == revision and pod.size > 1 and pod.stage.reason == CRASHING
    ]
    # The others of a group crash because one has: what tells a cause counts first.
    told = sorted((diagnose(pod.last_words) is None, pod.name, _told(pod)) for pod in crashed)
    if told:
        return told[0][-1]
    metadata = (observed.workload(revision) or {}).get("metadata", {})
    noted = (metadata.get("annotations") or {}).get(names.LAST_CRASH)
    return noted if isinstance(noted, str) else None


def _told(pod: Pod) -> str:
    cause = diagnose(pod.last_words)
    if cause is None:
        return cut(pod.stage.message, _MOST)
    return cut(f"{cause.reason}: pod {pod.name}: {cause.message}: {quoted(cause.line)}", _MOST)
