"""A check that is interrupted goes on; one that ends unseen is not lost."""

from __future__ import annotations

import json
import re

import pytest

from cluster.provider import Provider
from e2e.resources import CHECKS, QUESTIONS, model, resource
from e2e.space import NAME, OPERATOR, RUN, Space, condition, pods_of_job, result

pytestmark = pytest.mark.timeout(300)

MMLU = {"mmlu": CHECKS["mmlu"]}
_OPERATOR = (*OPERATOR, "deployment/ascendllm-operator")


def run_of(space: Space, name: str) -> str:
    """The name of the resource's one run."""
    (run,) = space.runs(name)
    return run


def until_checkpoint(space: Space, name: str) -> int:
    """Wait for the first checkpoint of the resource's mmlu; how many questions it holds."""
    with space.watch("configmaps", f"{NAME}={name},{RUN}") as watch:
        there = watch.until(
            lambda items: any("checkpoint" in item["data"] for item in items.values()),
            f"{name} has a checkpoint",
        )
    (run,) = there.values()
    return answered(run["data"]["checkpoint"])


def answered(checkpoint: str) -> int:
    rows = json.loads(checkpoint)["answers"].values()
    return sum(len(row) - row.count(".") for row in rows)


def completions(space: Space, name: str) -> int:
    """How many requests the server says it has answered."""
    (pod,) = space.serving_pods(name)
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
    metrics = space.kubectl("exec", pod["metadata"]["name"], "--", "python3", "-c", script)
    return sum(
        int(float(value))
        for value in re.findall(r"^vllm:request_success_total{.*} (\S+)$", metrics, re.MULTILINE)
    )


def may(space: Space, account: str, verb: str, what: str) -> bool:
    """Whether the API server lets a ServiceAccount of this namespace do that."""
    user = f"--as=system:serviceaccount:{space.name}:{account}"
    groups = (
        "--as-group=system:serviceaccounts",
        f"--as-group=system:serviceaccounts:{space.name}",
        "--as-group=system:authenticated",
    )
    # `auth can-i` ends with 1 where the answer is no.
    return space.answers("auth", "can-i", verb, what, user, *groups) == "yes"


def test_mmlu_goes_on_from_its_checkpoint(installed: Provider, space: Space) -> None:
    """One job's pod is killed; another resource is suspended, and resumed."""
    path = model(installed, "interrupted", ttftMs=250)
    space.apply(resource("killed", path, MMLU), resource("suspended", path, MMLU))

    known = until_checkpoint(space, "killed")
    run = run_of(space, "killed")
    (pod,) = space.items("pods", pods_of_job(run))
    space.kill_container(pod["metadata"]["name"])

    halted = until_checkpoint(space, "suspended")
    halted_run = run_of(space, "suspended")
    first_pod = space.serving_pods("suspended")[0]["metadata"]["name"]
    others = f"configmap/{run}"

    # While a job runs, its account may do what the job needs, and no more.
    assert may(space, run, "get", f"configmap/{run}")
    assert may(space, run, "patch", f"configmap/{run}")
    for verb, what in (
        ("update", f"configmap/{run}"), ("delete", f"configmap/{run}"), ("list", "configmaps"),
        ("create", "configmaps"), ("get", f"configmap/{halted_run}"), ("get", "secrets"),
        ("get", "ascendllms/killed"), ("patch", "ascendllms/killed"), ("get", "pods"),
    ):  # fmt: skip
        assert not may(space, run, verb, what), f"{verb} {what}"
    assert not may(space, "suspended", "get", others), "the serving pods' account has no rights"

    space.patch("suspended", {"suspend": True})
    space.until("suspended", "Suspended")
    space.kubectl("wait", f"pod/{first_pod}", "--for=delete", "--timeout=60s")
    asleep = space.status("suspended")
    data = space.runs("suspended")[halted_run]
    kept = answered(data["checkpoint"])
    left = space.objects("suspended")
    space.patch("suspended", {"suspend": False})

    space.wait_for_ready("killed")
    space.wait_for_ready("suspended")

    assert condition({"status": asleep}, "Ready")["status"] == "True"
    assert (asleep["phase"], asleep["npus"]) == ("Suspended", 0)
    assert not [item for item in left if item.startswith("job")]
    assert not data["immutable"]
    assert halted < kept < QUESTIONS, "the pod wrote a last checkpoint on its way out"

    for name, first, before in (("killed", run, known), ("suspended", halted_run, kept)):
        assert run_of(space, name) == first, "it is the same run"
        sealed = json.loads(space.runs(name)[first]["sealed.json"])
        assert sealed["result"] == "Passed"
        assert sealed["questions"] == QUESTIONS
        assert sealed["unanswered"] == 0
        # The last pod's requests: what was not known, and a few to find the letters' tokens.
        assert QUESTIONS - before <= sealed["requests"] <= QUESTIONS - before + 200
        assert space.status(name)["validation"]["mmlu"]["result"] == "Passed"
    assert len(space.items("pods", pods_of_job(run))) == 2
    assert QUESTIONS <= completions(space, "killed") < 2 * QUESTIONS - known


def test_a_check_that_ends_while_the_operator_is_away_is_not_lost(
    installed: Provider, space: Space
) -> None:
    """Its pod is gone when the operator comes back, or the job as well."""
    path = model(installed, "unseen", ttftMs=40)
    names = ("no-pod", "no-job")
    space.apply(*(resource(name, path, MMLU) for name in names))
    with space.watch("ascendllm") as watch:
        watch.until(
            lambda items: all(result(items.get(name), "mmlu") == "Running" for name in names),
            "both ask",
        )
    runs = {name: run_of(space, name) for name in names}
    jobs = {name: space.uids("jobs", name) for name in names}

    installed.kubectl("scale", *_OPERATOR, "--replicas=0")
    try:
        space.kubectl(*OPERATOR, "wait", "pods", "--all", "--for=delete", "--timeout=60s")
        for run in runs.values():
            space.wait(f"job/{run}", "condition=Complete")
        space.kubectl("delete", "pods", f"--selector={pods_of_job(runs['no-pod'])}")
        space.kubectl("delete", "job", runs["no-job"], "--cascade=foreground")
        unseen = {name: space.status(name) for name in names}
    finally:
        installed.kubectl("scale", *_OPERATOR, "--replicas=1")

    for name in names:
        space.wait_for_ready(name)
        assert result({"status": unseen[name]}, "mmlu") == "Running"
        mmlu = space.status(name)["validation"]["mmlu"]
        assert (mmlu["result"], mmlu["attempt"]) == ("Passed", 1)
        assert (mmlu["report"], mmlu["questions"]) == (runs[name], QUESTIONS)
        assert space.runs(name)[runs[name]]["immutable"]
    assert space.uids("jobs", "no-pod") == jobs["no-pod"]
    assert space.uids("jobs", "no-job") == {}, "a job that is over is not made again"
