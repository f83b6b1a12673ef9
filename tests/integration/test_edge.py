"""Replicas, autoscalers and ways in, held by a real API server with the real definitions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ascendllm.desired import names
from ascendllm.exceptions import ClusterError
from ascendllm.kube.kinds import OPTIONAL
from ascendllm.settings import Settings
from cluster.control_plane import ControlPlane
from cluster.definitions import GATEWAY_API, KEDA, installed
from integration.mortal import Mortal
from integration.world import SETTINGS, World, resource

SMOKE = {"smoke": {}}
SCALED = {"minReplicas": 2, "maxReplicas": 4, "metric": "queueDepth", "target": 8}
ZERO = {**SCALED, "minReplicas": 1, "scaleToZero": True, "wakeQuery": "sum(rate(requests[1m]))"}
WITH_PROMETHEUS = Settings.from_mapping({**SETTINGS, "prometheusAddress": "http://prom:9090"})
GATEWAY = {"name": "public", "namespace": "gateways", "hostnames": ["llama.example.com"]}
INGRESS = {
    "className": "nginx",
    "hosts": ["llama.example.com"],
    "tlsSecret": "tls",
    "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "3600"},
}


@pytest.fixture(scope="module")
def definitions(control_plane: ControlPlane) -> Iterator[None]:
    """The Gateway API and KEDA are installed."""
    with installed(control_plane, GATEWAY_API, KEDA):
        # Established, and still 429 "storage is (re)initializing" for a moment: it tries again.
        control_plane.kubectl("get", "httproutes,scaledobjects", "--all-namespaces")
        yield


@pytest.fixture
def keda(definitions: None, world: World) -> Mortal:
    return world.operate(WITH_PROMETHEUS)


async def extras(world: World) -> dict[str, dict[str, Any]]:
    """The resource's objects of kinds that not every one has, by kind."""
    lists = await asyncio.gather(*(children(world, kind) for kind in OPTIONAL))
    return {item["kind"]: item for items in lists for item in items}


async def children(world: World, kind: str, name: str = "llama") -> list[dict[str, Any]]:
    """The objects of a kind; none where the API server does not serve it."""
    try:
        return await world.children(kind, name)
    except ClusterError as error:
        if error.status != 404:
            raise
        return []


async def kinds(world: World) -> set[str]:
    return set(await extras(world))


class TestWithoutTheGatewayApiAndKeda:
    async def test_a_route_is_refused_with_the_remedy_and_what_serves_goes_on(
        self, world: World
    ) -> None:
        await world.apply(resource(validation=SMOKE))
        await world.prove(checks=("smoke",))
        await world.apply(resource(validation=SMOKE, service={"gateway": GATEWAY}))
        wake = await world.reconcile()
        await world.settle()
        conditions = await world.conditions()
        assert conditions["Ready"] == "False/GatewayApiMissing"
        assert conditions["Available"] == "True/Serving"
        assert "have the Gateway API" in await world.message()
        assert wake == 30, "what is installed later is seen without a change of the resource"

    async def test_zero_needs_keda(self, world: World) -> None:
        world.operate(WITH_PROMETHEUS)
        await world.apply(resource(validation=SMOKE, autoscaling=ZERO))
        await world.settle()
        assert (await world.conditions())["Ready"] == "False/KedaMissing"

    async def test_a_horizontal_pod_autoscaler_scales(self, world: World) -> None:
        world.operate(WITH_PROMETHEUS)
        for target, quantity in ((0.8, "800m"), (8, "8"), (1000, "1k"), (1.5, "1500m")):
            metric = "requestRate"
            scaled = {**SCALED, "metric": metric, "target": target}
            await world.apply(resource(validation=None, autoscaling=scaled))
            await world.load()
            (found,) = await world.children("HorizontalPodAutoscaler")
            (shown,) = found["spec"]["metrics"]
            assert shown["pods"]["target"]["averageValue"] == quantity
        await world.apply(resource(validation=None))
        await world.load()
        assert await kinds(world) == set()

    async def test_a_kind_that_comes_is_used(self, world: World, definitions: None) -> None:
        await world.apply(resource(validation=None, service={"gateway": GATEWAY}))
        await world.load()
        assert await kinds(world) == {"HTTPRoute"}


async def test_a_route_and_an_ingress(definitions: None, world: World) -> None:
    service = {"port": 80, "gateway": GATEWAY, "ingress": INGRESS}
    await world.apply(resource(validation=None, service=service))
    await world.load()
    found = await extras(world)
    assert set(found) == {"HTTPRoute", "Ingress"}
    (rule,) = found["HTTPRoute"]["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s"}
    assert rule["backendRefs"][0]["name"] == "llama"
    revision = await world.revision()

    somebodys = {"spec": {"hostnames": ["other.example.com"]}}
    await world.edit("HTTPRoute", "llama", somebodys)
    await world.edit("Ingress", "llama", {"spec": {"ingressClassName": "traefik"}})
    await world.settle()
    found = await extras(world)
    assert found["HTTPRoute"]["spec"]["hostnames"] == ["llama.example.com"]
    assert found["Ingress"]["spec"]["ingressClassName"] == "nginx"

    for section in ({"sectionName": "web"}, {}):
        await world.apply(resource(validation=None, service={"gateway": GATEWAY | section}))
        await world.settle()
        (parent,) = (await extras(world))["HTTPRoute"]["spec"]["parentRefs"]
        assert {key: parent[key] for key in parent if key == "sectionName"} == section

    await world.apply(resource(validation=None))
    await world.settle()
    assert await kinds(world) == set()
    assert await world.revision() == revision
    assert (await world.conditions())["Ready"] == "True/NoValidation"


async def test_a_gateway_api_that_knows_no_timeouts(
    definitions: None, control_plane: ControlPlane, world: World
) -> None:
    """As in the standard channel before 1.2: the rest of the route is applied, and once."""
    name = "customresourcedefinition/httproutes.gateway.networking.k8s.io"
    crd = json.loads(control_plane.kubectl("get", name, "-ojson"))
    place = "openAPIV3Schema/properties/spec/properties/rules/items/properties/timeouts"
    patch = [
        {"op": "remove", "path": f"/spec/versions/{number}/schema/{place}"}
        for number in range(len(crd["spec"]["versions"]))
    ]
    control_plane.kubectl("patch", name, "--type=json", f"--patch={json.dumps(patch)}")
    try:
        await world.apply(resource(validation=None, service={"gateway": GATEWAY}))
        async with asyncio.timeout(60):
            while True:
                await world.load()
                (route,) = await world.children("HTTPRoute")
                if "timeouts" not in route["spec"]["rules"][0]:
                    break
                # The new schema takes a moment to be the one that counts.
                await world.remove("HTTPRoute", "llama")
        assert (await world.conditions())["Ready"] == "True/NoValidation"
        await world.edit("HTTPRoute", "llama", {"spec": {"hostnames": ["other.example.com"]}})
        await world.settle()
        (route,) = await world.children("HTTPRoute")
        assert route["spec"]["hostnames"] == ["llama.example.com"]
    finally:
        file = f"--filename={GATEWAY_API.path()}"
        control_plane.kubectl("apply", "--server-side", "--force-conflicts", file)


async def test_somebody_elses_ingress_is_left_alone(world: World) -> None:
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "llama"},
        "spec": {"defaultBackend": {"service": {"name": "theirs", "port": {"number": 1}}}},
    }
    await world.create(ingress)
    await world.apply(resource(validation=None, service={"ingress": INGRESS}))
    await world.settle()
    assert (await world.conditions())["Ready"] == "False/NameTaken"
    assert "rules" not in (await world.get("Ingress", "llama"))["spec"]


async def test_kubectl_scale_starts_nothing_anew(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.prove(checks=("smoke",))
    before = (
        await world.names_of("ControllerRevision"),
        await world.names_of("ConfigMap"),
        {pod["metadata"]["uid"] for pod in await world.serving_pods()},
    )
    world.kubectl("scale", "ascendllm/llama", "--replicas=3")
    await world.settle()
    conditions = await world.conditions()
    assert conditions["Ready"] == "True/Scaling"
    assert conditions["Available"] == "True/Serving"
    await world.move_pods()
    await world.settle()
    assert (await world.conditions())["Ready"] == "True/Proven"
    scale = json.loads(world.kubectl("get", "ascendllm/llama", "--subresource=scale", "-ojson"))
    assert scale["spec"]["replicas"] == scale["status"]["replicas"] == 3
    served = await world.served()
    assert scale["status"]["selector"] == f"{names.NAME}=llama,{names.REVISION}={served}"
    assert await kinds(world) == {"PodDisruptionBudget"}

    world.kubectl("scale", "ascendllm/llama", "--replicas=1")
    await world.settle()
    await world.move_pods()
    await world.settle()
    after = (
        await world.names_of("ControllerRevision"),
        await world.names_of("ConfigMap"),
        {pod["metadata"]["uid"] for pod in await world.serving_pods()},
    )
    assert after == before
    assert await kinds(world) == set()


async def test_keda_scales_where_it_is_and_hands_over(keda: Mortal, world: World) -> None:
    await world.apply(resource(validation=SMOKE, autoscaling=SCALED))
    await world.prove(checks=("smoke",))
    found = await extras(world)
    assert set(found) == {"PodDisruptionBudget", "ScaledObject"}
    assert found["ScaledObject"]["spec"]["scaleTargetRef"]["kind"] == "AscendLLM"
    assert len(await world.serving_pods()) == 2, "the lower bound, whatever replicas says"

    world.operate(Settings.from_mapping(SETTINGS))
    await world.settle()
    assert await kinds(world) == {"PodDisruptionBudget", "HorizontalPodAutoscaler"}
    world.operate(WITH_PROMETHEUS)
    await world.settle()
    assert await kinds(world) == {"PodDisruptionBudget", "ScaledObject"}

    await world.apply(resource(validation=SMOKE, autoscaling=SCALED, suspend=True))
    await world.settle()
    await world.move_pods()
    await world.settle()
    assert await kinds(world) == set()
    assert await world.serving_pods() == []
    replicas = (await world.get("AscendLLM", "llama"))["spec"]["replicas"]
    assert replicas == 1, "the operator never writes it"


async def test_what_an_autoscaler_sets_stays(keda: Mortal, world: World) -> None:
    """As KEDA does it: through the scale subresource; then the manifest is applied again."""
    manifest = resource(validation=SMOKE, autoscaling=ZERO)
    await world.apply(manifest)
    await world.prove(checks=("smoke",))
    assert (await extras(world))["ScaledObject"]["spec"]["idleReplicaCount"] == 0
    for replicas, ready in ((3, "Scaling"), (0, "ScaledToZero"), (1, "Proven")):
        world.kubectl("scale", "ascendllm/llama", f"--replicas={replicas}")
        await world.apply(manifest)
        await world.settle()
        if replicas != 1:
            assert (await world.conditions())["Ready"] == f"True/{ready}"
        await world.move_pods()
        await world.settle()
        assert len(await world.serving_pods()) == replicas
    assert (await world.conditions())["Ready"] == "True/Proven"
    assert len(await world.names_of("ConfigMap")) == 1, "nothing was checked again"


async def test_at_rest_only_what_is_there_is_listed(keda: Mortal, world: World) -> None:
    service = {"gateway": GATEWAY, "ingress": INGRESS}
    await world.apply(resource(validation=None, autoscaling=SCALED, service=service))
    await world.load()
    before = {
        kind: item["metadata"]["resourceVersion"] for kind, item in (await extras(world)).items()
    }
    assert len(before) == 4
    writes = keda.writes
    assert await world.gets_at_rest() == 1
    assert keda.writes == writes
    after = {
        kind: item["metadata"]["resourceVersion"] for kind, item in (await extras(world)).items()
    }
    assert after == before


async def test_an_operator_that_dies_of_any_write_comes_to_the_same(
    definitions: None, world: World
) -> None:
    service = {"gateway": GATEWAY, "ingress": INGRESS, "apiKeySecret": {"name": "k", "key": "k"}}
    spec = {"validation": None, "autoscaling": SCALED, "service": service}
    for life in range(1, 14):
        item = resource(**spec)
        item["metadata"]["name"] = f"llama{life}"
        await world.apply(item)
        world.operate(WITH_PROMETHEUS, life)
        await world.settle(f"llama{life}")
        await world.load(f"llama{life}")
        lists = await asyncio.gather(*(children(world, kind, f"llama{life}") for kind in OPTIONAL))
        there = {found["kind"] for items in lists for found in items}
        assert there == {"PodDisruptionBudget", "ScaledObject", "HTTPRoute", "Ingress"}, life
        bare = resource(validation=None)
        bare["metadata"]["name"] = f"llama{life}"
        await world.apply(bare)
        world.operate(WITH_PROMETHEUS, life % 6 + 1)
        await world.settle(f"llama{life}")
        await world.load(f"llama{life}")
        lists = await asyncio.gather(*(children(world, kind, f"llama{life}") for kind in OPTIONAL))
        assert [found["kind"] for items in lists for found in items] == [], life


async def test_blue_green_outlives_the_operator(world: World) -> None:
    """It dies of one write, then of a later one; what serves is there until the switch."""
    lived = []
    for life in range(1, 50, 2):
        name = f"llama{life}"
        fields: dict[str, Any] = {"validation": SMOKE, "rollout": {"strategy": "BlueGreen"}}

        async def change(name: str = name, **spec: Any) -> None:
            item = resource(**spec)
            item["metadata"]["name"] = name
            await world.apply(item)

        world.operate(Settings.from_mapping(SETTINGS))
        await change(**fields)
        await world.prove(name, checks=("smoke",))
        old = await world.served(name)
        pods = {pod["metadata"]["uid"] for pod in await world.serving_pods(name)}

        mortal = world.operate(Settings.from_mapping(SETTINGS), life)
        await change(**fields, engine={"maxNumSeqs": 8})
        await world.settle(name)
        await world.load(name)
        assert await world.served(name) == old
        assert len(await world.children("Deployment", name)) == 2
        assert pods < {pod["metadata"]["uid"] for pod in await world.serving_pods(name)}
        await world.finish_check("smoke", name)
        await world.settle(name)
        await world.move_pods(name)
        await world.settle(name)
        new = await world.served(name)
        assert new != old
        (left,) = await world.children("Deployment", name)
        assert left["metadata"]["labels"][names.REVISION] == new
        assert (await world.conditions(name))["Ready"] == "True/Proven"
        lived.append(mortal.writes)
        if mortal.writes < life:
            return
    raise AssertionError(f"it never came through alive: {lived}")
