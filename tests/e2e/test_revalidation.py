"""A proven model: what its proof holds, and how it is proven again while clients use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.provider import Provider
from e2e.resources import CHECKS, QUESTIONS, RIGHT, model, resource
from e2e.space import Space, condition, namespace, pods_of_job

pytestmark = pytest.mark.timeout(300)

LLAMA = "llama"
REQUESTS = 12
TOKENS = 16
TTFT = 20
VALUE = "release-7"

VALIDATION: dict[str, Any] = {
    "smoke": {"prompts": [{"prompt": "The capital of France is", "expect": "^ ?Paris"}]},
    "bench": {
        "inputTokens": TOKENS,
        "outputTokens": TOKENS,
        "concurrency": 4,
        "requests": REQUESTS,
        "shards": 2,
        "underLoad": True,
    },
    "mmlu": CHECKS["mmlu"],
}

GROUPS = (
    {"health", "version", "models"},
    {"completion", "usage"},
    {"logProbabilities", "language", "variety", "knowledge"},
    {"streaming"},
    {"stop", "n", "nGreedyRefused", "logprobs", "logprobsLimit"},
    {"tooLongRefused", "unknownModelRefused", "emptyPromptRefused", "malformedRefused"},
    {"chatOfBaseModel"},
    {"counters"},
    {"apiKey"},
    {"burst", "idle"},
    {"temperature", "topK", "topP", "presencePenalty", "stopStrings", "ignoreEos", "beamSearch"},
)
"""Ten of what a server must do, and the request parameters."""


@pytest.fixture(scope="module")
def space(installed: Provider) -> Iterator[Space]:
    path = model(installed, "revalidation", ttftMs=TTFT, itlMs=5)
    with namespace(installed, "revalidation") as made:
        made.apply(resource(LLAMA, path, VALIDATION))
        made.start_client()
        made.wait_for_ready(LLAMA)
        yield made


def checks(space: Space) -> dict[str, Any]:
    return dict(space.settle(LLAMA)["validation"])


def serving(space: Space) -> set[str]:
    return {pod["metadata"]["uid"] for pod in space.serving_pods(LLAMA)}


def record(space: Space, run: str) -> dict[str, Any]:
    """What the operator has put down of a run."""
    return dict(json.loads(space.runs(LLAMA)[run]["run.json"]))


def test_smoke_names_what_it_looked_at_and_how_long_it_took(space: Space) -> None:
    smoke = checks(space)["smoke"]
    found = {item["name"]: item for item in smoke["checks"]}

    for group in GROUPS:
        assert group <= set(found)
    assert {item["result"] for item in found.values()} <= {"Passed", "Skipped"}, smoke
    assert all("latencyMs" in item for item in found.values() if item["result"] == "Passed")
    assert found["completion"]["latencyMs"] >= TTFT
    # No key was asked for, so there is none to leave away.
    assert found["apiKey"]["result"] == "Skipped"
    (own,) = [name for name in found if name.startswith("prompt")]
    assert found[own]["result"] == "Passed"


def test_the_pods_of_a_bench_measure_as_one(space: Space) -> None:
    bench = checks(space)["bench"]
    job = space.get("job", bench["report"])
    pods = space.items("pods", pods_of_job(bench["report"]))

    assert (bench["result"], bench["shards"]) == ("Passed", 2)
    assert (bench["completed"], bench["failed"]) == (REQUESTS, 0)
    assert bench["totalInputTokens"] == bench["totalOutputTokens"] == REQUESTS * TOKENS
    assert (job["spec"]["completionMode"], job["spec"]["completions"]) == ("Indexed", 2)
    index = "batch.kubernetes.io/job-completion-index"
    assert sorted(pod["metadata"]["labels"][index] for pod in pods) == ["0", "1"]


def test_the_proof_says_what_it_is_of(space: Space) -> None:
    """The image's own word, the device plugin's, and the same again in each run's record."""
    status = space.settle(LLAMA)
    (pod,) = space.serving_pods(LLAMA)
    (facts,) = pod["status"]["initContainerStatuses"]
    told = json.loads(facts["state"]["terminated"]["message"])
    assert told.pop("model"), "what the model's folder says is looked at, not shown"
    (serving,) = pod["status"]["containerStatuses"]
    runtime = status["runtime"]

    assert (facts["name"], told["arch"]) == ("facts", runtime["arch"])
    assert {key: runtime[key] for key in told} == told
    assert runtime["vllm"] == "0.18.0"
    assert runtime["devices"] == pod["metadata"]["annotations"]["huawei.com/AscendReal"].split(",")
    assert runtime["imageID"] in serving["imageID"]
    for name, check in status["validation"].items():
        run = record(space, check["report"])
        assert (run["check"], run["inputsHash"]) == (name, check["inputsHash"])
        assert run["revision"] == status["servedRevision"]
        assert {key: run["runtime"][key] for key in told} == told
        assert run["runtime"]["devices"] == runtime["devices"]
        assert check["harness"]
        assert check["protocolNumber"] >= 1
    assert status["validation"]["mmlu"]["datasetHash"].startswith("sha256:")
    report = space.ascendllm("report", LLAMA)
    assert runtime["devices"][0] in report
    assert runtime["imageID"] in report


def test_a_new_value_of_the_annotation_proves_it_again_under_its_clients(space: Space) -> None:
    before = space.settle(LLAMA)
    pods = serving(space)
    # By its address: what the name server does is not the model's.
    address = space.get("service", LLAMA)["spec"]["clusterIP"]
    url = f"http://{address}:8000/v1/completions"
    body = {"model": LLAMA, "prompt": "Hello", "max_tokens": 4}

    with space.keep_asking(url, body) as answers, space.watch("ascendllm") as watch:
        watch.until(lambda there: LLAMA in there, "the watch has begun")
        space.kubectl(
            "annotate", f"ascendllm/{LLAMA}", f"ascendllm.io/revalidate={VALUE}", "--overwrite"
        )
        handled = f"jsonpath={{.status.lastHandledRevalidate}}={VALUE}"
        space.wait(f"ascendllm/{LLAMA}", handled)
        space.wait(f"ascendllm/{LLAMA}", "condition=Ready", seconds=10)
        after = space.status(LLAMA)
        told = [event.item for event in watch.events]

    assert set(answers) == {"200"}, answers
    assert len(answers) > 10
    assert after["verdict"] == "Passed"
    for kind in ("Ready", "Available"):
        assert {condition(item, kind)["status"] for item in told} == {"True"}
    assert "Revalidating" in {condition(item, "Validated")["reason"] for item in told}
    assert after["servedRevision"] == before["servedRevision"]
    assert serving(space) == pods, "no pod of the model is new"

    reports = set()
    for name, check in before["validation"].items():
        again = after["validation"][name]
        assert again["report"] != check["report"]
        assert (again["inputsHash"], again["result"]) == (check["inputsHash"], "Passed")
        assert record(space, again["report"])["revalidate"] == VALUE
        reports |= {(name, check["report"]), (name, again["report"])}
    assert {(entry["check"], entry["report"]) for entry in after["history"]} == reports
    assert {entry["result"] for entry in after["history"]} == {"Passed"}
    assert before["validation"]["bench"].get("otherRequests", 0) == 0
    assert after["validation"]["bench"]["otherRequests"] > 0
    assert after["validation"]["bench"]["completed"] == REQUESTS
    mmlu = after["validation"]["mmlu"]
    assert (mmlu["questions"], mmlu["microAverage"]) == (
        QUESTIONS,
        round(100 * RIGHT / QUESTIONS, 2),
    )


def test_removing_the_annotation_asks_for_nothing(space: Space) -> None:
    runs, jobs = space.runs(LLAMA), space.uids("jobs", LLAMA)
    space.kubectl("annotate", f"ascendllm/{LLAMA}", "ascendllm.io/revalidate-")
    # A new generation, so that there is something of it to wait for.
    space.patch(LLAMA, {"validation": {"retries": 1}})
    status = space.settle(LLAMA)

    assert (space.runs(LLAMA), space.uids("jobs", LLAMA)) == (runs, jobs)
    assert status["lastHandledRevalidate"] == VALUE
