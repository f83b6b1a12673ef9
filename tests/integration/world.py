"""What a kubelet, a scheduler and the Deployment and Job controllers would do, done by hand."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from ascendllm.checks.result import CheckResult
from ascendllm.desired import names
from ascendllm.kube.client import ApiServer
from ascendllm.kube.findings import Findings
from ascendllm.kube.kinds import CHILDREN
from ascendllm.reconcile import Reconciler
from ascendllm.settings import Settings
from ascendllm.state.observed import REVALIDATE
from cluster.control_plane import ControlPlane
from integration.admin import Admin
from integration.mortal import Killed, Mortal

__all__ = [
    "FIGURES",
    "FINALIZER",
    "IMAGE_ID",
    "SETTINGS",
    "World",
    "controller",
    "resource",
    "serving",
]

IMAGE_ID = "sha256:" + "a" * 64

SETTINGS = {
    "hostPathPrefixes": "/opt/atomgit",
    "runtimeRepository": "registry.test/vllm-ascend",
    "validatorImage": "registry.test/validator:1",
    "downloaderImage": "registry.test/downloader:1",
    "evalsImage": "registry.test/evals:1",
    "mmluData": '{"hostPath": "/opt/atomgit/mmlu", "custom": true}',
}

FIGURES: dict[str, dict[str, Any]] = {
    "smoke": {"checks": [{"name": "health", "result": "Passed", "latencyMs": 1.5}]},
    "bench": {
        "completed": 20,
        "failed": 0,
        "totalInputTokens": 2560,
        "totalOutputTokens": 2560,
        "duration": 14.4,
        "concurrency": 4,
        "outputThroughput": 177.75,
        "meanTpotMs": 22.49,
        "meanTtftMs": 50.0,
    },
    "mmlu": {
        "macroAverage": 66.3,
        "microAverage": 65.4,
        "questions": 1140,
        "subjectCount": 57,
        "unanswered": 0,
        "datasetHash": "0123456789abcdef",
        "customData": True,
        "protocol": "lmEval",
        "shots": 5,
        "standardErrors": {"macro": 0.49, "micro": 0.4},
    },
}
"""What each check measures when all goes well."""

_EXAMPLE = """
apiVersion: ascendllm.io/v1alpha1
kind: AscendLLM
metadata: {name: llama}
spec:
  model: {source: {hostPath: /opt/atomgit/llama}}
  runtime: {version: v0.18.0rc1}
  npu: {generation: A3}
  validation:
    smoke: {}
    bench: {}
    mmlu: {baseline: {value: 66.7, average: macro}}
"""

FINALIZER = "ascendllm.test/pods-stay"
LOADING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def resource(**changes: Any) -> dict[str, Any]:
    """The tests' resource, with parts of its spec replaced (None removes one)."""
    item: dict[str, Any] = yaml.safe_load(_EXAMPLE)
    for key, value in changes.items():
        if value is None:
            item["spec"].pop(key, None)
        else:
            item["spec"][key] = value
    return item


def serving(pod: Mapping[str, Any]) -> bool:
    """Whether a pod serves, and is none of a job's."""
    return names.REVISION in pod["metadata"]["labels"]


def controller(item: Mapping[str, Any]) -> dict[str, Any]:
    """The reference by which an object is another's controller."""
    return {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "name": item["metadata"]["name"],
        "uid": item["metadata"]["uid"],
        "controller": True,
    }


class World:
    """A namespace with a resource in it, and the moves of everything that is not the operator."""

    def __init__(self, admin: Admin, plane: ControlPlane, api: ApiServer, namespace: str) -> None:
        self.admin = admin
        self.plane = plane
        self.namespace = namespace
        self._api = api
        self._offset = timedelta()
        self.foreign: set[str] = set()
        """Names of objects of somebody else's with a resource's labels."""
        self.findings = Findings()

    def clock(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def pass_time(self, **span: float) -> None:
        self._offset += timedelta(**span)

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return self.plane.kubectl("-n", self.namespace, *arguments, text=text)

    async def apply(self, item: Mapping[str, Any]) -> None:
        """As a user: with strict validation, and what is left out is removed."""
        item = copy.deepcopy(dict(item))
        item["metadata"]["namespace"] = self.namespace
        await self.admin.kubectl_apply(item)

    async def create(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """As somebody else."""
        item = copy.deepcopy(dict(item))
        item["metadata"]["namespace"] = self.namespace
        return await self.admin.post(item)

    async def edit(
        self, kind: str, name: str, change: Mapping[str, Any], subresource: str = ""
    ) -> None:
        """As `kubectl edit` by somebody."""
        await self.admin.edit(kind, self.namespace, name, change, subresource=subresource)

    async def annotate(self, value: str | None, name: str = "llama") -> None:
        """As `kubectl annotate ascendllm/llama ascendllm.io/revalidate=VALUE --overwrite`."""
        change = {"metadata": {"annotations": {REVALIDATE: value}}}
        await self.edit("AscendLLM", name, change)

    async def remove(self, kind: str, name: str) -> None:
        """As `kubectl delete --grace-period=0 --force`."""
        await self.admin.remove(kind, self.namespace, name)

    def operate(self, settings: Settings, life: int = sys.maxsize) -> Mortal:
        """Start an operator, in place of the one before; it dies of its `life`-th write."""
        self._settings = settings
        self._cluster = Mortal(self._api, life)
        self._reconciler = Reconciler(self._cluster, settings, self.clock, self.findings)
        return self._cluster

    async def reconcile(self, name: str = "llama") -> float | None:
        """One pass; an operator that dies of it is followed by an immortal one."""
        try:
            return await self._reconciler.reconcile((self.namespace, name))
        except Killed:
            self.operate(self._settings)
            return None

    async def gets_at_rest(self, name: str = "llama") -> int:
        """Objects that a pass over a settled resource asks for, one by one."""
        before = self._cluster.gets
        await self.reconcile(name)
        return self._cluster.gets - before

    async def settle(self, name: str = "llama", limit: int = 12) -> None:
        """Reconcile until nothing is written any more."""
        for _ in range(limit):
            cluster, before = self._cluster, self._cluster.writes
            await self.reconcile(name)
            if self._cluster is cluster and cluster.writes == before:
                return
        raise AssertionError(f"{name} still changes after {limit} passes")

    async def versions(self, name: str = "llama") -> dict[tuple[str, str], str]:
        """The resourceVersion of the resource and of all its objects."""
        lists = await asyncio.gather(*(self.children(kind, name) for kind in CHILDREN))
        found = {
            (kind, item["metadata"]["name"]): item["metadata"]["resourceVersion"]
            for kind, items in zip(CHILDREN, lists, strict=True)
            for item in items
        }
        parent = await self.admin.get("AscendLLM", self.namespace, name)
        if parent is not None:
            found["AscendLLM", name] = parent["metadata"]["resourceVersion"]
        return found

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        item = await self.find(kind, name)
        assert item is not None, f"{kind} {name} is not there"
        return item

    async def find(self, kind: str, name: str) -> dict[str, Any] | None:
        item = await self.admin.get(kind, self.namespace, name)
        return None if item is None else copy.deepcopy(dict(item))

    async def status(self, name: str = "llama") -> dict[str, Any]:
        status: dict[str, Any] = (await self.get("AscendLLM", name)).get("status", {})
        return status

    async def conditions(self, name: str = "llama") -> dict[str, str]:
        """Each condition as `status/reason`."""
        conditions = (await self.status(name)).get("conditions", [])
        return {c["type"]: f"{c['status']}/{c['reason']}" for c in conditions}

    async def message(self, kind: str = "Ready", name: str = "llama") -> str:
        conditions = (await self.status(name))["conditions"]
        return next(str(c["message"]) for c in conditions if c["type"] == kind)

    async def check(self, check: str, name: str = "llama") -> dict[str, Any]:
        result: dict[str, Any] = (await self.status(name))["validation"][check]
        return result

    async def children(self, kind: str, name: str = "llama") -> list[dict[str, Any]]:
        return [
            copy.deepcopy(dict(item))
            for item in await self.admin.list(kind, self.namespace, f"{names.NAME}={name}")
            if item["metadata"]["name"] not in self.foreign
        ]

    async def names_of(self, kind: str, name: str = "llama") -> set[str]:
        return {item["metadata"]["name"] for item in await self.children(kind, name)}

    async def served(self, name: str = "llama") -> str:
        service = await self.get("Service", name)
        revision: str = service["spec"]["selector"][names.REVISION]
        return revision

    async def revision(self, name: str = "llama") -> str:
        """The spec's revision: the one of the highest number."""
        revisions = await self.children("ControllerRevision", name)
        newest = max(revisions, key=lambda item: int(item["revision"]))
        return str(newest["metadata"]["labels"][names.REVISION])

    async def serving_pods(self, name: str = "llama") -> list[dict[str, Any]]:
        return [pod for pod in await self.children("Pod", name) if serving(pod)]

    async def move_pods(
        self,
        name: str = "llama",
        *,
        ready: bool = True,
        image_id: str = IMAGE_ID,
        restarts: int = 0,
        state: Mapping[str, Any] = LOADING,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        """Bring the pods to what the Deployments say, and have them ready or still loading."""
        wanted: dict[str, tuple[int, dict[str, Any]]] = {}
        for deployment in await self.children("Deployment", name):
            revision = deployment["metadata"]["labels"][names.REVISION]
            wanted[revision] = deployment["spec"]["replicas"], deployment
        there = set()
        for pod in await self.serving_pods(name):
            revision = pod["metadata"]["labels"][names.REVISION]
            number = int(pod["metadata"]["name"].rsplit("-", 1)[1])
            if number >= wanted.get(revision, (0, {}))[0]:
                await self.remove("Pod", pod["metadata"]["name"])
            else:
                there.add(pod["metadata"]["name"])
        for revision, (count, deployment) in wanted.items():
            replica_set = await self.replica_set(deployment) if count else {}
            for number in range(count):
                pod_name = f"{name}-{revision}-{number}"
                if pod_name not in there:
                    await self._create_pod(pod_name, replica_set)
                await self.report(
                    pod_name,
                    ready=ready,
                    image_id=image_id,
                    restarts=restarts,
                    state=state,
                    facts=facts,
                )

    async def replica_set(self, deployment: Mapping[str, Any]) -> dict[str, Any]:
        """The ReplicaSet of a Deployment, created or adopted.

        Its finalizer keeps it, and so its pods, when the Deployment goes: pods end when a test says
        so, and not when the garbage collector gets to them.
        """
        name = deployment["metadata"]["name"]
        owners = {"ownerReferences": [controller(deployment)]}
        found = await self.find("ReplicaSet", name)
        if found is not None:
            if found["metadata"]["ownerReferences"] != owners["ownerReferences"]:
                await self.edit("ReplicaSet", name, {"metadata": owners})
            return found
        template = deployment["spec"]["template"]
        selector = {"matchLabels": template["metadata"]["labels"]}
        return await self.create(
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {"name": name, "finalizers": [FINALIZER], **owners},
                "spec": {"replicas": 0, "selector": selector, "template": template},
            }
        )

    async def _create_pod(self, pod_name: str, replica_set: Mapping[str, Any]) -> None:
        template = replica_set["spec"]["template"]
        spec = copy.deepcopy(template["spec"])
        spec["nodeName"] = "node"
        metadata = {
            "name": pod_name,
            "labels": template["metadata"]["labels"],
            "ownerReferences": [controller(replica_set)],
        }
        await self.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    async def report(
        self,
        pod_name: str,
        *,
        ready: bool = True,
        image_id: str = IMAGE_ID,
        restarts: int = 0,
        state: Mapping[str, Any] = LOADING,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        """What a kubelet says of a serving pod; `facts` is what its init container found out."""
        started = "2026-01-01T00:00:00Z"
        status: dict[str, Any] = {
            "phase": "Running",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": started},
                {
                    "type": "Ready",
                    "status": "True" if ready else "False",
                    "lastTransitionTime": "2026-01-01T00:01:30Z" if ready else started,
                },
            ],
            "containerStatuses": [
                {
                    "name": "vllm",
                    "image": "image",
                    "imageID": image_id,
                    "ready": ready,
                    "restartCount": restarts,
                    "started": ready,
                    "state": dict(state),
                }
            ],
        }
        if facts is not None:
            ended = {"exitCode": 0, "reason": "Completed", "message": json.dumps(facts)}
            status["initContainerStatuses"] = [
                {
                    "name": "facts",
                    "image": "image",
                    "imageID": image_id,
                    "ready": True,
                    "restartCount": 0,
                    "state": {"terminated": ended},
                }
            ]
        await self.set_status("Pod", pod_name, status)

    async def set_status(self, kind: str, name: str, status: Mapping[str, Any]) -> None:
        await self.edit(kind, name, {"status": status}, "status")

    async def running_job(self, name: str = "llama") -> dict[str, Any] | None:
        """The one job that has not ended."""
        open_jobs = [
            job for job in await self.children("Job", name) if not job["status"].get("conditions")
        ]
        assert len(open_jobs) <= 1, "checks must run one at a time"
        return open_jobs[0] if open_jobs else None

    async def job_of(self, check: str, name: str = "llama") -> dict[str, Any]:
        """The running job, which must be of this check."""
        job = await self.running_job(name)
        assert job is not None, f"no job runs; {check} was expected"
        assert job["metadata"]["labels"][names.CHECK] == check
        return job

    def result_text(self, check: str, **changes: Any) -> str:
        """A result as the check prints it, with figures or common keys changed."""
        result = CheckResult(
            check=check,
            result=changes.pop("result", "Passed"),
            reason=changes.pop("reason", "Fine"),
            message=changes.pop("message", "all went well"),
            started_at="2026-01-01T00:00:00Z",
            finished_at=self.clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
            protocol_number=1,
            figures=FIGURES[check] | changes,
        )
        return json.dumps(result.to_json(), ensure_ascii=False)

    async def write_result(self, job: Mapping[str, Any], **changes: Any) -> None:
        """What the job's pod would write into its run's ConfigMap."""
        text = self.result_text(job["metadata"]["labels"][names.CHECK], **changes)
        await self.write_data(job, **{"result.json": text})

    async def write_data(self, job: Mapping[str, Any], **data: str) -> None:
        await self.admin.edit(
            "ConfigMap",
            self.namespace,
            job["metadata"]["name"],
            {"data": data},
            manager="validator",
        )

    async def create_job_pod(
        self, job: Mapping[str, Any], *, message: str | None = None, phase: str = "Running"
    ) -> str:
        """The job's pod, as a kubelet shows it; `message` is its termination message."""
        name = f"{job['metadata']['name']}-pod"
        template = job["spec"]["template"]
        spec = copy.deepcopy(template["spec"]) | {"nodeName": "node"}
        metadata = {"name": name, "labels": template["metadata"]["labels"]}
        await self.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        ended = {"terminated": {"exitCode": 0, "reason": "Completed", "message": message}}
        status: dict[str, Any] = {"phase": phase}
        if message is not None:
            status["containerStatuses"] = [
                {
                    "name": "check",
                    "image": "image",
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": ended,
                }
            ]
        await self.set_status("Pod", name, status)
        return name

    async def end_job(
        self, job: Mapping[str, Any], *, failed: bool = False, reason: str = ""
    ) -> None:
        """Have the Job controller's verdict written."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = "Failed" if failed else "Complete"
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": now, "reason": reason or "Ended"}
            for kind in (("FailureTarget" if failed else "SuccessCriteriaMet"), ended)
        ]
        status: dict[str, Any] = {"conditions": conditions, "startTime": now}
        if not failed:
            status |= {"completionTime": now, "succeeded": 1}
        await self.set_status("Job", job["metadata"]["name"], status)

    async def finish_check(self, check: str, name: str = "llama", **changes: Any) -> None:
        """Let the running job, which must be of this check, write a result and end."""
        job = await self.job_of(check, name)
        await self.write_result(job, **changes)
        await self.end_job(job, failed=changes.get("result", "Passed") != "Passed")
        await self.settle(name)

    async def load(self, name: str = "llama") -> None:
        """From an applied resource to ready pods."""
        await self.settle(name)
        await self.move_pods(name)
        await self.settle(name)

    async def prove(
        self, name: str = "llama", checks: tuple[str, ...] = ("smoke", "bench", "mmlu")
    ) -> None:
        """From an applied resource to a proven, served revision."""
        await self.load(name)
        for check in checks:
            await self.finish_check(check, name)
