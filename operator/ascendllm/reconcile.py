"""One reconcile: observe, decide, apply, status.

Level-triggered: it asks the API server what is the case, never what has happened. It may be cut off
at any line and begun anew, and two at once do no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from ascendllm.api.crd import GROUP, KIND, VERSION
from ascendllm.api.parse import parse_spec
from ascendllm.api.spec import Spec
from ascendllm.decide.decision import Decision, decide
from ascendllm.decide.needs import LookupNeeded
from ascendllm.decide.plan import Ref
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.exceptions import ClusterError, SpecError
from ascendllm.kube.cluster import Cluster, Object
from ascendllm.kube.compare import differs, leftover
from ascendllm.kube.events import event
from ascendllm.kube.findings import Findings
from ascendllm.kube.kinds import KINDS, OPTIONAL
from ascendllm.kube.optional import without_undeclared
from ascendllm.kube.read_budget import ReadBudget
from ascendllm.kube.sharing import cache_of, given_up, is_kept_by_owners, manager_of
from ascendllm.observe import Key, Observer, owned_by
from ascendllm.report.conditions import ready_condition
from ascendllm.settings import Settings
from ascendllm.state.observed import Observed
from ascendllm.state.times import format_time
from ascendllm.status.build import build_status, failed_status, refused_status

__all__ = ["Key", "Reconciler"]

logger = logging.getLogger(__name__)

_UNWATCHED_SECONDS = 30.0
"""How soon a refusal is looked at again that something may mend which is not watched: a node's
label, an object of somebody else's."""

_CAUSED_BY_CONTENT = frozenset({"TooLarge", "TooMany"})
"""Reasons for which the API server cannot be read until somebody deletes objects."""


class _RefusedError(SpecError):
    """An object cannot be as it should: it is somebody else's, or the API server refuses it."""


class Reconciler:
    """Brings resources and their objects into agreement.

    Args:
        cluster: The API server.
        settings: The operator's settings.
        clock: Tells the time.
        findings: What is found out about pods beside the passes.
        observe_replaced: Called with the reason of each pod that is replaced.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        findings: Findings | None = None,
        observe_replaced: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._cluster = cluster
        self._observer = Observer(cluster, clock, findings if findings is not None else Findings())
        self._observe_replaced = observe_replaced
        self._budget = ReadBudget()
        self._settings = settings

    async def reconcile(self, key: Key) -> float | None:
        """One pass over a resource.

        Returns:
            Seconds after which time alone asks for another pass; None where nothing waits.

        Raises:
            ClusterError: The API server refused or failed; the pass is to be tried again.
        """
        async with self._budget.one_pass():
            return await self._pass(key)

    async def _pass(self, key: Key) -> float | None:
        found = await self._read(key)
        if found is None:
            # The garbage collector does the rest, through the owner references.
            self._observer.forget(key)
            return None
        resource, spec = found
        owner = Owner.of(resource)
        observed = self._observer.nothing_of(resource)
        status: Mapping[str, Any] | None = None
        wake: float | None = None
        try:
            if isinstance(spec, SpecError):
                raise spec
            observed = await self._observer.observe(resource)
            observed, decision = await self._decide(owner, spec, observed)
            try:
                await self._carry_out(owner, decision, observed)
                await self._tell_replaced(resource, decision, observed)
                wake = _wake(decision, observed)
            except _RefusedError as problem:
                decision = replace(decision, problem=problem)
                wake = _UNWATCHED_SECONDS
            status = build_status(owner, spec, observed, decision)
        except SpecError as problem:
            status = refused_status(observed, problem)
        except ClusterError as error:
            # An API server that could not be read changes no status, unless that will last.
            if observed.objects or error.reason in _CAUSED_BY_CONTENT:
                status = failed_status(observed, error.reason or "ApiServerFailed", str(error))
            raise
        except Exception as error:
            status = failed_status(
                observed,
                "InternalError",
                "the operator failed on this resource, which is a bug in it: "
                f"{type(error).__name__}: {error!s:.300}; it tries again, and its log has the "
                "details",
            )
            raise
        finally:
            if status is not None:
                await self._write_status(resource, status, observed)
        return wake

    async def _read(self, key: Key) -> tuple[Object, Spec | SpecError] | None:
        """The resource without its spec, and the parsed spec or why it is refused.

        None for a resource that is gone or being deleted. A tenant may store a spec of 1.5 MB,
        which takes up to 25 times as much in memory: no pass holds it while it waits.
        """
        resource = await self._cluster.get(KIND, *key)
        if resource is None or "deletionTimestamp" in resource["metadata"]:
            return None
        spec: Spec | SpecError
        try:
            spec = parse_spec(resource)
        except SpecError as problem:
            # The traceback refers to the spec.
            spec = problem.with_traceback(None)
        return {field: value for field, value in resource.items() if field != "spec"}, spec

    async def _decide(
        self, owner: Owner, spec: Spec, observed: Observed
    ) -> tuple[Observed, Decision]:
        # Each look answers one question, and none is asked twice.
        while True:
            try:
                return observed, decide(owner, spec, observed, self._settings)
            except LookupNeeded as needed:
                observed = await self._observer.look_up(needed, observed)

    async def _carry_out(self, owner: Owner, decision: Decision, observed: Observed) -> None:
        """Records first, then deletions, then what acts on the records."""
        plan = decision.plan
        fields = {item.cached.claim: item.cached.field for item in decision.downloads}
        wanted = [item for item in plan.apply if self._needed(owner, item, observed)]
        before = {handover.target: handover.source for handover in plan.handovers}
        ranks = sorted({KINDS[item["kind"]].rank for item in wanted} | {0})
        for rank in ranks:
            batch = [item for item in wanted if KINDS[item["kind"]].rank == rank]
            await _all(self._apply(owner, item, observed, before, fields) for item in batch)
            if rank == 0:
                # Given up before the revision that tells of it is deleted.
                await _all(self._release(owner, ref, observed) for ref in plan.release)
                await _all(
                    self._cluster.delete(
                        ref.kind,
                        owner.namespace,
                        ref.name,
                        found["metadata"]["uid"],
                        grace_seconds=ref.grace_seconds,
                    )
                    for ref in plan.delete
                    if (found := observed.find(ref.kind, ref.name)) is not None
                    and "deletionTimestamp" not in found["metadata"]
                )

    def _needed(self, owner: Owner, item: Object, observed: Observed) -> bool:
        live = observed.find(item["kind"], item["metadata"]["name"])
        if live is None:
            return True
        if "deletionTimestamp" in live["metadata"] or live.get("immutable"):
            return False
        if self._observer.optional.is_as_near_as_it_comes(item, live):
            return False
        # A job's fields are immutable: it stays as it was started.
        return item["kind"] != "Job" and (
            differs(item, live, manager=manager_of(owner, item)) or is_kept_by_owners(item, live)
        )

    async def _release(self, owner: Owner, ref: Ref, observed: Observed) -> None:
        """Take ourselves out of a shared object; the last one out takes it away."""
        found = observed.find(ref.kind, ref.name)
        if found is None or "deletionTimestamp" in found["metadata"]:
            return
        manager = names.sharing_manager(owner.name)
        try:
            left = await self._cluster.apply(given_up(ref.kind, found), manager)
        except ClusterError as error:
            if error.status in (404, 409):
                # Gone, or another by now.
                return
            raise
        if not left["metadata"].get("ownerReferences"):
            uid, version = left["metadata"]["uid"], left["metadata"]["resourceVersion"]
            await self._cluster.delete(ref.kind, owner.namespace, ref.name, uid, version=version)

    async def _apply(
        self,
        owner: Owner,
        item: Object,
        observed: Observed,
        before: Mapping[str, str],
        fields: Mapping[str, str],
    ) -> None:
        """Apply an object.

        Args:
            owner: Whose it is.
            item: The object.
            observed: What is there.
            before: The runs whose checkpoints others begin with, by those.
            fields: What of the spec asks for a claim, by the claim.
        """
        kind, name = item["kind"], item["metadata"]["name"]
        goes_on_from = before.get(name)
        if kind == "ConfigMap" and goes_on_from is not None:
            checkpoint = await self._observer.runs.text(owner.namespace, goes_on_from, "checkpoint")
            if checkpoint is not None:
                # In one request: a run that is there without it would begin from nothing. Applied,
                # the checkpoint would be ours, and gone with the next apply.
                item = {**item, "data": {**item["data"], "checkpoint": checkpoint}}
                await self._cluster.create(item)
                return
        if observed.find(kind, name) is None:
            there = await self._cluster.get(kind, owner.namespace, name)
            if there is not None:
                _refuse_foreign(owner, kind, there, cache_of(item))
        if kind in OPTIONAL:
            self._observer.optional.applied((owner.namespace, owner.name), kind)
        logger.info("apply", extra={"kind": kind, "object": name, "namespace": owner.namespace})
        wanted = item
        try:
            applied = await self._cluster.apply(item, manager_of(owner, item))
        except ClusterError as error:
            if kind == "PersistentVolumeClaim" and error.status in (403, 422):
                raise _claim_refused(item, fields[name], error) from error
            known = without_undeclared(item, error)
            if known is None:
                raise
            item = known
            applied = await self._cluster.apply(item, manager_of(owner, item))
        if is_kept_by_owners(item, applied):
            nobodys = {"metadata": {"ownerReferences": None}}
            await self._cluster.merge(kind, owner.namespace, name, nobodys)
        patch = leftover(item, applied)
        if patch:
            applied = await self._cluster.merge(kind, owner.namespace, name, patch)
        self._observer.optional.came_of(wanted, applied)

    async def _write_status(
        self, resource: Object, status: Mapping[str, Any], observed: Observed
    ) -> None:
        metadata = resource["metadata"]
        item = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "status": status,
        }
        if not differs({"status": status}, resource, subresource="status"):
            return
        try:
            await self._cluster.apply_status(item)
        except ClusterError as error:
            if error.status == 404:
                return
            raise
        await self._tell(resource, status, observed)

    async def _tell_replaced(
        self, resource: Object, decision: Decision, observed: Observed
    ) -> None:
        """An event for each pod that is replaced."""
        for item in decision.care.now:
            self._observe_replaced(item.reason)
            logger.warning(
                "pod replaced",
                extra={
                    "namespace": resource["metadata"]["namespace"],
                    "name_": resource["metadata"]["name"],
                    "pod": item.pod,
                    "reason": item.reason,
                },
            )
            message = f"{item.message}: the pod is replaced"
            await self._event(resource, "Warning", item.reason, message, observed)

    async def _tell(self, resource: Object, status: Mapping[str, Any], observed: Observed) -> None:
        """An event where Ready says something else than before."""
        now, before = ready_condition(status), ready_condition(resource.get("status") or {})
        if (now["status"], now["reason"]) == (before.get("status"), before.get("reason")):
            return
        logger.info(
            "transition",
            extra={
                "namespace": resource["metadata"]["namespace"],
                "name_": resource["metadata"]["name"],
                "ready": now["status"],
                "reason": now["reason"],
            },
        )
        kind: Literal["Normal", "Warning"] = "Warning" if now["status"] == "False" else "Normal"
        message = now["message"] or now["reason"]
        await self._event(resource, kind, now["reason"], message, observed)

    async def _event(
        self,
        resource: Object,
        kind: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        observed: Observed,
    ) -> None:
        told = event(resource, kind, reason, message, format_time(observed.now))
        try:
            await self._cluster.create(told)
        except ClusterError as error:
            # An event is a courtesy: the status has been written.
            logger.warning("event not written: %s", error)


def _wake(decision: Decision, observed: Observed) -> float | None:
    if decision.problem is not None and decision.revision is None:
        unwatched = decision.problem.unwatched or observed.nodes is not None
        return _UNWATCHED_SECONDS if unwatched else None
    if decision.plan.wake_at is None:
        return None
    return max(0.5, (decision.plan.wake_at - observed.now).total_seconds())


def _claim_refused(item: Object, field: str, error: ClusterError) -> _RefusedError:
    """A quota, or a storage class that enlarges nothing: only the spec's writer can mend it."""
    size = item["spec"]["resources"]["requests"]["storage"]
    return _RefusedError(
        "ClaimRefused",
        f"{field}.cache: claim {item['metadata']['name']} of {size} is refused: "
        f"{error.message}; set size and storageClassName to what the namespace's quota and the "
        "storage class allow, or name a claim of yours by claimName",
    )


def _refuse_foreign(owner: Owner, kind: str, there: Object, cache: str | None = None) -> None:
    metadata = there["metadata"]
    if owned_by(owner.uid, there) or (cache is not None and cache_of(there) == cache):
        return
    of_predecessor = any(
        ref.get("kind") == KIND and ref.get("name") == owner.name
        for ref in metadata.get("ownerReferences") or []
    )
    if of_predecessor or "deletionTimestamp" in metadata:
        raise ClusterError(
            409, "Waiting", f"{kind} {metadata['name']} of a deleted resource is still there"
        )
    raise _RefusedError(
        "NameTaken",
        f"{kind} {metadata['name']} exists and is not ours: it is left alone; delete or rename it, "
        "or give the AscendLLM another metadata.name",
    )


async def _all(steps: Any) -> None:
    """Run all steps at once; the first failure is raised after all have ended."""
    for result in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
