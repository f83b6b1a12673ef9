"""A resource and its objects in memory: plans are carried out as the API server would do it.

For what needs no API server: the pure part, from objects to a plan and a status.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from ascendllm.api.spec import Spec
from ascendllm.checks.result import CheckResult
from ascendllm.decide.decision import Decision, decide
from ascendllm.decide.needs import (
    CachesNeeded,
    CapacityNeeded,
    CrashNeeded,
    FillingNeeded,
    LoadingNeeded,
    LookupNeeded,
    NodesNeeded,
    PeerNeeded,
    RequestsNeeded,
)
from ascendllm.decide.plan import Handover
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.settings import Settings
from ascendllm.state.capacity import node_npus
from ascendllm.state.device_faults import Fault
from ascendllm.state.diagnosis import diagnose
from ascendllm.state.loading import loading_stage
from ascendllm.state.observed import REVALIDATE, Observed
from ascendllm.status.build import build_status

__all__ = ["FIGURES", "IMAGE_ID", "SETTINGS", "Stage", "node", "spec_of"]

IMAGE_ID = "sha256:" + "a" * 64
UID = "00000000-0000-0000-0000-00000000000a"
BORN = "2026-01-01T00:00:00Z"

SETTINGS = Settings.from_mapping(
    {
        "hostPathPrefixes": "/opt/atomgit",
        "runtimeRepository": "registry.test/vllm-ascend",
        "validatorImage": "registry.test/validator:1",
        "downloaderImage": "registry.test/downloader:1",
        "evalsImage": "registry.test/evals:1",
        "mmluData": '{"hostPath": "/opt/atomgit/mmlu", "custom": true}',
    }
)

FIGURES: dict[str, dict[str, Any]] = {
    "dummy": {"checks": [{"name": "health", "result": "Passed"}]},
    "smoke": {"checks": [{"name": "health", "result": "Passed"}]},
    "bench": {
        "completed": 20,
        "failed": 0,
        "duration": 14.4,
        "outputThroughput": 177.75,
        "meanTtftMs": 50.0,
        "meanTpotMs": 22.49,
    },
    "mmlu": {
        "macroAverage": 66.3,
        "microAverage": 65.4,
        "questions": 1140,
        "subjectCount": 57,
        "unanswered": 0,
        "customData": True,
        "standardErrors": {"macro": 0.49, "micro": 0.4},
    },
    "evals": {
        "lmEvalVersion": "0.4.12",
        "tasks": [
            {"task": "gsm8k", "filter": "strict-match", "metric": "exact_match", "value": 92.5}
        ],
    },
    "parity": {
        "prompts": 8,
        "tokens": 12000,
        "rankAgreement": 99.5,
        "perplexityDifference": 0.02,
        "meanLogprobDifference": 0.0004,
        "p99LogprobDifference": 0.01,
        "control": {"rankAgreement": 99.6, "dtype": "bfloat16"},
    },
}

_SPEC = """
model: {source: {hostPath: /opt/atomgit/llama}}
runtime: {version: v0.18.0rc1}
npu: {generation: A3}
validation: {smoke: {}, bench: {}, mmlu: {baseline: {value: 66.7, average: macro}}}
"""


def spec_of(**changes: Any) -> Spec:
    """The tests' spec, with fields at the top replaced (None removes one)."""
    fields: dict[str, Any] = yaml.safe_load(_SPEC) | changes
    return Spec.model_validate({k: v for k, v in fields.items() if v is not None})


def node(name: str, chip: str | None, **capacity: str) -> dict[str, Any]:
    """A node with 16 NPUs, unless other capacities are given."""
    labels = {"node.kubernetes.io/npu.chip.name": chip} if chip is not None else {}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": capacity or {"huawei.com/Ascend910": "16"}},
    }


def _claim(name: str) -> dict[str, Any]:
    """A claim of the user's."""
    return {
        "metadata": {"name": name, "uid": f"claim-{name}"},
        "spec": {"accessModes": ["ReadWriteMany"]},
        "status": {"phase": "Bound", "capacity": {"storage": "1Ti"}},
    }


class Stage:
    """A resource, its objects, and a clock that stands still until it is moved."""

    def __init__(
        self,
        spec: Spec | None = None,
        *,
        name: str = "llama",
        settings: Settings = SETTINGS,
        nodes: tuple[Mapping[str, Any], ...] = (),
    ) -> None:
        self.spec = spec if spec is not None else spec_of()
        self.settings = settings
        self.nodes = nodes
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.first: dict[tuple[str, str], dict[str, Any]] = {}
        self.status: dict[str, Any] = {}
        self.generation = 1
        self.owner = Owner("default", name, UID)
        self.annotations: dict[str, str] = {}
        self.absent: frozenset[str] = frozenset()
        self.peers: dict[str, dict[str, Any]] = {}
        self.others: list[dict[str, Any]] = []
        """Pods of others, on each of the nodes."""
        self.log = ""
        """What every server writes."""
        self.hung: dict[str, str] = {}
        self.faults: dict[str, tuple[Fault, ...]] = {}
        self.claims: dict[str, dict[str, Any] | None] = {}
        self._pods = 0
        self._made = 0

    def change(self, spec: Spec) -> None:
        """Another spec: another generation."""
        self.spec = spec
        self.generation += 1

    def pass_time(self, **span: float) -> None:
        self.now += timedelta(**span)

    def annotate(self, value: str | None) -> None:
        """As `kubectl annotate ascendllm/llama ascendllm.io/revalidate=VALUE --overwrite`."""
        self.annotations = {} if value is None else {REVALIDATE: value}

    def observed(self) -> Observed:
        resource = {
            "metadata": {
                "name": self.owner.name,
                "namespace": self.owner.namespace,
                "uid": UID,
                "generation": self.generation,
                "creationTimestamp": BORN,
                "annotations": dict(self.annotations),
            },
            "status": self.status,
        }
        return Observed(
            resource,
            self.now,
            self._by_kind(shared=False),
            self.absent,
            hung=self.hung,
            faults=self.faults,
        )

    def _by_kind(self, *, shared: bool) -> dict[str, tuple[dict[str, Any], ...]]:
        kinds = {kind for kind, _ in self.objects}
        return {
            kind: tuple(
                item
                for (k, _), item in self.objects.items()
                if k == kind and (names.CACHE in item["metadata"].get("labels", {})) is shared
            )
            for kind in kinds
        }

    def _shared(self) -> dict[str, tuple[dict[str, Any], ...]]:
        return {"ConfigMap": (), "PersistentVolumeClaim": (), **self._by_kind(shared=True)}

    def decision(self) -> tuple[Observed, Decision]:
        observed = self.observed()
        while True:
            try:
                return observed, decide(self.owner, self.spec, observed, self.settings)
            except LookupNeeded as needed:
                observed = self._looked_up(needed, observed)

    def _looked_up(self, needed: LookupNeeded, observed: Observed) -> Observed:
        match needed:
            case NodesNeeded():
                return replace(observed, nodes=self.nodes)
            case PeerNeeded(name=name):
                return replace(observed, peers={**observed.peers, name: self.peers.get(name)})
            case CachesNeeded(claims=claims):
                found = {name: self.claims.get(name, _claim(name)) for name in claims}
                return replace(observed, shared=self._shared(), claims=found)
            case FillingNeeded():
                filling = dict.fromkeys(("Job", "Pod", "ServiceAccount", "Role", "RoleBinding"), ())
                return replace(observed, shared={**filling, **self._shared()})
            case RequestsNeeded(run=run):
                text = self.objects["ConfigMap", run]["data"].get("requests.json")
                return replace(observed, requests={**observed.requests, run: text})
            case CapacityNeeded(resource=resource):
                found = (node_npus(item, self.others, resource) for item in self.nodes)
                nodes = tuple(filter(None, found))
                return replace(observed, capacity={**observed.capacity, resource: nodes})
            case LoadingNeeded(uid=uid):
                stage = loading_stage(self.log)
                return replace(observed, loading={**observed.loading, uid: stage})
            case CrashNeeded(uid=uid):
                cause = diagnose(self.log)
                return replace(observed, crashes={**observed.crashes, uid: cause})
        raise AssertionError(needed)

    def step(self) -> bool:
        """One pass; whether it changed an object."""
        observed, decision = self.decision()
        before = copy.deepcopy(self.objects)
        for handover in decision.plan.handovers:
            self._hand_over(handover, decision.plan.apply)
        for item in decision.plan.apply:
            self._apply(item)
        for ref in (*decision.plan.delete, *decision.plan.release):
            self.objects.pop((ref.kind, ref.name), None)
        self.status = build_status(self.owner, self.spec, observed, decision)
        return self.objects != before

    def settle(self) -> Decision:
        for _ in range(20):
            if not self.step():
                return self.decision()[1]
        raise AssertionError("it still changes after 20 passes")

    def _apply(self, item: Mapping[str, Any]) -> None:
        # Through JSON and back, as everything that an API server has seen.
        new: dict[str, Any] = json.loads(json.dumps(item))
        key = new["kind"], new["metadata"]["name"]
        live = self.objects.get(key)
        self.first.setdefault(key, new)
        if live is None:
            self.objects[key] = copy.deepcopy(new)
            if names.CACHE in new["metadata"].get("labels", {}):
                self._made += 1
                self.objects[key]["metadata"]["uid"] = f"shared-{self._made}"
        elif not live.get("immutable") and new["kind"] != "Job":
            kept = live.get("data", {}) if new["kind"] == "ConfigMap" else {}
            if "uid" in live["metadata"]:
                new["metadata"]["uid"] = live["metadata"]["uid"]
            self.objects[key] = {**new, **({"data": {**kept, **new["data"]}} if kept else {})}

    def _hand_over(self, handover: Handover, items: tuple[Mapping[str, Any], ...]) -> None:
        checkpoint = self.objects["ConfigMap", handover.source]["data"].get("checkpoint")
        for item in items:
            if item["metadata"]["name"] == handover.target and item["kind"] == "ConfigMap":
                assert ("ConfigMap", handover.target) not in self.objects
                if checkpoint is not None:
                    self._apply({**item, "data": {**item["data"], "checkpoint": checkpoint}})

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [item for (k, _), item in self.objects.items() if k == kind]

    def move_pods(
        self,
        *,
        ready: bool = True,
        image_id: str = IMAGE_ID,
        restarts: int = 0,
        facts: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Bring the pods to what the workloads say, all of them alike.

        `facts` is what their init container found out; None leaves it out.
        """
        wanted = dict(self._wanted_pods())
        for pod in self.of("Pod"):
            if pod["metadata"]["name"] not in wanted:
                del self.objects["Pod", pod["metadata"]["name"]]
        for name, (labels, noted) in wanted.items():
            self._move_pod(name, labels, ready, image_id, restarts)
            pod = self.objects["Pod", name]
            pod["metadata"]["annotations"] = {**noted, **(annotations or {})}
            if facts is not None:
                ended = {"terminated": {"exitCode": 0, "message": json.dumps(facts)}}
                pod["status"]["initContainerStatuses"] = [{"name": "facts", "state": ended}]

    def _wanted_pods(self) -> Iterator[tuple[str, tuple[dict[str, str], dict[str, str]]]]:
        """Names, and the labels and annotations that tell where each belongs."""
        for item in [*self.of("Deployment"), *self.of("LeaderWorkerSet")]:
            workload, spec = item["metadata"]["name"], item["spec"]
            group = spec.get("leaderWorkerTemplate")
            for number in range(int(spec["replicas"])):
                if group is None:
                    labels = spec["template"]["metadata"]["labels"]
                    yield f"{workload}-{number}", (labels, {})
                    continue
                for index in range(int(group["size"])):
                    template = group["workerTemplate" if index else "leaderTemplate"]
                    labels = {
                        **template["metadata"]["labels"],
                        "leaderworkerset.sigs.k8s.io/group-index": str(number),
                    }
                    name = f"{workload}-{number}" + (f"-{index}" if index else "")
                    noted = {"leaderworkerset.sigs.k8s.io/size": str(group["size"])}
                    yield name, (labels, noted)

    def _move_pod(
        self, name: str, labels: Mapping[str, str], ready: bool, image_id: str, restarts: int
    ) -> None:
        if ("Pod", name) not in self.objects:
            self._pods += 1
        there = self.objects.get(("Pod", name), {}).get("metadata", {})
        uid = there.get("uid", f"pod-{self._pods}")
        born = there.get("creationTimestamp", self.now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.objects["Pod", name] = {
            "kind": "Pod",
            "metadata": {
                "name": name,
                "uid": uid,
                "creationTimestamp": born,
                "labels": dict(labels),
            },
            "status": {
                "phase": "Running",
                "conditions": [
                    {"type": "PodScheduled", "status": "True"},
                    {
                        "type": "Ready",
                        "status": "True" if ready else "False",
                        "lastTransitionTime": "2026-01-01T00:01:30Z" if ready else BORN,
                    },
                ],
                "containerStatuses": [
                    {
                        "name": "vllm",
                        "imageID": image_id,
                        "restartCount": restarts,
                        "state": {"running": {"startedAt": BORN}},
                    }
                ],
            },
        }

    def running(self) -> str | None:
        """The check whose job has not ended."""
        checks = [
            str(job["metadata"]["labels"][names.CHECK])
            for job in self.of("Job")
            if "status" not in job and names.CHECK in job["metadata"]["labels"]
        ]
        assert len(checks) <= 1, "checks must run one at a time"
        return checks[0] if checks else None

    def finish(self, check: str, **changes: Any) -> None:
        """Let the running job, which must be of this check, write a result and end."""
        assert self.running() == check
        (job,) = [
            job
            for job in self.of("Job")
            if "status" not in job and names.CHECK in job["metadata"]["labels"]
        ]
        moment = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        result = CheckResult(
            check=check,
            result=changes.pop("result", "Passed"),
            reason=changes.pop("reason", "Fine"),
            message=changes.pop("message", "all went well"),
            started_at=moment,
            finished_at=moment,
            protocol_number=changes.pop("protocol_number", 1),
            figures=FIGURES[check] | changes,
        )
        run = self.objects["ConfigMap", job["metadata"]["name"]]
        run["data"]["result.json"] = json.dumps(result.to_json())
        job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        self.settle()

    def filling(self) -> dict[str, dict[str, Any]]:
        """The jobs that fill caches and have not ended, by cache."""
        return {
            job["metadata"]["labels"][names.CACHE]: job
            for job in self.of("Job")
            if names.CACHE in job["metadata"]["labels"] and "status" not in job
        }

    def download(self, cache: str | None = None, **result: Any) -> None:
        """Let the job that fills a cache end: with a model, unless the result says otherwise."""
        jobs = self.filling()
        job = jobs[cache] if cache is not None else next(iter(jobs.values()))
        record = self.objects["ConfigMap", job["metadata"]["labels"][names.CACHE]]
        attempt = int(job["metadata"]["name"].rsplit("-", 1)[1])
        came = {"result": "Complete", "bytes": 1000, "files": 7, "revision": "abc"}
        record["data"]["result.json"] = json.dumps(came | result | {"attempt": attempt})
        failed = result.get("result") == "Failed"
        condition = {"type": "Failed" if failed else "Complete", "status": "True"}
        job["status"] = {"conditions": [condition]}
        self.settle()

    def load(self) -> None:
        """From a new spec to ready pods."""
        self.settle()
        while self.filling():
            self.download()
        for _ in range(2):
            self.settle()
            self.move_pods()
        self.settle()

    def prove(self, *checks: str) -> None:
        self.load()
        for check in checks or ("smoke", "bench", "mmlu"):
            self.finish(check)

    @property
    def served(self) -> str:
        service = self.objects["Service", self.owner.name]
        return str(service["spec"]["selector"][names.REVISION])

    @property
    def conditions(self) -> dict[str, str]:
        """Each condition as `status/reason`."""
        return {c["type"]: f"{c['status']}/{c['reason']}" for c in self.status["conditions"]}
