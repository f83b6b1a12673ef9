"""What is said of pods that can't go on: in conditions where nothing serves, else as warnings."""

from __future__ import annotations

from collections.abc import Iterable

from ascendllm.decide.care import HUNG
from ascendllm.state.replacements import Replacement
from ascendllm.status.scene import Scene

__all__ = ["all_hang", "care_warnings", "told_of_care"]


def all_hang(scene: Scene) -> bool:
    """Whether every pod that looks ready hangs."""
    ready = {pod.uid for pod in scene.observed.pods_of(scene.decision.served) if pod.ready}
    return bool(ready) and ready <= {
        ill.pod.uid for ill in scene.decision.care.ill if ill.reason == HUNG
    }


def told_of_care(scene: Scene, reason: str, message: str) -> tuple[str, str]:
    """Reason and message of a row that says what is missing, with what led to it.

    Args:
        scene: What is looked at.
        reason: What would be said without it.
        message: What would be said without it.
    """
    care = scene.decision.care
    ill = next((i for i in care.ill if i.reason == HUNG or not i.pod.ready), None)
    if ill is not None:
        return ill.reason, "; ".join(filter(None, (f"{ill.message}: {ill.waits}", message)))
    if care.last is not None and _came_after(scene, care.last):
        before = f"pod {care.last.pod} was replaced at {care.last.at}: {care.last.message}"
        return care.last.reason, "; ".join(filter(None, (before, message)))
    return reason, message


def care_warnings(scene: Scene) -> Iterable[str]:
    """Faults that end no work or that others see to, and pods that are not replaced now."""
    care = scene.decision.care
    yield from (f"{ill.reason}: {ill.message}: {ill.waits}" for ill in care.ill)
    yield from care.told


def _came_after(scene: Scene, last: Replacement) -> bool:
    """Whether every pod that is not ready was made in place of what was replaced."""
    revision = scene.decision.revision
    if revision is None or revision.hash != last.revision:
        return False
    pods = scene.observed.pods_of(revision.hash)
    return all(pod.created >= last.at for pod in pods if not pod.ready)
