"""What the operator and its jobs may do; every other test runs with these rights as well."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ascendllm.exceptions import ClusterError
from ascendllm.kube.client import ApiServer, connect
from cluster.control_plane import ControlPlane
from integration.admin import Admin
from integration.admin import admin as connect_admin
from integration.world import World, resource

SMOKE = {"smoke": {}}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/namespaces/default/secrets"),
        ("DELETE", "/apis/ascendllm.io/v1alpha1/namespaces/default/ascendllms/x"),
        ("PATCH", "/apis/ascendllm.io/v1alpha1/namespaces/default/ascendllms/x"),
        ("PATCH", "/api/v1/namespaces/default/pods/x"),
        ("POST", "/api/v1/namespaces/default/pods"),
        ("PATCH", "/api/v1/nodes/x"),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/default/leases/x"),
        ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
    ],
)
async def test_the_operator_may_not(api: ApiServer, method: str, path: str) -> None:
    with pytest.raises(ClusterError) as refused:
        await api._request(method, path, None, {} if method in ("POST", "PATCH") else None)
    assert refused.value.status == 403


async def test_the_operator_cannot_grant_more_than_it_has(api: ApiServer, world: World) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "more", "namespace": world.namespace},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    }
    with pytest.raises(ClusterError, match="attempting to grant RBAC permissions"):
        await api.apply(role)


@pytest.fixture
async def job(world: World) -> dict[str, Any]:
    """A running job, and a second run of another resource beside it."""
    other = resource(validation=SMOKE)
    other["metadata"] = {"name": "other"}
    await world.apply(other)
    await world.load("other")
    await world.apply(resource(validation=SMOKE))
    await world.load()
    return await world.job_of("smoke")


async def _as_job(control_plane: ControlPlane, world: World, job: dict[str, Any]) -> Admin:
    account = job["spec"]["template"]["spec"]["serviceAccountName"]
    return await connect_admin(control_plane.kubeconfig_for(world.namespace, account))


async def test_a_jobs_token_reaches_its_own_run_and_nothing_else(
    control_plane: ControlPlane, world: World, job: dict[str, Any]
) -> None:
    name, namespace = job["metadata"]["name"], world.namespace
    other = (await world.job_of("smoke", "other"))["metadata"]["name"]
    async with await _as_job(control_plane, world, job) as token:
        assert isinstance(token, Admin)
        run = await token.get("ConfigMap", namespace, name)
        assert run is not None
        await token.edit("ConfigMap", namespace, name, {"data": {"checkpoint": "c"}})
        refused = [
            token.get("ConfigMap", namespace, other),
            token.edit("ConfigMap", namespace, other, {"data": {"result.json": "{}"}}),
            token.list("ConfigMap", namespace),
            token.remove("ConfigMap", namespace, name),
            token.post(
                {**copy.deepcopy(dict(run)), "metadata": {"name": "n", "namespace": namespace}}
            ),
            token.get("AscendLLM", namespace, "llama"),
            token.list("Pod", namespace),
            token.get("Job", namespace, name),
            token._request("GET", f"/api/v1/namespaces/{namespace}/secrets"),
        ]
        for request in refused:
            with pytest.raises(ClusterError) as error:
                await request
            assert error.value.status == 403
    assert (await world.get("ConfigMap", name))["data"]["checkpoint"] == "c"


async def test_a_jobs_token_is_nothing_after_its_end(
    control_plane: ControlPlane, world: World, job: dict[str, Any]
) -> None:
    async with await _as_job(control_plane, world, job) as token:
        await world.finish_check("smoke")
        with pytest.raises(ClusterError) as error:
            await token.get("ConfigMap", world.namespace, job["metadata"]["name"])
        assert error.value.status in (401, 403)


async def test_no_token_reaches_the_serving_pods(world: World) -> None:
    await world.apply(resource(validation=SMOKE))
    await world.load()
    (pod,) = await world.serving_pods()
    paths = [
        mount["mountPath"]
        for container in pod["spec"]["containers"]
        for mount in container["volumeMounts"]
    ]
    assert not [path for path in paths if "serviceaccount" in path]


async def test_a_client_without_rights_is_told_so(control_plane: ControlPlane) -> None:
    kubeconfig = control_plane.kubeconfig_for("default", "default")
    async with await connect(str(kubeconfig)) as nobody:
        with pytest.raises(ClusterError, match="forbidden") as error:
            await nobody.list("AscendLLM")
    assert error.value.status == 403
