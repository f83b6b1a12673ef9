"""What a decision lacks: the caller looks it up and asks again.

Most decisions need the resource and its own objects alone. What else one needs, it names by raising
one of these, so that at rest nothing more is read than that.
"""

from __future__ import annotations

__all__ = [
    "CachesNeeded",
    "CapacityNeeded",
    "CrashNeeded",
    "FillingNeeded",
    "LoadingNeeded",
    "LookupNeeded",
    "NodesNeeded",
    "PeerNeeded",
    "RequestsNeeded",
]


class LookupNeeded(Exception):  # noqa: N818 - no error: the caller looks and asks again
    """Something must be looked at first."""


class NodesNeeded(LookupNeeded):
    """The chips' generation must be read from the nodes."""


class PeerNeeded(LookupNeeded):
    """The figures of another AscendLLM of the namespace are to stand beside ours.

    Args:
        name: That resource.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class RequestsNeeded(LookupNeeded):
    """Goodput is judged by each request's latencies, which are too long to be kept at hand.

    Args:
        run: The ConfigMap of the run.
    """

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run


class CapacityNeeded(LookupNeeded):
    """It matters how many NPUs are free where.

    Args:
        resource: The extended resource.
    """

    def __init__(self, resource: str) -> None:
        super().__init__(resource)
        self.resource = resource


class _LogNeeded(LookupNeeded):
    """A server's log must be read.

    Args:
        pod: Its name.
        uid: Its uid.
        restarts: How often it was restarted.
    """

    def __init__(self, pod: str, uid: str, restarts: int) -> None:
        super().__init__(pod)
        self.pod = pod
        self.uid = uid
        self.restarts = restarts


class LoadingNeeded(_LogNeeded):
    """How far a server is with loading stands in its log."""


class CrashNeeded(_LogNeeded):
    """Why a server crashed stands in its log, further up than the kubelet keeps."""


class CachesNeeded(LookupNeeded):
    """The namespace's caches: the model is downloaded, or an earlier revision's was.

    Args:
        claims: Users' claims that are to be looked at as well.
    """

    def __init__(self, claims: tuple[str, ...]) -> None:
        super().__init__(*claims)
        self.claims = claims


class FillingNeeded(LookupNeeded):
    """What fills the namespace's caches: one of ours is not complete yet."""
