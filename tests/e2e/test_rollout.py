"""A proven model lives on: drained, its operator upgraded, its spec changed and changed back.

The tests share one resource, and each leaves it proven.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.commands import environment
from cluster.provider import Provider
from e2e.resources import CHECKS, model, resource
from e2e.space import (
    NAME,
    OPERATOR,
    REVISION,
    Space,
    condition,
    namespace,
    result,
    settings,
)

pytestmark = pytest.mark.timeout(300)

LLAMA = "llama"
TOKENS = 100
_OPERATOR = (*OPERATOR, "deployment/ascendllm-operator")

NEWER = {"runtimeVersion": "v0.99.0", "validatorImage": "localhost/ascendllm/validator:99"}
"""Another default version, and another image of the checks: one that nobody can pull."""

_STREAM = """
import json, sys, urllib.request
body = json.dumps({
    "model": sys.argv[2], "prompt": "Hello", "max_tokens": int(sys.argv[3]), "stream": True,
    "ignore_eos": True, "temperature": 0, "stream_options": {"include_usage": True},
})
request = urllib.request.Request(sys.argv[1], body.encode(), {"Content-Type": "application/json"})
for line in urllib.request.urlopen(request, timeout=60):
    if line.startswith(b"data: "):
        print(line.decode().removeprefix("data: ").strip(), flush=True)
"""


@pytest.fixture(scope="module")
def space(installed: Provider) -> Iterator[Space]:
    checks = {key: CHECKS[key] for key in ("smoke", "mmlu")}
    path = model(installed, "rollout", itlMs=40)
    with namespace(installed, "rollout") as made:
        # Version and generation are the operator's to choose.
        made.apply(resource(LLAMA, path, checks, npu={}))
        made.start_client()
        made.wait_for_ready(LLAMA)
        yield made


def pods(space: Space) -> set[str]:
    return {pod["metadata"]["uid"] for pod in space.serving_pods(LLAMA)}


def lasting(space: Space) -> tuple[Any, ...]:
    """What an operator that changes nothing leaves as it is."""
    return pods(space), space.objects(LLAMA), space.runs(LLAMA), space.uids("jobs", LLAMA)


def selected(space: Space) -> str:
    selector = space.get("service", LLAMA)["spec"]["selector"]
    return str(selector[REVISION])


def test_a_stream_in_flight_is_answered_to_its_last_token(space: Space) -> None:
    """The pod is deleted in the middle of it: SIGTERM, and --shutdown-timeout."""
    runs, jobs = space.runs(LLAMA), space.uids("jobs", LLAMA)
    ((name, uid),) = {
        (pod["metadata"]["name"], pod["metadata"]["uid"]) for pod in space.serving_pods(LLAMA)
    }
    url = f"http://{LLAMA}:8000/v1/completions"
    stream = space.command(
        "exec", "client", "--", "python3", "-c", _STREAM, url, LLAMA, str(TOKENS)
    )
    with (
        subprocess.Popen(stream, stdout=subprocess.PIPE, text=True, env=environment()) as asking,
        space.watch("pods", f"{NAME}={LLAMA},{REVISION}") as watch,
    ):
        assert asking.stdout is not None
        watch.until(lambda there: name in there, "the watch has begun")
        chunks = [json.loads(asking.stdout.readline()) for _ in range(5)]
        space.kubectl("delete", "pod", name, "--wait=false")
        *rest, last = asking.stdout.read().splitlines()
        chunks += [json.loads(line) for line in rest]
        assert asking.wait() == 0
        watch.until(lambda there: name not in there, f"{name} is gone")
        watch.until(
            lambda there: any(
                condition(pod, "Ready").get("status") == "True" for pod in there.values()
            ),
            "another pod is ready",
        )
    status = space.settle(LLAMA)

    assert last == "[DONE]"
    assert chunks[-1]["usage"]["completion_tokens"] == TOKENS
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "length"
    assert pods(space).isdisjoint({uid})
    assert condition({"status": status}, "Ready")["status"] == "True"
    assert (space.runs(LLAMA), space.uids("jobs", LLAMA)) == (runs, jobs), "nothing is re-run"


@pytest.fixture(scope="class")
def before(space: Space) -> tuple[Any, ...]:
    return lasting(space)


@pytest.fixture(scope="class")
def upgraded(installed: Provider, before: tuple[Any, ...]) -> Iterator[None]:
    with settings(installed, **NEWER):
        yield


@pytest.mark.usefixtures("upgraded")
class TestAnUpgradedOperator:
    def test_restarts_and_runs_nothing(self, space: Space, before: tuple[Any, ...]) -> None:
        # A generation that it has not seen: what it says of it is new.
        space.patch(LLAMA, {"validation": {"retries": 3}})
        status = space.settle(LLAMA)

        assert lasting(space) == before
        assert condition({"status": status}, "Ready")["status"] == "True"
        assert status["runtime"]["image"].endswith(":v0.18.0rc1-a3")

    def test_says_what_holds_a_check_up(self, space: Space) -> None:
        runs = space.runs(LLAMA)
        space.patch(LLAMA, {"validation": {"mmlu": {"shots": 4}}})
        with space.watch("ascendllm") as watch:
            there = watch.until(
                lambda items: (
                    NEWER["validatorImage"]
                    in condition(items.get(LLAMA), "Ready").get("message", "")
                ),
                "the image is named that can't be pulled",
            )
        ready = condition(there[LLAMA], "Ready")
        space.patch(LLAMA, {"validation": {"mmlu": {"shots": None}}})
        space.wait_for_ready(LLAMA)

        assert (ready["status"], ready["reason"]) == ("Unknown", "Validating")
        assert "running mmlu" in ready["message"]
        assert "validatorImage in ConfigMap ascendllm-operator" in ready["message"]
        known = {name: run for name, run in space.runs(LLAMA).items() if run["immutable"]}
        assert known == runs, "what was asked for before is not asked again"


def test_a_changed_spec_recreates_the_pods_and_waits_for_its_proof(space: Space) -> None:
    old = selected(space)
    before = space.runs(LLAMA)
    old_pods = pods(space)

    with (
        space.watch("pods", f"{NAME}={LLAMA},{REVISION}") as watch,
        space.watch("services", f"{NAME}={LLAMA}") as services,
        space.watch("ascendllm") as told,
    ):
        space.patch(LLAMA, {"engine": {"maxNumSeqs": 8}})
        told.until(lambda there: result(there.get(LLAMA), "mmlu") == "Running", "mmlu runs")
        halfway = selected(space)
        halfway_status = space.status(LLAMA)
        space.wait_for_ready(LLAMA)
        new = selected(space)
        happened = [(event.type, event.item) for event in watch.events]
        selectors = [
            event.item["spec"]["selector"][REVISION]
            for event in services.events
            if event.name == LLAMA
        ]
    middle = space.runs(LLAMA)

    assert halfway == old, "the unproven revision gets no traffic"
    assert halfway_status["servedRevision"] == old
    assert halfway_status["candidateRevision"] not in (None, old)
    assert list(dict.fromkeys(selectors)) == [old, new]
    assert new == halfway_status["candidateRevision"]
    ended = next(
        i for i, (kind, item) in enumerate(happened)
        if item["metadata"]["uid"] in old_pods
        and (kind == "DELETED" or item["status"]["phase"] in ("Succeeded", "Failed"))
    )  # fmt: skip
    begun = next(
        i for i, (_, item) in enumerate(happened) if item["metadata"]["labels"][REVISION] == new
    )
    assert ended < begun, "the old pods end before the new ones begin: NPUs are scarce"
    assert set(before) < set(middle)

    space.patch(LLAMA, {"engine": {"maxNumSeqs": 16}})
    space.wait_for_ready(LLAMA)
    back = space.settle(LLAMA)

    assert selected(space) == back["servedRevision"] == old
    assert space.runs(LLAMA) == middle, "what was proven once is not proven again"
    assert back["verdict"] == "Passed"
    assert space.ask(f"http://{LLAMA}:8000/health")["status"] == 200


def test_deleting_the_resource_leaves_nothing(space: Space) -> None:
    """While the operator is away: the owner references do it."""
    there = space.objects(LLAMA)
    kinds = "pods,configmaps,services,serviceaccounts,jobs.batch,controllerrevisions.apps"
    space.kubectl("scale", *_OPERATOR, "--replicas=0")
    try:
        space.kubectl(*OPERATOR, "wait", "pods", "--all", "--for=delete", "--timeout=60s")
        space.kubectl("delete", "ascendllm", LLAMA)
        space.kubectl("wait", kinds, f"--selector={NAME}={LLAMA}", "--for=delete", "--timeout=60s")
        left = space.objects(LLAMA)
        pods_left = space.items("pods", f"{NAME}={LLAMA}")
    finally:
        space.kubectl("scale", *_OPERATOR, "--replicas=1")
        space.kubectl("rollout", "status", *_OPERATOR, "--timeout=60s")

    assert there
    assert (left, pods_left) == (set(), [])
