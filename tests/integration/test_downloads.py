"""Models that are downloaded: caches that resources share, on a real API server."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner

from ascendllm.cli.status import command as status
from ascendllm.desired import names
from ascendllm.kube.client import ApiServer
from ascendllm.settings import Settings
from cluster.control_plane import ControlPlane
from integration.admin import Admin
from integration.world import SETTINGS, World, resource

HUB = {"source": {"huggingFace": {"repo": "org/llama"}}, "cache": {"size": "20Gi"}}
TOKEN = {"name": "hub", "key": "token"}
LOCAL = {"source": {"hostPath": "/opt/atomgit/llama"}}
KINDS = ("ConfigMap", "PersistentVolumeClaim", "ServiceAccount", "Role", "RoleBinding", "Job")
CAME = {
    "result": "Complete",
    "bytes": 16_000_000_000,
    "files": 12,
    "revision": "0123abc",
    "config": {"num_hidden_layers": 32},
}


def of_hub(name: str = "llama", **changes: Any) -> dict[str, Any]:
    model = changes.pop("model", HUB)
    item = resource(model=model, validation=None, **changes)
    item["metadata"]["name"] = name
    return item


def with_adapter(cache: dict[str, Any] | None = None, **source: Any) -> dict[str, Any]:
    """A model of the node, and an adapter of a hub."""
    lora = {"name": "legal", "source": {"huggingFace": {"repo": "org/legal", **source}}}
    lora["cache"] = cache or {"size": "1Gi"}
    return of_hub(model=LOCAL, engine={"loras": [lora]})


def with_token(secret: str = "hub") -> dict[str, Any]:
    model = copy.deepcopy(HUB)
    model["source"]["huggingFace"]["tokenSecret"] = {**TOKEN, "name": secret}
    return model


async def shared(world: World, kind: str) -> list[dict[str, Any]]:
    """The caches' objects of the namespace, oldest first."""
    found = await world.admin.list(kind, world.namespace, names.CACHE)
    return sorted(
        (copy.deepcopy(dict(item)) for item in found), key=lambda item: item["metadata"]["name"]
    )


async def the(world: World, kind: str) -> dict[str, Any]:
    (item,) = await shared(world, kind)
    return item


async def begin(world: World, *owners: str) -> dict[str, Any]:
    """Reconcile until a job downloads."""
    for _ in range(6):
        for owner in owners or ("llama",):
            await world.reconcile(owner)
    return await the(world, "Job")


async def write(world: World, **data: Mapping[str, Any]) -> None:
    """As the job writes."""
    texts = {f"{key}.json": json.dumps(value) for key, value in data.items()}
    name = (await the(world, "ConfigMap"))["metadata"]["name"]
    await world.admin.edit("ConfigMap", world.namespace, name, {"data": texts}, manager="download")


async def come(world: World, job: Mapping[str, Any], *owners: str, **result: Any) -> None:
    """Let the job end with a result, and the operator see it."""
    attempt = int(job["metadata"]["annotations"]["ascendllm.io/attempt"])
    await write(world, result={**CAME, **result, "attempt": attempt})
    await world.end_job(job, failed=result.get("result") == "Failed")
    for owner in owners or ("llama",):
        await world.settle(owner)


async def owners_of(world: World, kind: str) -> set[str]:
    references = (await the(world, kind))["metadata"].get("ownerReferences") or []
    assert not any(reference.get("controller") for reference in references)
    return {reference["name"] for reference in references}


async def until_none(world: World, kind: str) -> None:
    async with asyncio.timeout(20):
        while await shared(world, kind):  # noqa: ASYNC110 - the garbage collector's doing
            await asyncio.sleep(0.1)


async def test_download_then_serve(world: World) -> None:
    await world.apply(of_hub())
    job = await begin(world)
    assert await world.conditions() == {
        "Ready": "Unknown/Downloading",
        "Reconciling": "True/Downloading",
        "Available": "Unknown/NothingProven",
    }
    assert not await world.children("Deployment"), "no NPU is taken before the model is there"
    claim = await the(world, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert "ownerReferences" not in claim["metadata"], "retained unless the spec says otherwise"
    assert await owners_of(world, "ConfigMap") == {"llama"}

    await world.create_job_pod(job)
    done = {"bytes": 3_200_000_000, "totalBytes": 16_000_000_000, "files": 3, "totalFiles": 12}
    await write(world, progress={**done, "ratePerSecond": 210_000_000, "etaSeconds": 61})
    await world.settle()
    assert await world.message() == "3.2 GB of 16.0 GB (20 %), 210.0 MB/s, 61 s left"
    download = (await world.status())["download"]
    assert (download["percent"], download["source"]) == (20, "huggingFace org/llama@main")
    assert download["ratePerSecond"] == 210_000_000

    await come(world, job)
    (deployment,) = await world.children("Deployment")
    pod = deployment["spec"]["template"]["spec"]
    name = claim["metadata"]["name"]
    (volume,) = [v for v in pod["volumes"] if v["name"] == "model"]
    assert volume["persistentVolumeClaim"] == {"claimName": name, "readOnly": True}
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "model"]
    assert (mount["subPath"], mount["readOnly"]) == (f"{name}/model", True)
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in pod["containers"][0]["env"]
    for kind in ("Job", "ServiceAccount", "Role", "RoleBinding"):
        await until_none(world, kind)
    told = await world.status()
    assert told["download"]["percent"] == 100
    assert told["download"]["revision"] == "0123abc"

    await world.move_pods()
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/NoValidation"
    assert await world.gets_at_rest() == 1, "at rest the caches are two lists more, and no get"


async def test_an_adapter_is_downloaded_then_served(world: World) -> None:
    await world.apply(with_adapter())
    job = await begin(world)
    assert "--adapter" in job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert not await world.children("Deployment"), "no NPU is taken before the adapter is there"
    await world.create_job_pod(job)
    await write(world, progress={"bytes": 12_000_000, "totalBytes": 80_000_000})
    await world.settle()
    assert await world.message() == "adapter legal: 12.0 MB of 80.0 MB (15 %)"
    assert "download" not in await world.status(), "that is the model's own"

    await come(world, job)
    (deployment,) = await world.children("Deployment")
    pod = deployment["spec"]["template"]["spec"]
    name = (await the(world, "PersistentVolumeClaim"))["metadata"]["name"]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["mountPath"] == "/loras/legal"]
    assert (mount["subPath"], mount["readOnly"]) == (f"{name}/model", True)
    (volume,) = [v for v in pod["volumes"] if v["name"] == mount["name"]]
    assert volume["persistentVolumeClaim"] == {"claimName": name, "readOnly": True}
    await until_none(world, "Job")
    await world.move_pods()
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/NoValidation"

    # Without the adapter nothing of the revision that serves reads the cache any more.
    await world.apply(of_hub(model=LOCAL))
    for _ in range(2):
        await world.settle()
        await world.move_pods()
    await world.settle()
    await until_none(world, "ConfigMap")
    assert await the(world, "PersistentVolumeClaim"), "the claim is kept"


async def test_what_an_adapter_lacks_is_told_by_its_field(world: World) -> None:
    await world.apply(with_adapter({"claimName": "adapters"}))
    await world.reconcile()
    assert (await world.conditions())["Stalled"] == "True/ClaimMissing"
    assert "spec.engine.loras[legal].cache.claimName adapters" in await world.message()

    await world.apply(with_adapter(tokenSecret={**TOKEN, "name": "nope"}))
    job = await begin(world)
    pod = await world.create_job_pod(job, phase="Pending")
    await world.set_status("Pod", pod, waits_for_a_secret("nope"))
    await world.settle()
    assert (await world.conditions())["Stalled"] == "True/SecretMissing"
    assert "the Secret that spec.engine.loras[legal].source names" in await world.message()


async def test_a_claim_that_is_refused_is_told_by_its_field(world: World) -> None:
    nothing = {"size": "0"}
    ours, model = with_adapter(nothing), of_hub(model={**HUB, "cache": nothing})
    for item, field in ((ours, "spec.engine.loras[legal]"), (model, "spec.model")):
        await world.apply(item)
        await world.reconcile()
        assert (await world.conditions())["Stalled"] == "True/ClaimRefused"
        assert (await world.message()).startswith(f"{field}.cache: claim ")


def waits_for_a_secret(name: str) -> dict[str, Any]:
    waiting = {"reason": "CreateContainerConfigError", "message": f'secret "{name}" not found'}
    return {
        "phase": "Pending",
        "containerStatuses": [
            {
                "name": "download",
                "image": "image",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"waiting": waiting},
            }
        ],
    }


async def test_two_resources_share_one_download(world: World) -> None:
    model = {**HUB, "cache": {"size": "20Gi", "retain": False}}
    larger = {**HUB, "cache": {"size": "30Gi", "retain": False}}
    await world.apply(of_hub(model=model))
    await world.apply(of_hub("other", model=larger, engine={"maxModelLen": 4096}))
    job = await begin(world, "llama", "other")
    assert await owners_of(world, "ConfigMap") == {"llama", "other"}
    assert await owners_of(world, "PersistentVolumeClaim") == {"llama", "other"}
    claim = await the(world, "PersistentVolumeClaim")
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi", "not bound: it cannot grow"
    before = claim["metadata"]["resourceVersion"]
    for owner in ("llama", "other", "llama", "other"):
        await world.reconcile(owner)
    claim = await the(world, "PersistentVolumeClaim")
    assert claim["metadata"]["resourceVersion"] == before, "two who agree do not write in turns"
    await come(world, job, "llama", "other")
    assert await world.children("Deployment")
    assert await world.children("Deployment", "other")

    await world.remove("AscendLLM", "llama")
    async with asyncio.timeout(20):
        while await owners_of(world, "ConfigMap") != {"other"}:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)
    assert await owners_of(world, "PersistentVolumeClaim") == {"other"}
    await world.settle("other")
    await world.remove("AscendLLM", "other")
    await until_none(world, "ConfigMap")
    async with asyncio.timeout(20):
        # Without a controller for it nobody takes the claim's protection away.
        while "deletionTimestamp" not in (await the(world, "PersistentVolumeClaim"))["metadata"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_retained_claim_has_no_owner_and_is_filled_without_a_download(world: World) -> None:
    await world.apply(of_hub(model={**HUB, "cache": {"size": "20Gi", "retain": False}}))
    await world.apply(of_hub("keeps"))
    job = await begin(world, "llama", "keeps", "llama")
    claim = await the(world, "PersistentVolumeClaim")
    assert "ownerReferences" not in claim["metadata"], "one who keeps it outweighs the others"
    await come(world, job, "llama", "keeps")
    await world.remove("AscendLLM", "llama")
    await world.remove("AscendLLM", "keeps")
    await until_none(world, "ConfigMap")
    kept = await the(world, "PersistentVolumeClaim")
    assert kept["metadata"]["uid"] == claim["metadata"]["uid"]
    arguments = ["--kubeconfig", str(world.plane.kubeconfig), "-n", world.namespace]
    done = await asyncio.to_thread(CliRunner().invoke, status, arguments)
    assert "kept caches that no resource uses" in done.output
    assert claim["metadata"]["name"] in done.output
    assert "deletionTimestamp" not in kept["metadata"]


async def test_another_model_gives_the_first_one_up_once_no_revision_reads_it(world: World) -> None:
    await world.apply(of_hub(model={**HUB, "cache": {"size": "20Gi", "retain": False}}))
    first = await begin(world)
    await come(world, first)
    await world.move_pods()
    await world.settle()
    old = await world.served()
    name = (await the(world, "ConfigMap"))["metadata"]["name"]

    other = {"source": {"huggingFace": {"repo": "org/other"}}, "cache": {"size": "20Gi"}}
    await world.apply(of_hub(model=other))
    for _ in range(6):
        await world.reconcile()
    assert await world.served() == old, "what serves goes on serving"
    assert (await world.conditions())["Available"] == "True/Serving"
    assert name in {item["metadata"]["name"] for item in await shared(world, "ConfigMap")}
    (job,) = [
        item
        for item in await shared(world, "Job")
        if item["metadata"]["labels"][names.CACHE] != name
    ]
    config_map = job["metadata"]["labels"][names.CACHE]
    text = json.dumps({**CAME, "attempt": 1})
    await world.admin.edit(
        "ConfigMap",
        world.namespace,
        config_map,
        {"data": {"result.json": text}},
        manager="download",
    )
    await world.end_job(job)
    for _ in range(3):
        await world.settle()
        await world.move_pods()
    await world.settle()
    assert await world.served() != old
    assert [item["metadata"]["name"] for item in await shared(world, "ConfigMap")] == [config_map]
    claims = [item["metadata"] for item in await shared(world, "PersistentVolumeClaim")]
    assert {m["name"] for m in claims if "deletionTimestamp" not in m} == {config_map}


async def test_a_claim_that_was_made_anew_is_filled_again(world: World) -> None:
    await world.apply(of_hub())
    await come(world, await begin(world))
    claim = await the(world, "PersistentVolumeClaim")
    await world.edit(
        "PersistentVolumeClaim", claim["metadata"]["name"], {"metadata": {"finalizers": None}}
    )
    await world.remove("PersistentVolumeClaim", claim["metadata"]["name"])
    job = await begin(world)
    assert (await the(world, "PersistentVolumeClaim"))["metadata"]["uid"] != claim["metadata"][
        "uid"
    ]
    await come(world, job)
    assert (await world.status())["download"]["percent"] == 100


async def test_a_users_claim_is_used_and_never_touched(world: World) -> None:
    model = {**HUB, "cache": {"claimName": "models"}}
    await world.apply(of_hub(model=model))
    await world.reconcile()
    assert (await world.conditions())["Stalled"] == "True/ClaimMissing"
    assert "there is no such PersistentVolumeClaim" in await world.message()
    assert not await shared(world, "ConfigMap"), "nothing half-done"
    await world.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models"},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Ti"}},
            },
        }
    )
    before = await world.get("PersistentVolumeClaim", "models")
    job = await begin(world)
    (mounted,) = [v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "cache"]
    assert mounted["persistentVolumeClaim"]["claimName"] == "models"
    await come(world, job)
    await world.remove("AscendLLM", "llama")
    await until_none(world, "ConfigMap")
    assert (await world.get("PersistentVolumeClaim", "models")) == before


async def test_tried_again_after_growing_pauses_and_then_not(world: World) -> None:
    await world.apply(of_hub())
    failure = {
        "result": "Failed",
        "reason": "SourceUnreachable",
        "message": "no way",
        "again": True,
    }
    for attempt in range(1, 6):
        job = await begin(world)
        assert job["metadata"]["name"].endswith(f"-{attempt}")
        await come(world, job, **failure)
        if attempt < 5:
            assert (await world.conditions())["Reconciling"] == "True/Downloading"
            assert "no way; tried" in await world.message()
            world.pass_time(minutes=11)
    assert await world.conditions() == {
        "Ready": "False/SourceUnreachable",
        "Stalled": "True/SourceUnreachable",
        "Available": "False/NothingProven",
    }
    assert "tried 5 times" in await world.message()
    world.pass_time(hours=5)
    await world.settle()
    assert not await shared(world, "Job"), "it does not loop"
    await world.annotate("again")
    job = await begin(world)
    assert job["metadata"]["name"].endswith("-6")
    await come(world, job)
    assert "Stalled" not in await world.conditions()


async def test_what_no_retry_mends_waits_for_another_question(world: World) -> None:
    await world.apply(of_hub())
    denied = {"result": "Failed", "reason": "AccessDenied", "message": "HTTP 401", "again": False}
    await come(world, await begin(world), **denied)
    assert (await world.conditions())["Stalled"] == "True/AccessDenied"
    # Another resource brings a token: it is tried, and the first one has the model as well.
    await world.apply(of_hub("other", model=with_token()))
    job = await begin(world, "other", "llama")
    assert job["spec"]["template"]["spec"]["containers"][0]["env"][0]["name"] == "HF_TOKEN"
    await come(world, job, "other", "llama")
    assert await world.children("Deployment")


async def test_two_who_are_refused_do_not_take_turns_for_ever(world: World) -> None:
    await world.apply(of_hub(model=with_token("one")))
    await world.apply(of_hub("other", model=with_token("two")))
    denied = {"result": "Failed", "reason": "AccessDenied", "message": "HTTP 401", "again": False}
    for _ in range(2):
        await come(world, await begin(world, "llama", "other"), "llama", "other", **denied)
    for owner in ("llama", "other"):
        assert (await world.conditions(owner))["Stalled"] == "True/AccessDenied"
    for _ in range(4):
        await world.reconcile("llama")
        await world.reconcile("other")
    assert not await shared(world, "Job")


async def test_a_missing_secret_is_named_and_another_one_tried(world: World) -> None:
    await world.apply(of_hub(model=with_token("nope")))
    job = await begin(world)
    pod = await world.create_job_pod(job, phase="Pending")
    await world.set_status("Pod", pod, waits_for_a_secret("nope"))
    await world.settle()
    assert (await world.conditions())["Stalled"] == "True/SecretMissing"
    assert "secret 'nope' not found" in await world.message()
    await world.apply(of_hub(model=with_token("hub")))
    await world.reconcile()
    await until_gone(world, job["metadata"]["name"])
    job = await begin(world)
    (env,) = job["spec"]["template"]["spec"]["containers"][0]["env"]
    assert env["valueFrom"]["secretKeyRef"]["name"] == "hub"


async def until_gone(world: World, name: str) -> None:
    async with asyncio.timeout(20):
        while name in {job["metadata"]["name"] for job in await shared(world, "Job")}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("kind", ["ConfigMap", "PersistentVolumeClaim"])
async def test_a_foreign_object_of_our_name_is_left_alone(world: World, kind: str) -> None:
    await world.apply(of_hub())
    for _ in range(6):
        await world.reconcile()
    name = (await the(world, "ConfigMap"))["metadata"]["name"]
    await world.remove("AscendLLM", "llama")
    await until_none(world, "ConfigMap")
    claim = (await the(world, "PersistentVolumeClaim"))["metadata"]["name"]
    await world.edit("PersistentVolumeClaim", claim, {"metadata": {"finalizers": None}})
    await world.remove("PersistentVolumeClaim", claim)
    item: dict[str, Any] = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
    if kind == "ConfigMap":
        item["data"] = {"mine": "yes"}
    else:
        item["spec"] = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }
    await world.create(item)
    before = await world.get(kind, name)
    await world.apply(of_hub())
    for _ in range(4):
        await world.reconcile()
    assert (await world.conditions())["Stalled"] == "True/NameTaken"
    assert await world.get(kind, name) == before


async def test_suspended_nothing_is_downloaded(world: World) -> None:
    await world.apply(of_hub(suspend=True))
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Suspended"
    for kind in KINDS:
        assert not await shared(world, kind)
    await world.apply(of_hub())
    assert await begin(world)
    assert not await world.children("Deployment")


async def test_a_secret_or_a_size_changes_no_revision(world: World) -> None:
    await world.apply(of_hub())
    await come(world, await begin(world))
    revision = await world.revision()
    model = with_token()
    model["cache"] = {"size": "40Gi", "retain": False}
    await world.apply(of_hub(model=model))
    await world.settle()
    assert await world.revision() == revision
    assert await owners_of(world, "PersistentVolumeClaim") == {"llama"}


async def test_other_operators_words_start_no_new_download(
    world: World, settings: Settings
) -> None:
    await world.apply(of_hub())
    await come(world, await begin(world))
    await world.move_pods()
    await world.settle()
    before = await world.versions()
    caches = [(await the(world, kind))["metadata"]["resourceVersion"] for kind in KINDS[:2]]
    newer = Settings.from_mapping(SETTINGS | {"downloaderImage": "registry.test/downloader:2"})
    world.operate(newer)
    await world.settle()
    assert await world.versions() == before
    after = [(await the(world, kind))["metadata"]["resourceVersion"] for kind in KINDS[:2]]
    assert after == caches
    assert not await shared(world, "Job")


async def the_whole_way(
    admin: Admin, plane: ControlPlane, api: ApiServer, settings: Settings, life: int
) -> tuple[int, dict[str, Any]]:
    """A failure, a download, another model; by an operator that is killed. What came of it."""
    world = World(admin, plane, api, f"fill-{uuid.uuid4().hex[:8]}")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace}}
    await admin.post(namespace)
    first = world.operate(settings, life=life)
    await world.apply(of_hub())
    failure = {"result": "Failed", "reason": "SourceUnreachable", "message": "no", "again": True}
    await come(world, await begin(world), **failure)
    world.pass_time(minutes=2)
    await come(world, await begin(world))
    await world.move_pods()
    await world.settle()
    await world.apply(of_hub(engine={"maxModelLen": 2048}))
    for _ in range(2):
        await world.settle()
        await world.move_pods()
    await world.settle()
    record = await the(world, "ConfigMap")
    outcome = {
        "claim": (await the(world, "PersistentVolumeClaim"))["spec"]["accessModes"],
        "data": {key: record["data"][key] for key in ("result.json",)},
        "attempts": json.loads(record["data"]["attempts.json"])["count"],
        "swept": record["metadata"]["annotations"],
        "conditions": await world.conditions(),
        "left": [len(await shared(world, kind)) for kind in KINDS],
        "revisions": len(await world.children("Deployment")),
    }
    await world.remove("AscendLLM", "llama")
    return first.writes, outcome


@pytest.mark.timeout(300)
async def test_killed_after_any_write(
    admin: Admin, control_plane: ControlPlane, api: ApiServer, settings: Settings
) -> None:
    writes, wanted = await the_whole_way(admin, control_plane, api, settings, sys.maxsize)
    assert wanted["conditions"]["Ready"] == "True/NoValidation"
    assert wanted["left"] == [1, 1, 0, 0, 0, 0]
    lives = list(range(1, writes))

    async def one_after_the_other() -> None:
        while lives:
            life = lives.pop()
            done, outcome = await the_whole_way(admin, control_plane, api, settings, life)
            assert done >= life
            assert outcome == wanted, f"killed after write {life}"

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(one_after_the_other())
