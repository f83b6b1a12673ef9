"""The namespace that a scenario runs in, with a harness for everything except the operator.

The operator is a separate process, so its code may be of any revision: the harness waits for what
it does.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ascendllm.desired import names
from ascendllm.kube.kinds import KINDS, path
from integration.world import FIGURES, FINALIZER, World, controller
from takeover.fixtures import managers, prune

__all__ = ["RecordedNamespace", "figures"]

_TIMEOUT = 60.0
_POLL = 0.3
_QUIET = 2.0
"""Seconds without a change before the objects are recorded."""

_JOB_NAME = "batch.kubernetes.io/job-name"
_GROUP = "leaderworkerset.sigs.k8s.io"
_NOT_RECORDED = {"Event", "Lease", "Node"}
_CLASSES = ("priorityClassName", "runtimeClassName")
"""Fields of a pod that name cluster-scoped objects, which the test's API server does not have."""

_MORE_FIGURES: dict[str, dict[str, Any]] = {
    "dummy": {"checks": [{"name": "health", "result": "Passed", "latencyMs": 2.5}]},
    "parity": {
        "prompts": 8,
        "tokens": 12000,
        "rankAgreement": 99.5,
        "perplexityDifference": 0.02,
        "meanLogprobDifference": 0.000004,
        "p99LogprobDifference": 0.01,
        "control": {"rankAgreement": 99.6, "dtype": "bfloat16"},
    },
}

DOWNLOADED = {
    "result": "Complete",
    "bytes": 16_000_000_000,
    "files": 12,
    "revision": "0123abc",
    "config": {"num_hidden_layers": 32},
}


def figures(check: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a check that passes: exactly its baseline."""
    asked = spec["validation"][check]
    found = copy.deepcopy({**FIGURES, **_MORE_FIGURES}.get(check, {}))
    if check == "bench":
        found["p99TtftMs"] = 80.0
    if check == "mmlu" and "baseline" in asked:
        baseline = asked["baseline"]
        found[f"{baseline.get('average', 'macro')}Average"] = baseline["value"]
        found["protocol"] = asked.get("protocol", "lmEval")
    if check == "evals":
        found["lmEvalVersion"] = "0.4.12"
        found["tasks"] = [
            {
                "task": item["task"],
                "filter": item.get("filter", "none"),
                "metric": item.get("metric", "acc"),
                "value": item.get("baseline", 75.5),
            }
            for item in asked
        ]
    return found


class RecordedNamespace(World):
    """The harness of the integration tests, around an operator in another process."""

    posted: dict[str, dict[str, Any]]
    """The objects that the harness created, by uid, without the API server's defaults."""

    async def create(self, item: Mapping[str, Any]) -> dict[str, Any]:
        item = copy.deepcopy(dict(item))
        if item["kind"] == "Pod":
            for field in _CLASSES:
                item["spec"].pop(field, None)
            job = item["metadata"]["labels"].get(_JOB_NAME)
            if job is not None:
                owner = controller(await self.get("Job", job))
                item["metadata"]["ownerReferences"] = [owner]
        made = await super().create(item)
        self.posted = {**getattr(self, "posted", {}), made["metadata"]["uid"]: item}
        return made

    async def until(self, what: str, condition: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for something that the operator does."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                while not (found := await condition()):  # noqa: ASYNC110 - nothing to wait on
                    await asyncio.sleep(_POLL)
                return found
        except TimeoutError:
            raise AssertionError(f"{self.namespace}: {what} did not happen") from None

    async def until_ready(self, reason: str, name: str) -> None:
        """Wait for Ready with a status and a reason, such as `False/NameTaken`."""

        async def holds() -> bool:
            found = await self.find("AscendLLM", name)
            assert found is not None
            generation, status = found["metadata"]["generation"], found.get("status", {})
            if status.get("observedGeneration") != generation:
                return False
            return (await self.conditions(name))["Ready"] == reason

        await self.until(f"{name} {reason}", holds)

    async def until_quiet(self) -> None:
        """Wait until nothing changes any more."""
        before: dict[str, str] = {}
        while before != (before := await self._versions()):  # noqa: ASYNC110 - as above
            await asyncio.sleep(_QUIET)

    async def _versions(self) -> dict[str, str]:
        return {
            item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
            for item in await self.everything()
        }

    async def everything(self) -> list[dict[str, Any]]:
        """All objects of the namespace that an operator reads or writes, as they are."""
        kinds = [kind for kind, about in KINDS.items() if about.namespaced]
        kinds = [kind for kind in kinds if kind not in _NOT_RECORDED]
        pages = await asyncio.gather(
            *(self.admin._request("GET", path(kind, self.namespace)) for kind in kinds)
        )
        return [
            {"apiVersion": KINDS[kind].api_version, "kind": kind, **item}
            for kind, page in zip(kinds, pages, strict=True)
            for item in page["items"]
            if item["metadata"]["name"] not in ("kube-root-ca.crt", "default")
        ]

    async def move_groups(self, name: str, *, ready: bool = True) -> None:
        """Act as the LeaderWorkerSet controller and the kubelets."""
        for item in await self.children("LeaderWorkerSet", name):
            replicas = int(item["spec"]["replicas"])
            await self._end_pods(name, replicas)
            for number in range(replicas):
                await self._move_group(item, number, ready=ready)

    async def _end_pods(self, name: str, replicas: int) -> None:
        """Delete the pods of groups beyond the desired number."""
        for pod in await self.children("Pod", name):
            index = pod["metadata"]["labels"].get(f"{_GROUP}/group-index")
            if index is not None and int(index) >= replicas:
                await self.remove("Pod", pod["metadata"]["name"])

    async def _move_group(self, item: dict[str, Any], number: int, *, ready: bool) -> None:
        spec, base = item["spec"]["leaderWorkerTemplate"], item["metadata"]["name"]
        leaders = await self._stateful_set(base, item, spec["leaderTemplate"])
        leader = await self._group_pod(f"{base}-{number}", number, leaders, spec, "leaderTemplate")
        workers = await self._stateful_set(f"{base}-{number}", leader, spec["workerTemplate"])
        pods = [leader]
        for index in range(1, int(spec["size"])):
            name = f"{base}-{number}-{index}"
            pods.append(await self._group_pod(name, number, workers, spec, "workerTemplate"))
        for pod in pods:
            await self.report(pod["metadata"]["name"], ready=ready)

    async def _stateful_set(
        self, name: str, owner: dict[str, Any], template: dict[str, Any]
    ) -> dict[str, Any]:
        found = await self.find("StatefulSet", name)
        labels = template["metadata"]["labels"]
        return found or await self.create(
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": name, "ownerReferences": [controller(owner)]},
                "spec": {
                    "replicas": 0,
                    "serviceName": "",
                    "selector": {"matchLabels": labels},
                    "template": template,
                },
            }
        )

    async def _group_pod(
        self, name: str, number: int, above: dict[str, Any], spec: dict[str, Any], role: str
    ) -> dict[str, Any]:
        template = spec[role]
        labels = {**template["metadata"]["labels"], f"{_GROUP}/group-index": str(number)}
        return await self.find("Pod", name) or await self.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "labels": labels,
                    "annotations": {f"{_GROUP}/size": str(spec["size"])},
                    "ownerReferences": [controller(above)],
                },
                "spec": {**template["spec"], "nodeName": "node"},
            }
        )

    async def bind_claims(self) -> None:
        """Act as the storage provisioner."""
        for claim in await self.admin.list("PersistentVolumeClaim", self.namespace):
            if (claim.get("status") or {}).get("phase") != "Bound":
                status = {
                    "phase": "Bound",
                    "accessModes": claim["spec"]["accessModes"],
                    "capacity": claim["spec"]["resources"]["requests"],
                }
                name = claim["metadata"]["name"]
                await self.set_status("PersistentVolumeClaim", name, status)

    async def downloads(self) -> list[dict[str, Any]]:
        """The download jobs that have not ended."""
        jobs = await self.admin.list("Job", self.namespace, names.CACHE)
        return [dict(job) for job in jobs if not (job.get("status") or {}).get("conditions")]

    async def write_cache(self, job: Mapping[str, Any], key: str, value: Any) -> None:
        """Write to a cache's ConfigMap, as its download job does."""
        name = job["metadata"]["labels"][names.CACHE]
        change = {"data": {f"{key}.json": json.dumps(value)}}
        await self.admin.edit("ConfigMap", self.namespace, name, change, manager="download")

    async def end_download(self, job: Mapping[str, Any], **changes: Any) -> None:
        """End a download job."""
        attempt = int(job["metadata"]["annotations"]["ascendllm.io/attempt"])
        result = {**DOWNLOADED, **changes, "attempt": attempt}
        await self.write_cache(job, "result", result)
        await self.end_job(job, failed=result["result"] == "Failed")

    async def end_check(self, job: Mapping[str, Any], name: str, **changes: Any) -> None:
        """End the job of a check; it passes unless `changes` say otherwise."""
        check = job["metadata"]["labels"][names.CHECK]
        spec = (await self.get("AscendLLM", name))["spec"]
        now = self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        result = {
            "check": check,
            "result": "Passed",
            "reason": "Fine",
            "message": "all went well",
            "startedAt": now,
            "finishedAt": now,
            "protocolNumber": 1,
            "harness": "0.1.0",
            **figures(check, spec),
            **changes,
        }
        if check == "bench" and "goodput" in spec["validation"]["bench"]:
            latencies = [[50.0, 22.49, 2906.2]] * int(str(result["completed"]))
            await self.write_data(job, **{"requests.json": json.dumps(latencies)})
        await self.write_data(job, **{"result.json": json.dumps(result)})
        await self.end_job(job, failed=result["result"] != "Passed")

    async def step(self, name: str, *, ready: bool = True) -> None:
        """Act once as the kubelets and the storage provisioner."""
        await self.bind_claims()
        if await self.children("LeaderWorkerSet", name):
            await self.move_groups(name, ready=ready)
        else:
            await self.move_pods(name, ready=ready)

    async def advance(self, name: str, check: str | None = None) -> Any:
        """Let everything succeed until the job of a check runs, or until Ready is True."""

        async def there() -> Any:
            for job in await self.downloads():
                await self.end_download(job)
            await self.step(name)
            job = await self.running_job(name)
            if job is not None and job["metadata"]["labels"][names.CHECK] == check:
                return job
            if job is not None:
                await self.end_check(job, name)
            found = await self.get("AscendLLM", name)
            generation = found["metadata"]["generation"]
            if check is not None or found.get("status", {}).get("observedGeneration") != generation:
                return None
            return (await self.conditions(name))["Ready"].startswith("True/")

        what = f"check {check}" if check else "Ready"
        try:
            return await self.until(f"{name}: {what}", there)
        except AssertionError as error:
            conditions = await self.conditions(name), await self.message(name=name)
            raise AssertionError(f"{error}: {conditions}") from None

    def recorded(self, item: dict[str, Any]) -> dict[str, Any]:
        """An object as a fixture holds it."""
        posted = getattr(self, "posted", {}).get(item["metadata"]["uid"])
        kept = prune(item)
        entries = item["metadata"].get("managedFields") or []
        metadata = kept["metadata"] = {
            "name": item["metadata"]["name"],
            "uid": item["metadata"]["uid"],
            "creationTimestamp": item["metadata"]["creationTimestamp"],
            **{
                key: item["metadata"][key]
                for key in ("labels", "annotations", "ownerReferences", "finalizers")
                if item["metadata"].get(key)
            },
        }
        if item["kind"] == "AscendLLM":
            metadata["generation"] = item["metadata"]["generation"]
        finalizers = [text for text in metadata.pop("finalizers", []) if text != FINALIZER]
        if finalizers and item["kind"] == "AscendLLM":
            metadata["finalizers"] = finalizers
        if posted is not None:
            kept |= {key: posted[key] for key in ("spec", "data") if key in posted}
            if item["kind"] in ("ReplicaSet", "StatefulSet"):
                kept["spec"] = _without_containers(posted["spec"])
        else:
            metadata["managedFields"] = managers(entries)
        if item["kind"] == "Job":
            _drop_generated(kept)
        return kept


def _without_containers(spec: dict[str, Any]) -> dict[str, Any]:
    template = spec["template"]
    pod = {"containers": [{"name": "vllm", "image": "image"}]}
    return {**spec, "template": {"metadata": template["metadata"], "spec": pod}}


def _drop_generated(job: dict[str, Any]) -> None:
    """Remove what the API server generates and refuses in a new Job."""
    job["spec"].pop("selector", None)
    for metadata in (job["metadata"], job["spec"]["template"].get("metadata", {})):
        labels = metadata.get("labels", {})
        for label in list(labels):
            if label.removeprefix("batch.kubernetes.io/") in ("controller-uid", "job-name"):
                del labels[label]
