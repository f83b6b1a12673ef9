"""Nothing is lost on the way down, and nobody gets in without the key.

The tests share one resource, and each leaves it proven.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cluster.provider import Provider
from e2e.clients import assert_nothing_lost, http_status, streams
from e2e.resources import model, resource
from e2e.space import NAME, REVISION, Space, all_ready, condition, namespace

pytestmark = pytest.mark.timeout(400)

LLAMA = "guarded"
SECRET = "llama-key"
KEY = "only-for-friends"


@pytest.fixture(scope="module")
def space(installed: Provider) -> Iterator[Space]:
    path = model(installed, "edge", itlMs=40)
    with namespace(installed, "edge") as made:
        made.apply(
            resource(
                LLAMA,
                path,
                {"smoke": {}},
                service={"apiKeySecret": {"name": SECRET, "key": "token"}},
                rollout={"strategy": "BlueGreen"},
            )
        )
        made.start_client()
        yield made


def selected(space: Space) -> str:
    return str(space.get("service", LLAMA)["spec"]["selector"][REVISION])


def test_a_secret_that_is_missing_is_named_and_waited_for(space: Space) -> None:
    status = space.until(LLAMA, "CreateContainerConfigError")
    message = condition({"status": status}, "Ready")["message"]
    assert SECRET in message
    assert "spec.service.apiKeySecret" in message

    space.kubectl("create", "secret", "generic", SECRET, f"--from-literal=token={KEY}")
    space.wait_for_ready(LLAMA)


def test_the_key_opens_and_nothing_else_does(space: Space) -> None:
    url = f"http://{LLAMA}:8000/v1/models"
    assert http_status(space, url) == 401
    assert http_status(space, url, "another") == 401
    assert http_status(space, url, KEY) == 200
    smoke = space.status(LLAMA)["validation"]["smoke"]
    assert smoke["result"] == "Passed"
    (report,) = [run for name, run in space.runs(LLAMA).items() if "-smoke-" in name]
    checks = {c["name"]: c["result"] for c in json.loads(report["result.json"])["checks"]}
    assert checks["apiKey"] == "Passed"

    seen = space.kubectl("get", "events,pods,jobs,configmaps,ascendllms,deployments", "-ojson")
    assert KEY not in seen, "the key stands in the Secret alone"


def test_fewer_replicas_under_load_lose_no_request(space: Space) -> None:
    space.kubectl("scale", f"ascendllm/{LLAMA}", "--replicas=2")
    with space.watch("pods", f"{NAME}={LLAMA},{REVISION}") as watch:
        watch.until(lambda there: all_ready(there, 2), "two are ready")
        space.settle(LLAMA)
        runs = space.runs(LLAMA)
        with streams(space, LLAMA, key=KEY) as told:
            space.kubectl("scale", f"ascendllm/{LLAMA}", "--replicas=1")
            watch.until(lambda there: len(there) == 1, "one is gone")
    status = space.settle(LLAMA)
    assert_nothing_lost(told)
    assert condition({"status": status}, "Ready")["reason"] == "Proven"
    assert space.runs(LLAMA) == runs, "nothing is run again"


def test_a_new_revision_under_load_loses_no_request(space: Space) -> None:
    old = selected(space)
    with (
        streams(space, LLAMA, key=KEY) as told,
        space.watch("pods", f"{NAME}={LLAMA},{REVISION}={old}") as watch,
        space.watch("services", f"{NAME}={LLAMA}") as services,
    ):
        watch.until(lambda there: len(there) == 1, "the old one serves")
        space.patch(LLAMA, {"engine": {"maxNumSeqs": 32}})
        services.until(
            lambda there: LLAMA in there and there[LLAMA]["spec"]["selector"].get(REVISION) != old,
            "clients are switched over",
        )
        watch.until(lambda there: not there, "the old one is gone")
        happened = [bool(event.item["metadata"].get("deletionTimestamp")) for event in watch.events]
    space.wait_for_ready(LLAMA)
    assert_nothing_lost(told)
    assert happened[0] is False
    assert selected(space) != old
    assert len(space.serving_pods(LLAMA)) == 1


def test_a_drained_node_leaves_one_of_two(space: Space) -> None:
    """The budget, at the real eviction API."""
    space.kubectl("scale", f"ascendllm/{LLAMA}", "--replicas=2")
    with space.watch("pods", f"{NAME}={LLAMA},{REVISION}") as watch:
        there = watch.until(lambda there: all_ready(there, 2), "two are ready")
    with space.watch("poddisruptionbudgets", f"{NAME}={LLAMA}") as budgets:
        budgets.until(
            lambda items: (
                LLAMA in items and items[LLAMA].get("status", {}).get("disruptionsAllowed") == 1
            ),
            "one may go",
        )
    first, second = sorted(there)
    assert space.evict(first) == ""
    assert "disruption budget" in space.evict(second)
    space.kubectl("scale", f"ascendllm/{LLAMA}", "--replicas=1")
    space.settle(LLAMA)


def test_the_horizontal_pod_autoscaler_sets_replicas(space: Space) -> None:
    """The real controller, through the scale subresource; it has no metrics here, and says so."""
    autoscaling = {"minReplicas": 2, "maxReplicas": 3, "metric": "queueDepth", "target": 8}
    space.patch(LLAMA, {"autoscaling": autoscaling})
    with space.watch("ascendllm") as watch:
        watch.until(
            lambda there: (
                LLAMA in there
                and there[LLAMA]["spec"]["replicas"] == 2
                and there[LLAMA]["status"]["readyReplicas"] == 2
                and any(
                    "does not scale" in line for line in there[LLAMA]["status"].get("warnings", [])
                )
            ),
            "two replicas, and why there are never more",
            200,
        )
    (autoscaler,) = space.items("horizontalpodautoscalers", f"{NAME}={LLAMA}")
    assert autoscaler["spec"]["metrics"][0]["pods"]["metric"]["name"] == "vllm:num_requests_waiting"

    space.patch(LLAMA, {"autoscaling": None, "replicas": 1})
    status = space.settle(LLAMA)
    assert space.items("horizontalpodautoscalers", f"{NAME}={LLAMA}") == []
    assert condition({"status": status}, "Ready")["reason"] == "Proven"
