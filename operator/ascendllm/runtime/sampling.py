"""Asks serving pods for their metrics in rounds, so that no tenant's pods delay those of others.

Pods wait for their turn in two lanes, which share nothing. In the quick lane a pod has a tenth of a
round to answer. A pod that takes longer, or that does not answer with metrics, is asked in the slow
lane from then on, until it answers promptly again: it has more time there, and holds up only others
like it.

In a lane, the next request goes to the namespace that has the fewest requests under way, and in it
to the resource that has the fewest; of several, to the one that cost the least lately. So pods that
answer promptly have their turn in every round, however many slow pods other namespaces have.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ascendllm.reconcile import Key
from ascendllm.runtime.pod_metrics import MetricsError, read_metrics
from ascendllm.state.pods import Pod
from ascendllm.state.pulse import Beat

__all__ = ["QUICK", "SLOW", "Lane", "Limits", "Sample", "Sampler", "Target"]

logger = logging.getLogger(__name__)

Target = tuple[Key, Pod]
Party = Key | str
"""A resource or, by its name, a namespace."""

_BUSY = 0.15
"""The part of a round for which a lane may keep the event loop busy: servers may answer with 4 MiB
each, and promptly."""
_NAMESPACE_COST = 0.25
"""The part of a lane that one namespace may take."""


@dataclass(frozen=True)
class Limits:
    """How many requests a lane has under way, and how long each may take.

    Attributes:
        total: Requests to all pods.
        namespace: Requests to the pods of one namespace.
        resource: Requests to the pods of one resource.
        timeout: The part of a round that a pod has from the moment at which its request begins.
    """

    total: int
    namespace: int
    resource: int
    timeout: float


QUICK = Limits(total=32, namespace=8, resource=2, timeout=0.1)
SLOW = Limits(total=32, namespace=4, resource=1, timeout=0.4)


@dataclass(frozen=True)
class Sample:
    """The answer of a pod.

    Attributes:
        engines: The engines by label; {} if the pod did not answer with metrics.
        moment: When it answered, by the sampler's clock.
    """

    engines: Mapping[str, Beat]
    moment: float


class Lane:
    """Decides whose pod is asked next.

    A request costs the part that it takes of what the lane has in a round: the time of its places
    for requests, and the time of the event loop. Half of a cost is forgotten with each round.

    Args:
        limits: How many requests may be under way.
        period: Seconds that a round may take.
    """

    def __init__(self, limits: Limits, period: float) -> None:
        self.limits = limits
        self._request_seconds = limits.total * period
        self._busy_seconds = _BUSY * period
        self._turns = itertools.count()
        self._last_turns: dict[Party, int] = {}
        self._last_asked: dict[str, int] = {}
        self._cost: dict[Party, float] = {}
        self._begin(())

    def begin_round(self, waiting: Sequence[Target], known: Sequence[Target]) -> None:
        """Replaces the pods that wait; of a resource, those come first that waited longest.

        Args:
            waiting: The pods to ask.
            known: All pods; what is known of others is dropped.
        """
        keys = {key for key, _ in known}
        parties = keys | {namespace for namespace, _ in keys}
        uids = {pod.uid for _, pod in known}
        self._cost = {k: cost / 2 for k, cost in self._cost.items() if k in parties}
        self._last_turns = {k: turn for k, turn in self._last_turns.items() if k in parties}
        self._last_asked = {k: turn for k, turn in self._last_asked.items() if k in uids}
        self._begin(sorted(waiting, key=lambda target: self._last_asked.get(target[1].uid, -1)))

    def _begin(self, targets: Iterable[Target]) -> None:
        self._requests = 0
        self._under_way: Counter[Party] = Counter()
        self._busy = 0.0
        self._waiting: dict[str, dict[Key, deque[Pod]]] = {}
        for key, pod in targets:
            self._waiting.setdefault(key[0], {}).setdefault(key, deque()).append(pod)

    def take(self) -> Target | None:
        """The pod to ask now; None if none waits, or if the limits permit no request."""
        if self._requests >= self.limits.total or self._busy > self._busy_seconds:
            return None
        for namespace in sorted(self._waiting, key=self._rank):
            if self._under_way[namespace] >= self.limits.namespace:
                return None
            key = min(self._waiting[namespace], key=self._rank)
            if (
                self._under_way[key] < self.limits.resource
                and self._cost.get(namespace, 0.0) < _NAMESPACE_COST
            ):
                return key, self._start(key)
        return None

    def spend(self, key: Key, seconds: float) -> None:
        """Records for how long an answer from a resource's pod kept the event loop busy."""
        self._busy += seconds
        self._charge(key, seconds / self._busy_seconds)

    def end(self, key: Key, seconds: float) -> None:
        """Ends a request to a resource's pod, which took so long."""
        self._requests -= 1
        for party in (key, key[0]):
            self._under_way[party] -= 1
        self._charge(key, seconds / self._request_seconds)

    def _start(self, key: Key) -> Pod:
        namespace, turn = key[0], next(self._turns)
        self._requests += 1
        for party in (key, namespace):
            self._under_way[party] += 1
            self._last_turns[party] = turn
        pods = self._waiting[namespace][key]
        pod = pods.popleft()
        self._last_asked[pod.uid] = turn
        if not pods:
            del self._waiting[namespace][key]
        if not self._waiting[namespace]:
            del self._waiting[namespace]
        return pod

    def _charge(self, key: Key, cost: float) -> None:
        for party in (key, key[0]):
            self._cost[party] = self._cost.get(party, 0.0) + cost

    def _rank(self, party: Party) -> tuple[int, float, int]:
        return (
            self._under_way[party],
            self._cost.get(party, 0.0),
            self._last_turns.get(party, -1),
        )


class Sampler:
    """Asks pods for their metrics.

    Args:
        port: Where their servers listen.
        period: Seconds that a round may take.
        clock: Tells when a pod answered, in seconds.
    """

    def __init__(self, port: int, period: float, clock: Callable[[], float]) -> None:
        self._port = port
        self._period = period
        self._clock = clock
        self._quick, self._slow = Lane(QUICK, period), Lane(SLOW, period)
        self._slow_pods: set[str] = set()

    async def sample(self, targets: Sequence[Target]) -> dict[str, Sample]:
        """Asks each pod once, within the period; a pod whose turn did not come has no sample.

        Args:
            targets: The pods, each with its resource.

        Returns:
            The samples by the pods' uids.
        """
        self._slow_pods &= {pod.uid for _, pod in targets}
        quick = [target for target in targets if target[1].uid not in self._slow_pods]
        slow = [target for target in targets if target[1].uid in self._slow_pods]
        self._quick.begin_round(quick, targets)
        self._slow.begin_round(slow, targets)
        samples: dict[str, Sample] = {}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run(self._quick, samples))
            group.create_task(self._run(self._slow, samples))
        return samples

    async def _run(self, lane: Lane, samples: dict[str, Sample]) -> None:
        """Asks the pods that wait in a lane, as many as have the time to answer in this round."""
        last_start = time.monotonic() + self._period * (1 - lane.limits.timeout)
        running: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                while time.monotonic() < last_start and (target := lane.take()) is not None:
                    running.add(group.create_task(self._ask(lane, *target, samples)))
                if not running:
                    return
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    async def _ask(self, lane: Lane, key: Key, pod: Pod, samples: dict[str, Sample]) -> None:
        engines: Mapping[str, Beat] = {}
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._period * lane.limits.timeout):
                engines = await read_metrics(
                    pod.address, self._port, lambda seconds: lane.spend(key, seconds)
                )
        except (MetricsError, TimeoutError) as error:
            logger.debug("pod %s has no metrics: %s", pod.name, error)
        except Exception:  # one strange answer must not end the other requests
            logger.exception("the metrics of pod %s cannot be read", pod.name)
        seconds = time.monotonic() - started
        lane.end(key, seconds)
        prompt = bool(engines) and seconds < self._period * QUICK.timeout
        (self._slow_pods.discard if prompt else self._slow_pods.add)(pod.uid)
        samples[pod.uid] = Sample(engines, self._clock())
