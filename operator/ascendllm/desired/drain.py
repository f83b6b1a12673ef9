"""The way down: a pod that ends answers first what it was asked.

The pod leaves the Services' endpoints when its deletion is noted, and the nodes take a moment to
hear of it: until then new requests still come, so that SIGTERM has to wait (`preStop`). vLLM then
takes no new requests and finishes those in flight, for as long as `--shutdown-timeout` says; its
own default of 0 aborts them. The kubelet must be more patient than both together.

Of a group of pods that serve together all are deleted at once, and the one that answers needs the
others to the end: those wait until nobody listens on its port any more, which vLLM closes last
(entrypoints/launcher.py: first the engine's drain, then the server's end).
"""

from __future__ import annotations

from ascendllm.api.engine import Engine
from ascendllm.desired.part import Part
from ascendllm.engine.arguments import PORT
from ascendllm.engine.drain import LEAST_SECONDS, shutdown_timeout

__all__ = ["drain", "grace_when_hung"]

_LEAVING_SECONDS = 5
"""Until every node's proxy has heard that the pod is no endpoint any more."""

_ENDING_SECONDS = 30
"""vLLM ends its children at the drain's end, at the earliest after 5 s."""


_AFTER_THE_LEADER = f"""\
import os, socket, time
failed = 0
while failed < 3:
    try:
        socket.create_connection((os.environ["LWS_LEADER_ADDRESS"], {PORT}), 5).close()
        failed = 0
    except OSError:
        failed += 1
    time.sleep(1)
"""


def drain(engine: Engine, *, answers: bool) -> Part:
    """The time that a pod is given to end.

    Args:
        engine: How long the longest request may take.
        answers: Clients ask this pod; else it only computes for one that they ask.
    """
    # By the image's own command: the kubelet's own `sleep` is younger than Kubernetes 1.29.
    leaving = ["sleep", str(_LEAVING_SECONDS)]
    command = leaving if answers else ["python3", "-c", _AFTER_THE_LEADER]
    return Part(
        pod={"terminationGracePeriodSeconds": _grace_seconds(shutdown_timeout(engine))},
        container={"lifecycle": {"preStop": {"exec": {"command": command}}}},
    )


def grace_when_hung(engine: Engine) -> int | None:
    """Seconds for a server that the liveness probe has given up: it finishes nothing.

    None where that is what any pod is given.
    """
    longer = shutdown_timeout(engine) > LEAST_SECONDS
    return _grace_seconds(LEAST_SECONDS) if longer else None


def _grace_seconds(timeout: int) -> int:
    """From a pod's deletion until what is left of it is killed."""
    return _LEAVING_SECONDS + timeout + _ENDING_SECONDS
