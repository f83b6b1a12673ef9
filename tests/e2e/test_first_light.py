"""The demo's path: the first example, unchanged, from `kubectl apply` to a verified model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from cluster.installation import REPOSITORY, make_model
from cluster.provider import Provider
from e2e.resources import ACCURACY, QUESTIONS, RIGHT
from e2e.space import Space, condition, namespace

pytestmark = pytest.mark.timeout(300)

NAME = "meta-llama-3-1-8b"
EXAMPLE = REPOSITORY / "manifests" / "examples" / f"{NAME}.yaml"
MODEL = "meta-llama-3.1-8b"
BASELINE = 66.7
MACRO = round(100 * RIGHT / QUESTIONS, 2)
DELTA = round(MACRO - BASELINE, 2)

ITL = 10.0
LEAST, MOST = 0.95, 1.25
"""The share of a chosen time that may be measured: a late first token shortens the rest a little,
and the machine is shared."""

SERVICE = f"http://{NAME}:8000"
COMPLETION = {"model": MODEL, "prompt": "Hello", "max_tokens": 4, "temperature": 0}


@dataclass(frozen=True)
class Light:
    """The example, proven.

    Attributes:
        space: Where it is.
        direct: What a pod was answered by the unproven revision's own name.
        before: What it was answered by the Service, at the same time.
    """

    space: Space
    direct: dict[str, Any]
    before: dict[str, Any]


@pytest.fixture(scope="module")
def light(installed: Provider) -> Iterator[Light]:
    behaviour = {"loadSeconds": 1, "ttftMs": 20, "itlMs": ITL, "accuracy": ACCURACY}
    make_model(installed, "Meta-Llama-3.1-8B", behaviour)
    with namespace(installed, "light") as space:
        space.start_client()
        space.kubectl("apply", f"--filename={EXAMPLE}")
        with space.watch("pods", "ascendllm.io/revision") as watch:
            there = watch.until(
                lambda pods: any(
                    condition(p, "Ready").get("status") == "True" for p in pods.values()
                ),
                "a serving pod is ready",
            )
        revision = next(iter(there.values()))["metadata"]["labels"]["ascendllm.io/revision"]
        direct = space.ask(f"http://{NAME}-{revision}:8000/v1/completions", COMPLETION)
        before = space.ask(f"{SERVICE}/v1/completions", COMPLETION)
        unproven = condition(space.get("ascendllm", NAME), "Ready")
        assert unproven["status"] == "Unknown", "asked too late: the model was proven by then"
        space.wait_for_ready(NAME)
        yield Light(space, direct, before)


def columns(table: str) -> dict[str, str]:
    """The first row of a table of kubectl's, by its head; what is not known is an empty cell."""
    head, row = table.splitlines()[:2]
    starts = [match.start() for match in re.finditer(r"\S+", head)]
    ends = [*starts[1:], None]
    return {
        head[start:end].strip(): row[start:end].strip()
        for start, end in zip(starts, ends, strict=True)
    }


def test_clients_reach_nothing_before_the_proof(light: Light) -> None:
    assert light.direct["status"] == 200, light.direct
    assert light.before["status"] is None
    assert "refused" in light.before["text"]


def test_clients_reach_the_proven_model_by_the_services_name(light: Light) -> None:
    answer = light.space.ask(f"{SERVICE}/v1/completions", COMPLETION)

    assert answer["status"] == 200
    assert json.loads(answer["text"])["model"] == MODEL
    assert light.space.status(NAME)["url"] == f"http://{NAME}.{light.space.name}.svc:8000"


def test_the_table_shows_the_chosen_figures_as_measured(light: Light) -> None:
    shown = columns(light.space.kubectl("get", "ascendllm"))

    assert shown["NAME"] == NAME
    assert shown["MODEL"] == MODEL
    assert (shown["READY"], shown["REPLICAS"], shown["NPUS"]) == ("True", "1", "1")
    assert shown["VERDICT"] == "Passed"
    assert float(shown["MMLU"]) == MACRO
    assert float(shown["DELTA"]) == DELTA
    assert ITL * LEAST <= float(shown["TPOT"]) <= ITL * MOST
    # Four at once, of 128 tokens each: the first takes 20 ms and then one comes every 10 ms.
    fastest = 4 * 128 / (0.020 + 127 * ITL / 1000)
    assert fastest / MOST <= float(shown["TOK/S"]) <= fastest / LEAST


def test_the_wide_table_says_what_serves(light: Light) -> None:
    shown = columns(light.space.kubectl("get", "allm", "--output=wide"))
    status = light.space.status(NAME)

    assert shown["REVISION"] == status["servedRevision"]
    assert shown["VLLM"] == "0.18.0"
    assert shown["SOC"] == "", "the simulator is built for no chip"
    assert shown["REASON"] == "Proven"
    assert float(shown["TTFT"]) >= 20


def test_the_subjects_can_be_read_with_kubectl(light: Light) -> None:
    mmlu = light.space.status(NAME)["validation"]["mmlu"]
    path = "--output=jsonpath={.data.subjects\\.txt}"
    table = light.space.kubectl("get", "configmap", mmlu["report"], path)

    head, *rows = (line.split() for line in table.splitlines())
    assert head == ["SUBJECT", "ACCURACY", "CORRECT", "QUESTIONS"]
    subjects = [row for row in rows if len(row) == 4]
    assert len(subjects) == mmlu["subjectCount"] == 57
    assert sum(int(correct) for _, _, correct, _ in subjects) == RIGHT
    assert {int(questions) for *_, questions in subjects} == {20}
    assert ["macro", "average", f"{MACRO:.2f}"] in rows


def test_the_status_says_that_the_questions_are_not_the_real_ones(light: Light) -> None:
    mmlu = light.space.status(NAME)["validation"]["mmlu"]

    assert mmlu["customData"] is True
    assert "custom data, not the published MMLU" in mmlu["message"]


def test_the_report_and_the_status_are_printed_for_people(light: Light) -> None:
    report = light.space.ascendllm("report", NAME)
    status = light.space.status(NAME)

    assert report.startswith(f"# {MODEL}\n")
    assert "Verdict: **Passed**" in report
    assert f"| Macro average | {MACRO:.2f} % |" in report
    assert f"| Served revision | {status['servedRevision']} |" in report
    assert "abstract_algebra" in report
    for shown in (light.space.ascendllm("status"), light.space.ascendllm("status", NAME)):
        assert f"{MACRO:.2f}" in shown
        assert f"{DELTA:+.2f}" in shown


def test_the_serving_pod_gets_its_npu_from_the_device_plugin(light: Light) -> None:
    (pod,) = light.space.serving_pods(NAME)
    (container,) = pod["spec"]["containers"]
    lines = light.space.kubectl("exec", pod["metadata"]["name"], "--", "env").splitlines()
    environment = dict(line.split("=", 1) for line in lines)

    assert not [e for e in container["env"] if e["name"].startswith("ASCEND_")]
    assert environment["ASCEND_VISIBLE_DEVICES"] in {str(number) for number in range(16)}
    assert environment["TASK_QUEUE_ENABLE"] == "1"
    assert container["resources"]["limits"] == {"huawei.com/Ascend910": "1"}
    # enableServiceLinks would tell of every Service, and vLLM reads VLLM_PORT as its own.
    services = {name for name in environment if name.endswith("_SERVICE_HOST")}
    assert services <= {"KUBERNETES_SERVICE_HOST"}


def test_the_serving_pod_has_a_large_dev_shm_and_no_token(light: Light) -> None:
    (pod,) = light.space.serving_pods(NAME)
    name = pod["metadata"]["name"]
    size = light.space.kubectl("exec", name, "--", "df", "-B1", "--output=size", "/dev/shm")
    (node,) = json.loads(light.space.kubectl("get", "nodes", "--output=json"))["items"]
    memory = int(node["status"]["allocatable"]["memory"].removesuffix("Ki")) * 1024
    mounts = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]

    assert int(size.split()[1]) == min(16 * 2**30, memory)
    assert "/var/run/secrets/kubernetes.io/serviceaccount" not in mounts


def test_the_jobs_keep_to_the_restricted_pod_security_standard(light: Light) -> None:
    """The host path of the demo's data aside, which its owner allowed."""
    jobs = {
        job["metadata"]["labels"]["ascendllm.io/check"]: job["spec"]["template"]["spec"]
        for job in light.space.items("jobs", f"ascendllm.io/name={NAME}")
    }
    assert set(jobs) == {"smoke", "bench", "mmlu"}
    light.space.kubectl(
        "label", "namespace", light.space.name, "pod-security.kubernetes.io/enforce=restricted"
    )
    try:
        for check, spec in jobs.items():
            volumes = [volume for volume in spec["volumes"] if "hostPath" not in volume]
            mounts = {volume["name"] for volume in volumes}
            container = dict(spec["containers"][0])
            container["volumeMounts"] = [
                m for m in container["volumeMounts"] if m["name"] in mounts
            ]
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": check},
                "spec": {
                    **spec,
                    "serviceAccountName": "default",
                    "containers": [container],
                    "volumes": volumes,
                },
            }
            # Refused by the API server where it breaks the standard.
            light.space.kubectl("create", "--dry-run=server", "--filename=-", text=json.dumps(pod))
    finally:
        light.space.kubectl(
            "label", "namespace", light.space.name, "pod-security.kubernetes.io/enforce-"
        )


def test_a_job_that_ended_keeps_no_rights(light: Light) -> None:
    kinds = ("role", "rolebinding", "serviceaccount")
    left = {item for item in light.space.objects(NAME) if item.split("/")[0].startswith(kinds)}

    assert left == {f"serviceaccount/{NAME}"}


def test_a_changed_tolerance_judges_again_and_runs_nothing(light: Light) -> None:
    space = light.space
    runs, jobs = space.runs(NAME), space.uids("jobs", NAME)

    space.patch(NAME, {"validation": {"mmlu": {"tolerance": 0.1}}})
    strict = space.settle(NAME)
    served = space.ask(f"{SERVICE}/v1/completions", COMPLETION)
    space.patch(NAME, {"validation": {"mmlu": {"tolerance": 1.0}}})
    space.wait_for_ready(NAME)

    ready = condition({"status": strict}, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Regression")
    assert strict["verdict"] == strict["validation"]["mmlu"]["result"] == "Failed"
    assert condition({"status": strict}, "Available")["status"] == "True"
    assert served["status"] == 200, "what was proven once keeps its traffic"
    assert space.status(NAME)["verdict"] == "Passed"
    assert space.runs(NAME) == runs
    assert space.uids("jobs", NAME) == jobs


def test_a_changed_bench_runs_the_bench_alone(light: Light) -> None:
    space = light.space
    before = space.status(NAME)["validation"]
    pods = space.uids("pods", NAME)

    space.patch(NAME, {"validation": {"bench": {"requests": 8, "outputTokens": 16}}})
    space.wait_for_ready(NAME)
    after = space.settle(NAME)["validation"]

    assert after["bench"]["result"] == "Passed"
    assert after["bench"]["completed"] == 8
    assert after["bench"]["report"] != before["bench"]["report"]
    assert (after["smoke"], after["mmlu"]) == (before["smoke"], before["mmlu"])
    new = set(space.uids("pods", NAME)) - set(pods)
    assert {name.rsplit("-", 1)[0] for name in new} == {after["bench"]["report"]}


def test_the_example_is_applied_as_it_stands(light: Light) -> None:
    """What was proven above is what people read."""
    applied = light.space.get("ascendllm", NAME)
    example = yaml.safe_load(EXAMPLE.read_text())

    assert applied["spec"]["model"] == {**applied["spec"]["model"], **example["spec"]["model"]}
    assert "finalizers" not in applied["metadata"]
    ours = [name for name in applied["metadata"].get("annotations", {}) if "ascendllm" in name]
    assert ours == []
