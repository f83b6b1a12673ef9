"""Nothing is lost on the way down, and nobody gets in without the key.

The tests share one resource, and each leaves it proven.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from cluster.commands import environment
from cluster.provider import Provider
from e2e.resources import model, resource
from e2e.space import NAME, REVISION, Space, condition, namespace

pytestmark = pytest.mark.timeout(400)

LLAMA = "guarded"
SECRET = "llama-key"
KEY = "only-for-friends"
TOKENS = 60
STREAMS = 8

_LOAD = """
import json, sys, threading, urllib.request
url, model, key, tokens, streams = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
over, one = threading.Event(), threading.Lock()
body = json.dumps({
    "model": model, "prompt": "Hello", "max_tokens": tokens, "stream": True, "ignore_eos": True,
    "temperature": 0, "stream_options": {"include_usage": True},
}).encode()
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
def tell(what):
    with one:
        print(what, flush=True)
def ask():
    while not over.is_set():
        try:
            request = urllib.request.Request(url, body, headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                lines = [line[6:].strip() for line in answer if line.startswith(b"data: ")]
            got = json.loads(lines[-2])["usage"]["completion_tokens"]
            whole = lines[-1] == b"[DONE]" and got == tokens
            tell("whole" if whole else f"cut: {lines[-1]}")
        except Exception as error:
            tell(repr(error))
threads = [threading.Thread(target=ask) for _ in range(streams)]
[thread.start() for thread in threads]
sys.stdin.read()
over.set()
[thread.join() for thread in threads]
"""


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


@contextmanager
def load(space: Space) -> Iterator[list[str]]:
    """Streams on the Service meanwhile; the list holds what became of each when it is left."""
    url = f"http://{LLAMA}:8000/v1/completions"
    with space.client_script(_LOAD, url, LLAMA, KEY, str(TOKENS), str(STREAMS)) as told:
        yield told


def ready(pod: Mapping[str, Any]) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def selected(space: Space) -> str:
    return str(space.get("service", LLAMA)["spec"]["selector"][REVISION])


def status_without(space: Space, headers: str) -> str:
    """The HTTP status of /v1/models with that header."""
    script = (
        "import sys, urllib.request, urllib.error\n"
        "name, _, value = sys.argv[2].partition(': ')\n"
        "request = urllib.request.Request(sys.argv[1], headers={name: value} if name else {})\n"
        "try: print(urllib.request.urlopen(request, timeout=10).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
    )
    url = f"http://{LLAMA}:8000/v1/models"
    return space.kubectl("exec", "client", "--", "python3", "-c", script, url, headers).strip()


def test_a_secret_that_is_missing_is_named_and_waited_for(space: Space) -> None:
    status = space.until(LLAMA, "CreateContainerConfigError")
    message = condition({"status": status}, "Ready")["message"]
    assert SECRET in message
    assert "spec.service.apiKeySecret" in message

    space.kubectl("create", "secret", "generic", SECRET, f"--from-literal=token={KEY}")
    space.wait_for_ready(LLAMA)


def test_the_key_opens_and_nothing_else_does(space: Space) -> None:
    assert status_without(space, "") == "401"
    assert status_without(space, "Authorization: Bearer another") == "401"
    assert status_without(space, f"Authorization: Bearer {KEY}") == "200"
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
        watch.until(
            lambda there: len(there) == 2 and all(map(ready, there.values())), "two are ready"
        )
        space.settle(LLAMA)
        runs = space.runs(LLAMA)
        with load(space) as told:
            space.kubectl("scale", f"ascendllm/{LLAMA}", "--replicas=1")
            watch.until(lambda there: len(there) == 1, "one is gone")
    status = space.settle(LLAMA)
    assert set(told) == {"whole"}, [line for line in told if line != "whole"]
    assert len(told) > STREAMS, "it was under load"
    assert condition({"status": status}, "Ready")["reason"] == "Proven"
    assert space.runs(LLAMA) == runs, "nothing is run again"


def test_a_new_revision_under_load_loses_no_request(space: Space) -> None:
    old = selected(space)
    with (
        load(space) as told,
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
    assert set(told) == {"whole"}, [line for line in told if line != "whole"]
    assert len(told) > STREAMS, "it was under load"
    assert happened[0] is False
    assert selected(space) != old
    assert len(space.serving_pods(LLAMA)) == 1


def test_a_drained_node_leaves_one_of_two(space: Space) -> None:
    """The budget, at the real eviction API."""
    space.kubectl("scale", f"ascendllm/{LLAMA}", "--replicas=2")
    with space.watch("pods", f"{NAME}={LLAMA},{REVISION}") as watch:
        there = watch.until(
            lambda there: len(there) == 2 and all(map(ready, there.values())), "two are ready"
        )
    with space.watch("poddisruptionbudgets", f"{NAME}={LLAMA}") as budgets:
        budgets.until(
            lambda items: (
                LLAMA in items and items[LLAMA].get("status", {}).get("disruptionsAllowed") == 1
            ),
            "one may go",
        )
    first, second = sorted(there)
    assert evict(space, first) == ""
    assert "disruption budget" in evict(space, second)
    space.kubectl("scale", f"ascendllm/{LLAMA}", "--replicas=1")
    space.settle(LLAMA)


def evict(space: Space, pod: str) -> str:
    """Ask as a drain does; what the API server says against it."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": space.name},
    }
    path = f"/api/v1/namespaces/{space.name}/pods/{pod}/eviction"
    outcome = subprocess.run(
        space.command("create", f"--raw={path}", "--filename=-"),
        input=json.dumps(body),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    return "" if outcome.returncode == 0 else outcome.stderr + outcome.stdout


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
