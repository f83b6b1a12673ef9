"""What a kubelet, a scheduler and the Deployment and Job controllers would do, done by hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from ascendllm.checks.result import CheckResult
from ascendllm.desired import names
from ascendllm.kube.client import ApiServer
from ascendllm.reconcile import Reconciler
from cluster.control_plane import ControlPlane

__all__ = ["FIGURES", "World", "resource"]

IMAGE_ID = "sha256:" + "a" * 64

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


def resource(**changes: Any) -> dict[str, Any]:
    """The tests' resource, with parts of its spec replaced (None removes one)."""
    item: dict[str, Any] = yaml.safe_load(_EXAMPLE)
    for key, value in changes.items():
        if value is None:
            item["spec"].pop(key, None)
        else:
            item["spec"][key] = value
    return item


class World:
    """A namespace with a resource in it, and the moves of everything that is not the operator."""

    reconciler: Reconciler

    def __init__(self, api: ApiServer, plane: ControlPlane, namespace: str) -> None:
        self.api = api
        self.plane = plane
        self.namespace = namespace
        self._offset = timedelta()

    def clock(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def pass_time(self, **span: float) -> None:
        self._offset += timedelta(**span)

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return self.plane.kubectl("-n", self.namespace, *arguments, text=text)

    def apply(self, item: Mapping[str, Any]) -> None:
        """As a user: kubectl apply, with strict validation."""
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump(dict(item)))

    async def reconcile(self, name: str = "llama") -> float | None:
        return await self.reconciler.reconcile((self.namespace, name))

    async def settle(self, name: str = "llama", limit: int = 12) -> None:
        """Reconcile until nothing is written any more."""
        for _ in range(limit):
            before = await self.versions(name)
            await self.reconcile(name)
            if await self.versions(name) == before:
                return
        raise AssertionError(f"{name} still changes after {limit} passes")

    async def versions(self, name: str = "llama") -> dict[tuple[str, str], str]:
        """The resourceVersion of the resource and of all its objects."""
        from ascendllm.kube.kinds import CHILDREN

        selector = f"{names.NAME}={name}"
        found = {
            (kind, item["metadata"]["name"]): item["metadata"]["resourceVersion"]
            for kind in CHILDREN
            for item in await self.api.list(kind, self.namespace, selector)
        }
        parent = await self.api.get("AscendLLM", self.namespace, name)
        if parent is not None:
            found["AscendLLM", name] = parent["metadata"]["resourceVersion"]
        return found

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        item = await self.api.get(kind, self.namespace, name)
        assert item is not None, f"{kind} {name} is not there"
        return copy.deepcopy(dict(item))

    async def status(self, name: str = "llama") -> dict[str, Any]:
        status: dict[str, Any] = (await self.get("AscendLLM", name)).get("status", {})
        return status

    async def condition(self, kind: str, name: str = "llama") -> dict[str, Any] | None:
        conditions = (await self.status(name)).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), None)

    async def children(self, kind: str, name: str = "llama") -> list[dict[str, Any]]:
        return [
            copy.deepcopy(dict(item))
            for item in await self.api.list(kind, self.namespace, f"{names.NAME}={name}")
        ]

    async def served(self, name: str = "llama") -> str:
        service = await self.get("Service", name)
        revision: str = service["spec"]["selector"][names.REVISION]
        return revision

    async def move_pods(
        self,
        name: str = "llama",
        *,
        ready: bool = True,
        image_id: str = IMAGE_ID,
        restarts: int = 0,
    ) -> None:
        """Bring the pods to what the Deployments say, and have them ready or still loading."""
        wanted: dict[str, tuple[int, dict[str, Any]]] = {}
        for deployment in await self.children("Deployment", name):
            revision = deployment["metadata"]["labels"][names.REVISION]
            wanted[revision] = deployment["spec"]["replicas"], deployment["spec"]["template"]
        serving = [
            pod
            for pod in await self.children("Pod", name)
            if names.REVISION in pod["metadata"]["labels"]
        ]
        for pod in serving:
            revision = pod["metadata"]["labels"][names.REVISION]
            number = int(pod["metadata"]["name"].rsplit("-", 1)[1])
            if number >= wanted.get(revision, (0, {}))[0]:
                await self.delete_pod(pod["metadata"]["name"])
        there = {pod["metadata"]["name"] for pod in serving}
        for revision, (count, template) in wanted.items():
            for number in range(count):
                pod_name = f"{name}-{revision}-{number}"
                if pod_name not in there:
                    await self._create_pod(pod_name, template)
                self._report(pod_name, ready=ready, image_id=image_id, restarts=restarts)

    async def delete_pod(self, pod_name: str) -> None:
        self.kubectl("delete", "pod", pod_name, "--grace-period=0", "--force", "--wait=false")

    async def _create_pod(self, pod_name: str, template: Mapping[str, Any]) -> None:
        spec = copy.deepcopy(template["spec"])
        spec["nodeName"] = "node"
        await self.api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": pod_name,
                    "namespace": self.namespace,
                    "labels": template["metadata"]["labels"],
                },
                "spec": spec,
            }
        )

    def _report(self, pod_name: str, *, ready: bool, image_id: str, restarts: int) -> None:
        started = "2026-01-01T00:00:00Z"
        status = {
            "phase": "Running",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": started},
                {
                    "type": "Ready",
                    "status": "True" if ready else "False",
                    "lastTransitionTime": "2026-01-01T00:01:30Z",
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
                    "state": {"running": {"startedAt": started}},
                }
            ],
        }
        self.set_status("pod", pod_name, status)

    def set_status(self, kind: str, name: str, status: Mapping[str, Any]) -> None:
        self.kubectl(
            "patch", kind, name, "--subresource=status", "--type=merge", "-p",
            json.dumps({"status": status}),
        )  # fmt: skip

    async def running_job(self, name: str = "llama") -> dict[str, Any] | None:
        """The one job that has not ended."""
        open_jobs = [
            job for job in await self.children("Job", name) if not job["status"].get("conditions")
        ]
        assert len(open_jobs) <= 1, "checks must run one at a time"
        return open_jobs[0] if open_jobs else None

    def write_result(self, job: Mapping[str, Any], **changes: Any) -> None:
        """What the job's pod would write into its run's ConfigMap, with the job's own rights."""
        check = job["metadata"]["labels"][names.CHECK]
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
        self.write_data(job, **{"result.json": json.dumps(result.to_json())})

    def write_data(self, job: Mapping[str, Any], **data: str) -> None:
        self.kubectl(
            "patch", "configmap", job["metadata"]["name"], "--type=merge",
            "--field-manager=validator", "-p", json.dumps({"data": data}),
        )  # fmt: skip

    def end_job(self, job: Mapping[str, Any], *, failed: bool = False, reason: str = "") -> None:
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
        self.set_status("job", job["metadata"]["name"], status)

    async def finish_check(self, check: str, name: str = "llama", **changes: Any) -> None:
        """Let the running job, which must be of this check, write a result and end."""
        job = await self.running_job(name)
        assert job is not None, f"no job runs; {check} was expected"
        assert job["metadata"]["labels"][names.CHECK] == check
        self.write_result(job, **changes)
        self.end_job(job, failed=changes.get("result", "Passed") != "Passed")
        await self.settle(name)

    async def prove(
        self, name: str = "llama", checks: tuple[str, ...] = ("smoke", "bench", "mmlu")
    ) -> None:
        """From an applied resource to a proven, served revision."""
        await self.settle(name)
        await self.move_pods(name)
        await self.settle(name)
        for check in checks:
            await self.finish_check(check, name)
