"""The scenarios: every case of tests/golden, and some of them in intermediate and failed states."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from takeover.namespace import RecordedNamespace

__all__ = ["SCENARIOS", "Scenario"]

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

SETTINGS = {
    "hostPathPrefixes": "/opt/atomgit",
    "runtimeRepository": "registry.test/vllm-ascend",
    "validatorImage": "registry.test/validator:1",
    "downloaderImage": "registry.test/downloader:1",
    "mmluData": '{"hostPath": "/opt/atomgit/mmlu", "custom": true}',
}

Moves = Callable[[RecordedNamespace, dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """A resource, and the state that it is recorded in.

    Attributes:
        name: The fixture's name.
        moves: Applies the resource and brings it into that state.
        case: The case of tests/golden whose resource it is.
        changes: Fields of its spec that are replaced; None removes one.
    """

    name: str
    moves: Moves
    case: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def resource(self) -> dict[str, Any]:
        item = yaml.safe_load((GOLDEN / self.case / "in.yaml").read_text())
        item["metadata"].pop("namespace", None)
        return changed(item, **self.changes)

    @property
    def settings(self) -> dict[str, str]:
        own = GOLDEN / self.case / "settings.yaml"
        found = yaml.safe_load(own.read_text()) if own.exists() else {}
        return {**SETTINGS, **{_camel_case(key): value for key, value in found.items()}}

    @property
    def nodes(self) -> list[dict[str, Any]]:
        nodes = GOLDEN / self.case / "nodes.yaml"
        return yaml.safe_load(nodes.read_text()) if nodes.exists() else []


def _camel_case(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest)


def changed(item: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy with fields of the spec replaced."""
    item = copy.deepcopy(item)
    spec = {**item["spec"], **changes}
    item["spec"] = {key: value for key, value in spec.items() if value is not None}
    return item


def named(item: Mapping[str, Any]) -> str:
    return str(item["metadata"]["name"])


async def proven(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await world.apply(item)
    await world.advance(named(item))


async def checking(world: RecordedNamespace, item: dict[str, Any]) -> None:
    """The last check is running and has progress and a checkpoint."""
    await world.apply(item)
    job = await world.advance(named(item), last_check(item))
    await half_done(world, job)


def last_check(item: Mapping[str, Any]) -> str:
    asked = item["spec"]["validation"]
    order = ("dummy", "smoke", "bench", "mmlu", "evals", "parity")
    return [check for check in order if check in asked][-1]


async def half_done(world: RecordedNamespace, job: dict[str, Any]) -> None:
    await world.create_job_pod(job)
    progress = {"done": 5000, "total": 14042, "ratePerSecond": 21.5, "etaSeconds": 420}
    await world.write_data(
        job, **{"progress.json": json.dumps(progress), "checkpoint": "H4sIAAAAAAAC/8tIzcnJBwCGphA2"}
    )


async def failed(world: RecordedNamespace, item: dict[str, Any]) -> None:
    """MMLU is below its baseline."""
    await world.apply(item)
    job = await world.advance(named(item), "mmlu")
    await world.end_check(job, named(item), macroAverage=41.0, microAverage=40.5)
    await world.until_ready("False/ValidationFailed", named(item))


_ERROR = {"result": "Error", "reason": "ServerUnreachable", "message": "no answer for 60 s"}


async def first_error(world: RecordedNamespace, item: dict[str, Any]) -> dict[str, Any]:
    """One attempt failed and the next one is running; returns its job."""
    await world.apply(item)
    job = await world.advance(named(item), "mmlu")
    await world.end_check(job, named(item), **_ERROR)
    await world.until("the job's end", lambda: gone(world, job))
    return dict(await world.advance(named(item), "mmlu"))


async def retrying(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await half_done(world, await first_error(world, item))


async def retries_spent(world: RecordedNamespace, item: dict[str, Any]) -> None:
    job = await first_error(world, item)
    await world.end_check(job, named(item), **_ERROR)
    await world.until_ready("False/ValidationError", named(item))


async def gone(world: RecordedNamespace, job: Mapping[str, Any]) -> bool:
    return await world.find("Job", job["metadata"]["name"]) is None


async def loading(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await world.apply(item)
    await world.until("pods", lambda: loads(world, item))
    await world.until_ready("Unknown/Loading", named(item))


async def loads(world: RecordedNamespace, item: dict[str, Any]) -> list[dict[str, Any]]:
    await world.step(named(item), ready=False)
    return await world.children("Pod", named(item))


async def deadline_missed(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await world.apply(item)
    await world.until("pods", lambda: loads(world, item))
    await world.until_ready("False/ProgressDeadlineExceeded", named(item))


async def crashing(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await world.apply(item)
    await world.until("pods", lambda: loads(world, item))
    crash = {"exitCode": 1, "reason": "Error", "message": "ValueError: no such quantization"}
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}
    await world.move_pods(named(item), ready=False, restarts=2, state=state)
    (pod,) = await world.serving_pods(named(item))
    container = pod["status"]["containerStatuses"][0] | {"lastState": {"terminated": crash}}
    await world.set_status("Pod", pod["metadata"]["name"], {"containerStatuses": [container]})
    await world.until_ready("Unknown/CrashLooping", named(item))


async def pulling(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await world.apply(item)
    await world.until("pods", lambda: loads(world, item))
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    await world.move_pods(named(item), ready=False, state=state)


async def suspended(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await proven(world, item)
    await suspend(world, item)


async def suspend(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await world.apply(changed(item, suspend=True))
    await world.until_ready("True/Suspended", named(item))
    await world.step(named(item))
    for pod in await world.children("Pod", named(item)):
        await world.remove("Pod", pod["metadata"]["name"])


async def suspended_in_a_check(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await checking(world, item)
    await suspend(world, item)


async def revalidating(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await proven(world, item)
    await world.annotate("second", named(item))
    job = await world.advance(named(item), "bench")
    await half_done(world, job)


async def revalidated(world: RecordedNamespace, item: dict[str, Any]) -> None:
    """Proven twice, and then a regression."""
    await proven(world, item)
    for value in ("second", "third"):
        await world.annotate(value, named(item))
        job = await world.advance(named(item), "mmlu")
        if value == "third":
            await world.end_check(job, named(item), macroAverage=50.0, microAverage=49.0)
            await world.until_ready("False/Regression", named(item))
        else:
            await world.end_check(job, named(item))
            await world.until("the answer", lambda value=value: answered(world, item, value))


async def answered(world: RecordedNamespace, item: dict[str, Any], value: str) -> bool:
    return bool((await world.status(named(item))).get("lastHandledRevalidate") == value)


async def candidate(world: RecordedNamespace, item: dict[str, Any]) -> None:
    """A new revision is being checked; by BlueGreen, the previous one still serves."""
    await proven(world, item)
    engine = {**item["spec"].get("engine", {}), "maxNumSeqs": 8}
    item = changed(item, engine=engine)
    await world.apply(item)
    await world.until("the generation", lambda: seen(world, item))
    await half_done(world, await world.advance(named(item), last_check(item)))


async def seen(world: RecordedNamespace, item: dict[str, Any]) -> bool:
    found = await world.get("AscendLLM", named(item))
    return bool(found["status"]["observedGeneration"] == found["metadata"]["generation"])


async def candidate_failed(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await proven(world, item)
    item = changed(item, engine={**item["spec"].get("engine", {}), "maxNumSeqs": 8})
    await world.apply(item)
    await world.until("the generation", lambda: seen(world, item))
    job = await world.advance(named(item), "mmlu")
    await world.end_check(job, named(item), macroAverage=41.0, microAverage=40.5)
    await world.until_ready("False/ValidationFailed", named(item))


async def third_revision(world: RecordedNamespace, item: dict[str, Any]) -> None:
    """Two changes, both proven: old revisions and runs are kept."""
    await proven(world, item)
    for number in (8, 4):
        item = changed(item, engine={**item["spec"].get("engine", {}), "maxNumSeqs": number})
        await proven(world, item)


async def downloading(world: RecordedNamespace, item: dict[str, Any]) -> None:
    """Each download has progress; if there are several, the first one is complete."""
    await world.apply(item)
    jobs = await world.until("a download", lambda: bound_downloads(world))
    if len(item["spec"].get("engine", {}).get("loras", [])) > 1:
        await world.end_download(jobs[0])
        jobs = await world.until("the next download", lambda: other_downloads(world, jobs[0]))
    for job in jobs:
        await world.create_job_pod(job)
        done = {"bytes": 3_200_000_000, "totalBytes": 16_000_000_000, "files": 3, "totalFiles": 12}
        progress = {**done, "ratePerSecond": 210_000_000, "etaSeconds": 61}
        await world.write_cache(job, "progress", progress)


async def bound_downloads(world: RecordedNamespace) -> list[dict[str, Any]]:
    await world.bind_claims()
    return await world.downloads()


async def other_downloads(world: RecordedNamespace, job: dict[str, Any]) -> list[dict[str, Any]]:
    jobs = await bound_downloads(world)
    return [item for item in jobs if item["metadata"]["uid"] != job["metadata"]["uid"]]


async def download_failed(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await world.apply(item)
    (job,) = await world.until("a download", lambda: bound_downloads(world))
    result = {
        "result": "Failed",
        "reason": "AccessDenied",
        "message": "the store refuses the credentials",
        "again": False,
    }
    await world.end_download(job, **result)
    await world.until("the job's end", lambda: gone(world, job))


async def two_share_a_cache(world: RecordedNamespace, item: dict[str, Any]) -> None:
    """Of two resources with the same cache, one is proven and one is loading."""
    other = changed(item, engine={"maxModelLen": 4096})
    other["metadata"]["name"] = "other"
    await world.apply(item)
    await world.apply(other)
    await world.advance(named(item))
    await world.until("pods", lambda: loads(world, other))
    await world.until_ready("Unknown/Loading", "other")


async def refused(world: RecordedNamespace, item: dict[str, Any]) -> None:
    await world.apply(item)
    await world.until_ready("False/HostPathNotAllowed", named(item))


async def dummy_runs(world: RecordedNamespace, item: dict[str, Any]) -> None:
    """The check that runs before any serving pod exists is running."""
    await world.apply(item)
    await world.create_job_pod(await world.advance(named(item), "dummy"))


_SMOKE = {"smoke": {}}
_MMLU = {"mmlu": {"baseline": {"value": 66.7, "average": "macro"}}}
_MORE = (
    Scenario("seed-000-checking", checking, "seed-000"),
    Scenario("seed-000-revalidating", revalidating, "seed-000"),
    Scenario("seed-000-regression", revalidated, "seed-000"),
    Scenario("seed-000-suspended-in-a-check", suspended_in_a_check, "seed-000"),
    Scenario("seed-000-candidate", candidate, "seed-000", {"rollout": {"strategy": "BlueGreen"}}),
    Scenario("seed-000-recreate", candidate, "seed-000"),
    Scenario(
        "seed-000-candidate-failed",
        candidate_failed,
        "seed-000",
        {"rollout": {"strategy": "BlueGreen"}, "validation": {**_SMOKE, **_MMLU}},
    ),
    Scenario("seed-000-third-revision", third_revision, "seed-000", {"validation": _SMOKE}),
    Scenario(
        "seed-000-scheduled",
        proven,
        "seed-000",
        {"validation": {**_SMOKE, "schedule": "17 3 * * 1"}},
    ),
    Scenario("mmlu-host-path-failed", failed, "mmlu-host-path"),
    Scenario(
        "mmlu-host-path-retries-spent",
        retries_spent,
        "mmlu-host-path",
        {"validation": {**_MMLU, "retries": 1}},
    ),
    Scenario("mmlu-host-path-retrying", retrying, "mmlu-host-path"),
    Scenario("mmlu-s3-checking", checking, "mmlu-s3"),
    Scenario("evals-checking", checking, "evals"),
    Scenario("parity-checking", checking, "parity"),
    Scenario("bench-sharded-checking", checking, "bench-sharded"),
    Scenario("prompts-checking", checking, "prompts"),
    Scenario("api-key-checking", checking, "api-key"),
    Scenario("dummy-running", dummy_runs, "dummy"),
    Scenario("nodes-tp-checking", checking, "nodes-tp"),
    Scenario("nodes-tp-loading", loading, "nodes-tp"),
    Scenario("nodes-tp-suspended", suspended, "nodes-tp"),
    Scenario("defaults-loading", loading, "defaults", {"validation": _SMOKE}),
    Scenario(
        "defaults-deadline-missed",
        deadline_missed,
        "defaults",
        {"validation": _SMOKE, "rollout": {"progressDeadline": "10s"}},
    ),
    Scenario("defaults-crashing", crashing, "defaults", {"validation": _SMOKE}),
    Scenario("custom-image-pulling", pulling, "custom-image"),
    Scenario("pvc-instruct-suspended", suspended, "pvc-instruct"),
    Scenario("hugging-face-downloading", downloading, "hugging-face"),
    Scenario("hugging-face-shared", two_share_a_cache, "hugging-face"),
    Scenario("model-scope-downloading", downloading, "model-scope"),
    Scenario("loras-downloaded-downloading", downloading, "loras-downloaded"),
    Scenario("oci-cached-downloading", downloading, "oci-cached"),
    Scenario("s3-download-failed", download_failed, "s3"),
    Scenario("autoscaling-keda-checking", checking, "autoscaling-keda"),
    Scenario(
        "defaults-refused", refused, "defaults", {"model": {"source": {"hostPath": "/etc/model"}}}
    ),
)

SCENARIOS = (
    *(Scenario(case.name, proven, case.name) for case in sorted(GOLDEN.iterdir())),
    *_MORE,
)
