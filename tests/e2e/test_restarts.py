"""The operator is killed, and the status wiped, in each phase: the end is the same objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from cluster.provider import Provider
from e2e.resources import CHECKS, model, resource
from e2e.space import OPERATOR, REVISION, RUN, Space, condition, namespace, result
from e2e.watch import Event, Object

pytestmark = pytest.mark.timeout(400)

MODEL = "llama"
PHASES: dict[str, Callable[[Object | None], bool]] = {
    "loading": lambda item: condition(item, "Ready").get("reason") == "Loading",
    "smoke": lambda item: result(item, "smoke") == "Running",
    "bench": lambda item: result(item, "bench") == "Running",
    "mmlu": lambda item: result(item, "mmlu") == "Running",
    "after": lambda item: condition(item, "Ready").get("status") == "True",
}
_RANDOM = {"startedAt", "finishedAt", "lastTransitionTime", "startup", "duration", "url", "devices"}
_MEASURED = ("Ms", "Throughput", "PerNpu")
_FIGURE = re.compile(r"\d+\.\d+")


@pytest.fixture(scope="module")
def llama(installed: Provider) -> dict[str, Any]:
    """A resource each of whose phases lasts for some seconds."""
    path = model(installed, "restarts", loadSeconds=4, ttftMs=60, itlMs=20)
    bench = {"inputTokens": 16, "outputTokens": 64, "concurrency": 2, "requests": 6}
    return resource(MODEL, path, {**CHECKS, "bench": bench})


@pytest.fixture(scope="module")
def undisturbed(installed: Provider, llama: dict[str, Any]) -> Iterator[Space]:
    """The resource in a namespace where nothing happens; it need not be ready yet."""
    with namespace(installed, "calm") as space:
        space.apply(llama)
        yield space


def walk(space: Space, llama: dict[str, Any], disturb: Callable[[str], None]) -> list[Event]:
    """Apply, and disturb once in each phase; returns what happened to the jobs and pods."""
    with ExitStack() as stack:
        watch = stack.enter_context(space.watch("ascendllm"))
        jobs = stack.enter_context(space.watch("jobs"))
        pods = stack.enter_context(space.watch("pods"))
        space.apply(llama)
        for phase, in_it in PHASES.items():
            watch.until(lambda items, in_it=in_it: in_it(items.get(MODEL)), f"{phase} has begun")
            disturb(phase)
        watch.until(lambda items: PHASES["after"](items.get(MODEL)), "ready in the end", 60)
        return [*jobs.events, *pods.events]


def assert_as_if_nothing_had_happened(
    space: Space, undisturbed: Space, happened: list[Event]
) -> None:
    undisturbed.wait_for_ready(MODEL)
    # The names hold hashes of what was measured and of the attempt.
    assert space.objects(MODEL) == undisturbed.objects(MODEL)
    assert lasting(space.status(MODEL)) == lasting(undisturbed.status(MODEL))
    for name, run in space.runs(MODEL).items():
        record = json.loads(run["run.json"])
        assert run["immutable"], name
        assert json.loads(run["sealed.json"])["result"] == "Passed", name
        assert (record["attempt"], record["lostJobs"]) == (1, 0), name
    made = {
        (kind, event.item["metadata"]["uid"])
        for event in happened
        if (kind := kind_of(event.item)) is not None
    }
    counted = {kind: sum(k == kind for k, _ in made) for kind, _ in made}
    assert counted == {"Job": 3, "job's pod": 3, "serving pod": 1}


def kind_of(item: Object) -> str | None:
    labels = item["metadata"].get("labels", {})
    if item["kind"] == "Job":
        return "Job"
    return "job's pod" if RUN in labels else "serving pod" if REVISION in labels else None


def lasting(value: Any) -> Any:
    """A status without what no two runs share: times, NPUs, and the namespace's name."""
    if isinstance(value, str):
        return _FIGURE.sub("#", value)
    if isinstance(value, list):
        return [lasting(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: lasting(item)
        for key, item in value.items()
        if key not in _RANDOM and not key.endswith(_MEASURED)
    }


def test_a_wiped_status_comes_back_in_each_phase(
    installed: Provider, llama: dict[str, Any], undisturbed: Space
) -> None:
    with namespace(installed, "wiped") as space:
        gone = json.dumps([{"op": "remove", "path": "/status"}])

        def wipe(phase: str) -> None:
            with space.watch("ascendllm") as watch:
                watch.until(lambda items: MODEL in items, "the watch has begun")
                space.kubectl(
                    "patch", "ascendllm", MODEL, "--subresource=status", "--type=json",
                    f"--patch={gone}",
                )  # fmt: skip
                watch.until(
                    lambda items: (
                        bool(condition(items[MODEL], "Ready"))
                        and any(not condition(event.item, "Ready") for event in watch.events)
                    ),
                    f"the status of phase {phase} was gone, and is back",
                )

        happened = walk(space, llama, wipe)

        assert_as_if_nothing_had_happened(space, undisturbed, happened)


def test_the_operator_killed_in_each_phase_changes_nothing(
    installed: Provider, llama: dict[str, Any], undisturbed: Space
) -> None:
    with namespace(installed, "killed") as space:

        def kill(phase: str) -> None:
            if phase == "mmlu":
                # As a crash: the Lease is not given back, and the container is started anew.
                operator = Space(installed, "ascendllm-system")
                (pod,) = operator.items("pods", "app.kubernetes.io/name=ascendllm-operator")
                operator.kill_container(pod["metadata"]["name"])
            else:
                installed.kubectl(
                    *OPERATOR, "delete", "pods", "--all", "--grace-period=0", "--force"
                )

        happened = walk(space, llama, kill)
        installed.kubectl(
            *OPERATOR, "rollout", "status", "deployment/ascendllm-operator", "--timeout=60s"
        )
        space.settle(MODEL)

        assert_as_if_nothing_had_happened(space, undisturbed, happened)
