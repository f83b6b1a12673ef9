"""Clients come from outside, through a real gateway: by the Gateway API, and by an Ingress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from cluster import traefik
from cluster.provider import Provider
from e2e.clients import assert_nothing_lost, http_status, streams
from e2e.resources import model, resource
from e2e.space import NAME, REVISION, Space, all_ready, condition, namespace
from e2e.watch import Object

pytestmark = pytest.mark.timeout(900)  # the gateway is built the first time on a machine

LLAMA = "llama"
SECRET = "llama-key"
KEY = "only-for-friends"
GATEWAY = {"name": traefik.GATEWAY, "namespace": traefik.NAMESPACE}
BY_ROUTE, BY_INGRESS = WAYS = ("route", "ingress")


@pytest.fixture(scope="module")
def space(installed: Provider) -> Iterator[Space]:
    traefik.install(installed)
    path = model(installed, "outside", itlMs=40, loadSeconds=3)
    with namespace(installed, "gateway") as made:
        made.start_client()
        made.kubectl("create", "secret", "generic", SECRET, f"--from-literal=token={KEY}")
        made.apply(
            resource(
                LLAMA,
                path,
                {"smoke": {}},
                service={
                    "apiKeySecret": {"name": SECRET, "key": "token"},
                    "gateway": {**GATEWAY, "hostnames": [made.alias(BY_ROUTE, traefik.HOST)]},
                    "ingress": {
                        "className": traefik.CLASS,
                        "hosts": [made.alias(BY_INGRESS, traefik.HOST)],
                    },
                },
            )
        )
        yield made


def answer(
    space: Space, way: str, path: str = "/v1/models", key: str = KEY, *, awaited: int | None = None
) -> int:
    """The HTTP status that a client outside gets, by a name of the gateway."""
    return http_status(space, f"http://{way}.{space.name}.svc{path}", key, awaited=awaited)


def test_nothing_comes_through_before_the_proof(space: Space) -> None:
    with space.watch("ascendllm") as watch:
        watch.until(
            lambda there: (
                condition(there.get(LLAMA), "Ready").get("reason") in ("Loading", "Validating")
            ),
            "it is not proven yet",
        )
        space.wait("httproute/llama", "jsonpath={.status.parents[0].conditions[0].status}=True")
        early = {answer(space, way) for way in WAYS}
        item = space.get("ascendllm", LLAMA)
    assert condition(item, "Ready")["status"] != "True", "it was asked too late"
    assert 200 not in early


def test_both_ways_lead_to_what_is_proven(space: Space) -> None:
    space.wait_for_ready(LLAMA)
    for way in WAYS:
        assert answer(space, way, awaited=200) == 200
        assert answer(space, way, key="another") == 401
        assert answer(space, way, "/metrics") == 404, "only /v1 is routed"
    assert not [w for w in space.settle(LLAMA).get("warnings", []) if "HTTPRoute" in w]


@pytest.mark.parametrize("way", WAYS)
def test_fewer_replicas_under_load_lose_no_request(space: Space, way: str) -> None:
    """The gateway keeps connections, and hears of endpoints in its own time."""
    with space.watch("pods", f"{NAME}={LLAMA},{REVISION}") as watch:
        space.kubectl("scale", f"ascendllm/{LLAMA}", "--replicas=2")
        watch.until(lambda there: all_ready(there, 2), "two are ready")
        with streams(space, LLAMA, server=f"{way}.{space.name}.svc", key=KEY) as told:
            space.kubectl("scale", f"ascendllm/{LLAMA}", "--replicas=1")
            watch.until(lambda there: len(there) == 1, "one is gone")
    assert_nothing_lost(told)


def test_a_route_that_leads_nowhere_is_told_of(space: Space) -> None:
    with space.watch("ascendllm") as watch:
        space.patch(LLAMA, {"service": {"gateway": {"sectionName": "nosuch"}}})
        there = watch.until(lambda there: bool(warning(there)), "it is told")
        assert "leads nowhere: NoMatchingParent" in warning(there)
        assert f"Gateway {traefik.NAMESPACE}/{traefik.GATEWAY}" in warning(there)
        assert condition(there[LLAMA], "Ready")["status"] == "True"
        space.patch(LLAMA, {"service": {"gateway": {"sectionName": None}}})
        watch.until(lambda there: not warning(there), "and no more once mended")
    assert answer(space, BY_ROUTE, awaited=200) == 200


def warning(resources: Mapping[str, Object]) -> str:
    """What is said of the route."""
    lines = resources.get(LLAMA, {}).get("status", {}).get("warnings", [])
    return " ".join(line for line in lines if "HTTPRoute" in line)
