"""A job's service account token is mounted in our own container, and in no other one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ascendllm.api.spec import Spec
from ascendllm.desired import downloading, job
from ascendllm.desired.cache import cached_models
from ascendllm.desired.downloading import download_job
from ascendllm.desired.job_token import mount_token
from unit.core.check_rules import spec_with
from unit.core.stage import spec_of
from unit.core.test_golden import CASES, GOLDEN
from unit.core.test_job_calls import job as job_of

Object = dict[str, Any]

SECRETS = "/var/run/secrets/kubernetes.io"
PARENTS = (SECRETS, "/var/run/secrets", "/var/run", "/var", "/run/secrets", "/run", "/")
OURS = {"validate": job.CONTAINER, "download": downloading.CONTAINER}
TENANT = "tenant.test/data:1"


def golden_jobs() -> Iterator[tuple[str, Object]]:
    """Each job of the golden files, with the name of its case."""
    for case in CASES:
        for item in yaml.safe_load_all((GOLDEN / case / "objects.yaml").read_text()):
            if item["kind"] == "Job":
                yield case, item


JOBS = list(golden_jobs())


def containers_of(item: Object) -> list[Object]:
    pod = item["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"], *pod.get("ephemeralContainers", [])]


def init_images(item: Object) -> set[str]:
    return {found["image"] for found in item["spec"]["template"]["spec"].get("initContainers", [])}


def token_volumes(item: Object) -> set[str]:
    """The volumes that hold a service account token."""
    return {
        volume["name"]
        for volume in item["spec"]["template"]["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        if "serviceAccountToken" in source
    }


def check_token(item: Object) -> None:
    """Assert that our container has the token, and that no other one has."""
    pod = item["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    names = [volume["name"] for volume in pod["volumes"]]
    assert len(set(names)) == len(names), "two volumes of one name"
    tokens = token_volumes(item)
    assert len(tokens) == 1
    containers = containers_of(item)
    (ours,) = (found["name"] for found in pod["containers"] if found["args"][0] in OURS)
    assert ours in OURS.values()
    assert [found["name"] for found in containers].count(ours) == 1
    for container in containers:
        mounts = container.get("volumeMounts", [])
        if container["name"] == ours:
            (mount,) = [mount for mount in mounts if mount["name"] in tokens]
            assert mount == {
                "name": mount["name"],
                "mountPath": f"{SECRETS}/serviceaccount",
                "readOnly": True,
            }
            continue
        for mount in mounts:
            assert mount["name"] not in tokens, container["name"]
            path = mount["mountPath"]
            assert path not in PARENTS, container["name"]
            assert not f"{path}/".startswith(f"{SECRETS}/"), container["name"]


@pytest.mark.parametrize(("case", "item"), JOBS, ids=[item["metadata"]["name"] for _, item in JOBS])
def test_only_our_container_of_a_golden_job_has_the_token(case: str, item: Object) -> None:
    check_token(item)


def test_the_golden_jobs_cover_every_image_of_a_users_choice() -> None:
    by_case = {
        case: [item for found, item in JOBS if found == case]
        for case in ("mmlu-image", "oci-cached", "dummy", "hugging-face", "model-scope", "s3")
    }
    assert all(by_case.values())
    assert any("registry.test/mmlu:1" in init_images(item) for item in by_case["mmlu-image"])
    copies = {found["name"] for item in by_case["oci-cached"] for found in containers_of(item)}
    assert {"copy", "download"} <= copies
    servers = {found["name"] for item in by_case["dummy"] for found in containers_of(item)}
    assert "vllm" in servers


@pytest.mark.parametrize("container", ["data", "check"])
@pytest.mark.parametrize("leak", ["token", "other-token", "path", "automount"])
def test_the_assertion_finds_a_leak(container: str, leak: str) -> None:
    (found,) = (
        item
        for case, item in JOBS
        if case == "mmlu-image" and "registry.test/mmlu:1" in init_images(item)
    )
    item = copy.deepcopy(found)
    pod = item["spec"]["template"]["spec"]
    (mounts,) = (one["volumeMounts"] for one in containers_of(item) if one["name"] == container)
    match leak:
        case "token":
            (token,) = token_volumes(item)
            mounts.append({"name": token, "mountPath": "/elsewhere"})
        case "other-token":
            (token,) = token_volumes(item)
            (volume,) = (volume for volume in pod["volumes"] if volume["name"] == token)
            pod["volumes"].append({**volume, "name": "other"})
            mounts.append({"name": "other", "mountPath": "/elsewhere"})
        case "path" if container == "data":
            mounts.append({"name": "tmp", "mountPath": f"{SECRETS}/serviceaccount"})
        case "path":
            mounts[:] = [mount for mount in mounts if not mount["mountPath"].startswith(SECRETS)]
        case "automount":
            pod["automountServiceAccountToken"] = True
    with pytest.raises((AssertionError, ValueError)):
        check_token(item)


IMAGES: dict[str, Any] = {
    "mmlu.data": {"image": TENANT},
    "mmlu.reference": {"data": {"image": TENANT}},
    "bench.dataset": {"sharegpt": {"image": TENANT}},
    "evals": [{"task": "gsm8k", "data": {"image": TENANT}}, {"task": "boolq"}],
    "parity": {"reference": {"data": {"image": TENANT}}},
}


@pytest.mark.parametrize(("path", "value"), IMAGES.items())
def test_an_image_with_data_does_not_get_the_token(path: str, value: Any) -> None:
    fields = spec_with(path, value)
    if path.startswith("mmlu."):
        fields["validation"]["mmlu"].setdefault("data", {"hostPath": "/opt/atomgit/mmlu"})
    item = job_of(Spec.model_validate(fields), path.partition(".")[0])
    assert TENANT in init_images(item)
    check_token(item)


SOURCES: dict[str, Any] = {
    "huggingFace": {"repo": "org/llama", "tokenSecret": {"name": "hub", "key": "token"}},
    "modelScope": {"repo": "org/llama"},
    "s3": {"uri": "s3://models/llama/", "credentialsSecret": {"name": "keys"}},
    "oci": {"image": TENANT, "path": "/models"},
}


@pytest.mark.parametrize(("source", "fields"), SOURCES.items())
def test_only_the_downloader_gets_the_token(source: str, fields: Any) -> None:
    spec = spec_of(
        model={"source": {source: fields}, "cache": {"claimName": "models"}}, validation=None
    )
    (cached,) = cached_models(spec)
    item = download_job(
        "default",
        cached,
        {"metadata": {"name": cached.name, "uid": "uid"}},
        image="downloader:1",
        attempt=1,
        asked="0",
        env={},
        beside=spec,
    )
    assert init_images(item) == ({TENANT} if source == "oci" else set())
    check_token(item)


def test_the_pod_spec_that_is_given_stays_as_it_is() -> None:
    pod = {"containers": [{"name": "check"}, {"name": "other"}]}
    before = copy.deepcopy(pod)
    mounted = mount_token(pod, "check")
    assert pod == before
    assert [("volumeMounts" in found) for found in mounted["containers"]] == [True, False]
