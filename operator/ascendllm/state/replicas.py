"""Replicas: what answers clients as one, a pod or a group of pods on several nodes.

Everything that is counted for people is counted in these: wanted, ready, served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ascendllm.state.pods import Pod

__all__ = ["Replica", "replicas"]


@dataclass(frozen=True)
class Replica:
    """The pods of one replica that are not on their way out.

    Attributes:
        name: A pod's name, or the index of a group.
        pods: Its pods, the one that answers clients first.
    """

    name: str
    pods: tuple[Pod, ...]

    @property
    def ready(self) -> bool:
        """Whether it answers: its leader does, and every pod that computes for it is there.

        One of a group that was restarted has lost the others: the group is about to be made anew,
        though all of it may look ready for a moment.
        """
        size = max(pod.size for pod in self.pods)
        whole = not self.pods[0].worker and len(self.pods) == size
        torn = size > 1 and any(pod.restarts for pod in self.pods)
        return whole and not torn and all(pod.ready for pod in self.pods)


def replicas(pods: Sequence[Pod]) -> tuple[Replica, ...]:
    """The pods of one revision by replica, in the order in which they are given."""
    members: dict[str, list[Pod]] = {}
    for pod in pods:
        members.setdefault(pod.replica, []).append(pod)
    return tuple(
        Replica(name, tuple(sorted(of_one, key=lambda pod: (pod.worker, pod.name))))
        for name, of_one in members.items()
    )
