"""What is read from the API server is bounded, and belongs to the resource."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.desired import names
from ascendllm.exceptions import ClusterError
from ascendllm.kube.client import ApiServer
from integration.world import World, controller, resource

SMOKE = {"smoke": {}}
MEGABYTE = "x" * 1_000_000


def config_map(name: str, labels: dict[str, str], **data: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def create_all(world: World, items: list[dict[str, Any]]) -> None:
    for item in items:
        world.foreign.add(item["metadata"]["name"])
        await world.create(item)


async def test_a_page_that_is_too_large_is_read_object_by_object(
    world: World, api: ApiServer
) -> None:
    mine = {"bounded": "yes"}
    items = [config_map(f"large-{number:02}", mine, text=MEGABYTE) for number in range(12)]
    items += [config_map(f"small-{number:02}", mine, text="x") for number in range(30)]
    await create_all(world, items)
    found = await api.list("ConfigMap", world.namespace, "bounded=yes")
    assert [item["metadata"]["name"] for item in found] == [
        item["metadata"]["name"] for item in items
    ]
    assert found[0]["data"]["text"] == MEGABYTE
    seen = [
        item["metadata"]["name"] async for item in api.each("ConfigMap", selector="bounded=yes")
    ]
    assert len(seen) == len(items)
    kept = await api.list(
        "ConfigMap",
        world.namespace,
        "bounded=yes",
        where=lambda item: item["metadata"]["name"] == "small-29",
    )
    assert [item["metadata"]["name"] for item in kept] == ["small-29"]


async def test_a_list_that_takes_too_much_memory_is_an_error_that_says_so(
    world: World, api: ApiServer
) -> None:
    mine = {"bounded": "too-large"}
    await create_all(
        world, [config_map(f"large-{number}", mine, text=MEGABYTE) for number in range(36)]
    )
    with pytest.raises(
        ClusterError, match="take more than 12 MiB of memory: delete those that are not"
    ):
        await api.list("ConfigMap", world.namespace, "bounded=too-large")
    listed = await api.list("ConfigMap", world.namespace, "bounded=too-large", metadata_only=True)
    assert len(listed) == 36


async def test_results_that_are_too_large_stop_their_own_resource_alone(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    uid = (await world.get("AscendLLM", "llama"))["metadata"]["uid"]
    owner = controller(await world.get("AscendLLM", "llama")) | {"controller": False}
    labels = names.labels("llama", **{names.CHECK: "smoke", names.RUN: "0"})
    result = {"result.json": MEGABYTE}
    forged = [config_map(f"forged-{number}", labels, **result) for number in range(40)]
    await create_all(world, forged)
    await world.settle()
    assert (await world.conditions())["Ready"] == "Unknown/Validating", "they are not its own"

    for item in forged:
        change = {"metadata": {"ownerReferences": [owner]}}
        await world.edit("ConfigMap", item["metadata"]["name"], change)
    with pytest.raises(ClusterError, match="hold more than 4 MiB of results"):
        await world.reconcile()
    assert (await world.conditions())["Ready"] == "Unknown/TooLarge"
    assert "delete those that are not the operator's" in await world.message()
    assert uid == owner["uid"]

    for item in forged:
        await world.remove("ConfigMap", item["metadata"]["name"])
    await world.settle()
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_a_run_counts_under_its_own_name_alone(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    (run,) = [item for item in await world.children("ConfigMap") if "sealed.json" in item["data"]]
    copy = config_map("a-copy", run["metadata"]["labels"], **run["data"])
    copy["metadata"]["ownerReferences"] = run["metadata"]["ownerReferences"]
    copy["immutable"] = True
    await create_all(world, [copy])
    await world.annotate("again")
    await world.settle()
    assert len((await world.status())["history"]) == 1
    await world.finish_check("smoke")
    assert (await world.conditions())["Ready"] == "True/Proven"


async def test_pods_with_the_labels_alone_do_not_serve(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    (pod,) = await world.serving_pods()
    replica_set = await world.get("ReplicaSet", pod["metadata"]["ownerReferences"][0]["name"])

    async def pretend(name: str, **metadata: Any) -> None:
        item = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": pod["metadata"]["labels"], **metadata},
            "spec": {"containers": [{"name": "vllm", "image": "theirs"}], "nodeName": "node"},
        }
        await world.create(item)
        await world.report(name)

    other = await world.create(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "theirs"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "theirs"}},
                "template": {
                    "metadata": {"labels": {"app": "theirs"}},
                    "spec": {"containers": [{"name": "a", "image": "a"}]},
                },
            },
        }
    )
    await pretend("without-owner")
    await pretend("of-another", ownerReferences=[controller(other)])
    owned = controller(replica_set) | {"controller": False}
    await pretend("not-controlled", ownerReferences=[owned])
    foreign_kind = controller(replica_set) | {"apiVersion": "example.com/v1", "kind": "Deployment"}
    await pretend("of-another-group", ownerReferences=[foreign_kind])
    await world.settle()
    status = await world.status()
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert {item.name for _, item in world.findings.pods()} == {pod["metadata"]["name"]}

    await pretend("of-its-own", ownerReferences=[controller(replica_set)])
    await world.settle()
    assert (await world.status())["readyReplicas"] == 2
    for name in ("without-owner", "of-another", "not-controlled", "of-another-group"):
        assert await world.find("Pod", name) is not None, "what is not ours is left alone"
