"""From a hub into a claim and onto NPUs, on a real kubelet: whole, once, and gone on with."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import images
from cluster.archive import write_image_on
from cluster.installation import REPOSITORY
from cluster.provider import Provider
from e2e.clients import assert_nothing_lost, streams
from e2e.resources import QUICK
from e2e.space import NAME, REVISION, SIMULATOR, Space, all_ready, condition
from unit.download.models import ADAPTER_WANTED, CONFIG, adapter, safetensors

pytestmark = pytest.mark.timeout(300)

CACHE = "ascendllm.io/cache"
REPO = "org/llama"
ADAPTER_REPO = "org/legal"
SHARD = "model.safetensors"
BYTES = 24_000_000
RATE = 3_000_000
"""Bytes a second: what is killed in the middle must have a middle."""

VOLUMES = "/var/lib/ascendllm-e2e"


@pytest.fixture
def hub(installed: Provider, space: Space) -> Iterator[str]:
    """The stand-in for a hub, as a pod with a model and an adapter; its URL in the cluster."""
    folder = f"{VOLUMES}/hub-{space.name}"
    with tempfile.TemporaryDirectory() as made:
        repository = Path(made, "hub", REPO)
        repository.mkdir(parents=True)
        (repository / "config.json").write_text(json.dumps(CONFIG))
        (repository / "simulator.json").write_text(json.dumps(QUICK))
        (repository / SHARD).write_bytes(safetensors("t", BYTES))
        for path, content in adapter().items():
            file = Path(made, "hub", ADAPTER_REPO, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        installed.node_copy(Path(made, "hub"), folder)
    code = (REPOSITORY / "tests/unit/download/hub_server.py").read_text()
    space.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "hub"},
            "data": {"hub_server.py": code},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hub"},
            "spec": {"selector": {"app": "hub"}, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "hub", "labels": {"app": "hub"}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "hub",
                        "image": SIMULATOR,
                        "args": [
                            "python3", "/code/hub_server.py", "/models", "0.0.0.0", "8080",
                            str(RATE),
                        ],
                        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                        "volumeMounts": [
                            {"name": "code", "mountPath": "/code"},
                            {"name": "models", "mountPath": "/models"},
                        ],
                    }
                ],
                "volumes": [
                    {"name": "code", "configMap": {"name": "hub"}},
                    {"name": "models", "hostPath": {"path": folder}},
                ],
            },
        },
    )  # fmt: skip
    space.wait("pod/hub", "condition=Ready")
    space.start_client()
    yield f"http://hub.{space.name}.svc"
    on_the_node(installed, "rm", "-rf", folder)


def on_the_node(cluster: Provider, *command: str) -> None:
    subprocess.run(cluster.node_command(list(command)), check=True, timeout=30)


@pytest.fixture
def volume(installed: Provider, space: Space) -> Iterator[str]:
    """A volume that a claim of the storage class of the namespace's name gets; its folder."""
    folder = f"{VOLUMES}/{space.name}"
    on_the_node(installed, "mkdir", "-p", folder)
    on_the_node(installed, "chmod", "0777", folder)
    installed.kubectl(
        "create",
        "--filename=-",
        text=json.dumps(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": space.name},
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteMany"],
                    "storageClassName": space.name,
                    "hostPath": {"path": folder},
                },
            }
        ),
    )
    yield folder
    installed.kubectl("delete", "persistentvolume", space.name, "--wait=false")
    subprocess.run(installed.node_command(["umount", folder]), check=False, stderr=subprocess.PIPE)
    on_the_node(installed, "rm", "-rf", folder)


def resource(space: Space, name: str, hub: str, **source: Any) -> dict[str, Any]:
    cache = {"size": "1Gi", "storageClassName": space.name}
    return served(name, {"huggingFace": {"repo": REPO, "endpoint": hub, **source}}, cache)


def served(
    name: str, source: dict[str, Any], cache: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "ascendllm.io/v1alpha1",
        "kind": "AscendLLM",
        "metadata": {"name": name},
        "spec": {
            "model": {"source": source, **({"cache": cache} if cache else {})},
            "npu": {"generation": "A3"},
            "validation": {"smoke": {}},
        },
    }


def sent(space: Space) -> int:
    """Bytes of the weights that the hub has sent."""
    told = space.ask(f"http://hub.{space.name}.svc/sent")
    return int(json.loads(told["text"]).get(SHARD, 0))


def running(pods: dict[str, Any]) -> bool:
    return any(pod["status"].get("phase") == "Running" for pod in pods.values())


def test_download_cache_serve_and_share(space: Space, hub: str, volume: str) -> None:
    space.apply(resource(space, "llama", hub), resource(space, "other", hub))
    with space.watch("configmaps", CACHE) as watch:
        there = watch.until(
            lambda found: any("progress.json" in c.get("data", {}) for c in found.values()),
            "the download tells how far it is",
        )
    assert not space.serving_pods("llama"), "no NPU is taken before the model is there"
    # Killed in the middle, its next pod goes on.
    (job_pod,) = space.items("pods", CACHE)
    space.kubectl("delete", "pod", job_pod["metadata"]["name"], "--force", "--grace-period=0")
    space.wait_for_ready("llama")
    space.wait_for_ready("other")
    assert BYTES <= sent(space) < 1.6 * BYTES, "fetched once for both, and not anew after the kill"
    status = space.status("llama")
    assert status["download"]["percent"] == 100
    assert status["download"]["bytes"] > BYTES
    assert (status["download"]["cache"],) == tuple(there)
    assert condition(space.get("ascendllm", "llama"), "Ready")["reason"] == "Proven"
    (pod,) = space.serving_pods("llama")
    seen = space.kubectl("exec", pod["metadata"]["name"], "-c", "vllm", "--", "ls", "/models")
    assert seen.split() == ["config.json", SHARD, "simulator.json"], "the model, and nothing else"
    with pytest.raises(Exception, match="Read-only file system"):
        space.kubectl("exec", pod["metadata"]["name"], "-c", "vllm", "--", "touch", "/models/x")
    for kind in ("jobs.batch", "serviceaccounts", "roles.rbac.authorization.k8s.io"):
        assert not space.items(kind, CACHE), "what filled the cache is gone"

    space.kubectl("delete", "ascendllm", "llama")
    assert space.items("configmaps", CACHE), "the other one uses it"
    with space.watch("configmaps", CACHE) as watch:
        watch.until(bool, "the record is there")
        space.kubectl("delete", "ascendllm", "other")
        watch.until(lambda found: not found, "the record is gone")
    assert space.items("persistentvolumeclaims", CACHE), "the claim is kept"

    # The kept claim is used as it is.
    before = sent(space)
    space.apply(resource(space, "llama", hub))
    space.wait_for_ready("llama")
    assert sent(space) == before


def test_a_model_and_its_adapter_are_served_out_of_one_claim(
    space: Space, hub: str, volume: str
) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": space.name,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    item = resource(space, "llama", hub)
    cache = {"claimName": "models"}
    source = {"huggingFace": {"repo": ADAPTER_REPO, "endpoint": hub}}
    item["spec"]["model"]["cache"] = cache
    item["spec"]["engine"] = {"loras": [{"name": "legal", "source": source, "cache": cache}]}
    space.apply(claim, item)
    space.wait_for_ready("llama")

    told = json.loads(space.ask(f"http://llama.{space.name}.svc:8000/v1/models")["text"])
    assert [model["id"] for model in told["data"]] == ["llama", "legal"]
    status = space.status("llama")
    checks = {check["name"]: check for check in status["validation"]["smoke"]["checks"]}
    assert checks["adapter legal"]["result"] == "Passed"
    assert status["download"]["source"] == f"huggingFace {REPO}@main"
    (pod,) = space.serving_pods("llama")
    (read,) = [v for v in pod["spec"]["volumes"] if "persistentVolumeClaim" in v]
    assert read["persistentVolumeClaim"]["claimName"] == "models"
    seen = space.kubectl("exec", pod["metadata"]["name"], "-c", "vllm", "--", "ls", "/loras/legal")
    assert set(seen.split()) == ADAPTER_WANTED


def test_a_full_volume_and_a_missing_secret_are_told(
    installed: Provider, space: Space, hub: str, volume: str
) -> None:
    on_the_node(installed, "mount", "-t", "tmpfs", "-o", "size=8m,mode=0777", "tmpfs", volume)
    secret = {"name": "hub-token", "key": "token"}
    space.apply(resource(space, "llama", hub, tokenSecret=secret))
    status = space.until("llama", "SecretMissing")
    told = next(c for c in status["conditions"] if c["type"] == "Ready")["message"]
    assert "secret 'hub-token' not found" in told
    space.kubectl("create", "secret", "generic", "hub-token", "--from-literal=token=abc")
    status = space.until("llama", "VolumeFull")
    told = next(c for c in status["conditions"] if c["type"] == "Ready")["message"]
    assert "GB more are needed" in told
    assert "spec.model.cache.size" in told
    assert not space.serving_pods("llama")
    on_the_node(installed, "mount", "-o", "remount,size=100m", volume)
    space.kubectl("annotate", "ascendllm/llama", "ascendllm.io/revalidate=larger")
    space.wait_for_ready("llama")


def test_from_the_hub_to_a_drain_under_load(space: Space, hub: str, volume: str) -> None:
    """All that a replica goes through, and no client loses a token."""
    space.apply(resource(space, "llama", hub))
    space.wait_for_ready("llama")
    fetched = sent(space)
    assert fetched >= BYTES
    runs = space.runs("llama")
    with (
        space.watch("pods", f"{NAME}=llama,{REVISION}") as pods,
        streams(space, "llama") as told,
    ):
        there = pods.until(lambda there: all_ready(there, 1), "one serves")
        space.kubectl("scale", "ascendllm/llama", "--replicas=2")
        pods.until(lambda there: all_ready(there, 2), "two serve")
        space.wait("poddisruptionbudget/llama", "jsonpath={.status.disruptionsAllowed}=1")
        (first,) = there
        # As `kubectl drain` does it; the node stays open for the pod that comes instead.
        assert space.evict(first) == ""
        pods.until(lambda there: first not in there and all_ready(there, 2), "another one serves")
        space.kubectl("scale", "ascendllm/llama", "--replicas=1")
        pods.until(lambda there: all_ready(there, 1), "one is left")
    assert_nothing_lost(told)
    space.settle("llama")
    assert sent(space) == fetched, "every pod was served out of the cache"
    assert space.runs("llama") == runs, "nothing is run again"


def test_a_model_and_its_adapter_out_of_an_image(
    installed: Provider, space: Space, volume: str, tmp_path: Path
) -> None:
    """Copied in every pod, and once into a cache."""
    image = f"localhost/ascendllm/model:{space.name}"
    files = {
        "config.json": json.dumps(CONFIG).encode(),
        "simulator.json": json.dumps(QUICK).encode(),
        SHARD: safetensors("t", 1_000_000),
    }
    (base,) = images.build(["simulator"])
    archive = tmp_path / "model.tar"
    # /models is where the volume is mounted that it is copied into: nothing may hide it.
    held = {f"models/{name}": data for name, data in files.items()}
    held |= {f"legal/{name}": adapter()[name] for name in ADAPTER_WANTED}
    write_image_on(base.path, archive, image, held)
    installed.load(archive)
    source = {"oci": {"image": image}}
    cache = {"size": "1Gi", "storageClassName": space.name}
    legal = {"name": "legal", "source": {"oci": {"image": image, "path": "/legal"}}}
    copied = served("copied", source)
    copied["spec"]["engine"] = {"loras": [legal]}
    space.apply(copied, served("cached", source, cache))
    for name in ("copied", "cached"):
        space.wait_for_ready(name)
        (pod,) = space.serving_pods(name)
        listed = space.kubectl("exec", pod["metadata"]["name"], "-c", "vllm", "--", "ls", "/models")
        assert listed.split() == sorted(files)
    assert space.status("cached")["download"]["percent"] == 100
    status = space.status("copied")
    assert "download" not in status
    checks = {check["name"]: check for check in status["validation"]["smoke"]["checks"]}
    assert checks["adapter legal"]["result"] == "Passed"
