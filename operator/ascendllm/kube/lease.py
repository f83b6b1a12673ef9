"""Leader election by a Lease.

Correctness never rests on it: two operators that reconcile at once write the same objects. It keeps
a second one from doing the work twice. The holder renews; who finds a Lease that was not renewed
for its duration, by the own clock since it was first seen so, takes it over. On the way out the
holder gives it back, so that a successor need not wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ascendllm.exceptions import ClusterError
from ascendllm.kube.cluster import Cluster

__all__ = ["Lease", "LeaseLostError"]

logger = logging.getLogger(__name__)


class LeaseLostError(Exception):
    """The Lease could not be renewed in time, or somebody else holds it."""


class Lease:
    """A Lease and our hold on it.

    Args:
        cluster: The API server.
        namespace: Where the Lease is.
        name: Its name.
        identity: Who we are; unique among the candidates.
        duration: Seconds after which a Lease that nobody renewed is free.
        renew_after: Seconds between renewals.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: float = 15.0,
        renew_after: float = 5.0,
        retry_after: float = 1.0,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration = duration
        self._renew_after = renew_after
        self._retry_after = retry_after
        self._seen: tuple[str, float] = ("", 0.0)
        self._renewed = 0.0

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        while True:
            try:
                if await self._take():
                    logger.info("lease taken", extra={"lease": self._name})
                    return
            except Exception as error:  # whatever a proxy answered, the next answer may do
                logger.warning("lease not reached: %r", error)
            await asyncio.sleep(self._retry_after)

    async def hold(self) -> None:
        """Renew until cancelled.

        Raises:
            LeaseLostError: Somebody else has it, or it could not be renewed for its duration.
        """
        while True:
            await asyncio.sleep(self._renew_after)
            try:
                async with asyncio.timeout(self._duration - self._renew_after):
                    if not await self._take() and await self._is_anothers():
                        raise LeaseLostError(f"lease {self._name} is held by somebody else")
            except LeaseLostError:
                raise
            except Exception as error:
                if time.monotonic() - self._renewed > self._duration:
                    raise LeaseLostError(
                        f"lease {self._name} was not renewed: {error!r}"
                    ) from error
                logger.warning("lease not renewed, trying again: %r", error)

    async def release(self) -> None:
        """Give the Lease back; a failure only makes the successor wait."""
        try:
            current = await self._cluster.get("Lease", self._namespace, self._name)
            if current is not None and _holder(current) == self._identity:
                await self._cluster.replace(self._written(current, holder=""))
                logger.info("lease given back", extra={"lease": self._name})
        except ClusterError as error:
            logger.warning("lease not given back: %s", error)

    async def _take(self) -> bool:
        current = await self._cluster.get("Lease", self._namespace, self._name)
        try:
            if current is None:
                await self._cluster.create(self._written(None, holder=self._identity))
            elif self._free(current):
                await self._cluster.replace(self._written(current, holder=self._identity))
            else:
                return False
        except ClusterError as error:
            if error.status == 409:
                return False
            raise
        self._renewed = time.monotonic()
        return True

    async def _is_anothers(self) -> bool:
        """Whether a Lease that could not be taken has another holder, not just another version."""
        current = await self._cluster.get("Lease", self._namespace, self._name)
        return current is not None and _holder(current) not in ("", self._identity)

    def _free(self, lease: Mapping[str, Any]) -> bool:
        holder = _holder(lease)
        if holder in ("", self._identity):
            return True
        version = lease["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            # Clocks of two machines are not compared: what counts is how long it stands still.
            self._seen = (version, time.monotonic())
            return False
        stands = (lease.get("spec") or {}).get("leaseDurationSeconds") or self._duration
        return time.monotonic() - self._seen[1] > float(stands)

    def _written(self, current: Mapping[str, Any] | None, *, holder: str) -> dict[str, Any]:
        spec = dict((current or {}).get("spec") or {})
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if spec.get("holderIdentity") != holder:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + bool(holder)
        spec.update(holderIdentity=holder, leaseDurationSeconds=int(self._duration), renewTime=now)
        metadata = {"name": self._name, "namespace": self._namespace}
        if current is not None:
            metadata["resourceVersion"] = current["metadata"]["resourceVersion"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }


def _holder(lease: Mapping[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
