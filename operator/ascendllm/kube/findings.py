"""What the patrols have found out about serving pods, as long as this process lives.

Losing it costs time, nothing else: what was decided from it is recorded before it is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ascendllm.state.device_faults import Fault
from ascendllm.state.pods import Pod

__all__ = ["Findings"]

Key = tuple[str, str]


class Findings:
    """Serving pods by resource, as they were seen last, and what is the matter with them."""

    def __init__(self) -> None:
        self._pods: dict[Key, tuple[Pod, ...]] = {}
        self._hung: dict[str, str] = {}
        self._faults: dict[str, tuple[Fault, ...]] = {}

    def note(self, key: Key, pods: Sequence[Pod]) -> None:
        """Take down which pods a resource has."""
        if pods:
            self._pods[key] = tuple(pods)
        else:
            self.forget(key)

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone, or has no pods."""
        self._pods.pop(key, None)

    def pods(self) -> Iterator[tuple[Key, Pod]]:
        """All serving pods that are not on their way out."""
        for key, pods in list(self._pods.items()):
            for pod in pods:
                if not pod.terminating:
                    yield key, pod

    @property
    def hung(self) -> Mapping[str, str]:
        """Since when the engines of pods that hang stand still, by the pod's uid."""
        return dict(self._hung)

    @property
    def faults(self) -> Mapping[str, tuple[Fault, ...]]:
        """The faults of NPUs, by node."""
        return dict(self._faults)

    def set_hung(self, hung: Mapping[str, str]) -> None:
        """Take down which pods hang now."""
        self._hung = dict(hung)

    def set_faults(self, faults: Mapping[str, tuple[Fault, ...]]) -> None:
        """Take down which NPUs are faulty now."""
        self._faults = {node: found for node, found in faults.items() if found}
