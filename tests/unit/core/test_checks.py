"""Where each check stands: every standing, and what moves it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ascendllm.api.sources import DataSource
from ascendllm.api.spec import Spec
from ascendllm.checks.result import CheckResult
from ascendllm.decide.asked import asked_checks
from ascendllm.decide.checks import CheckState, Standing
from ascendllm.desired import names
from unit.core.stage import Stage, spec_of

SMOKE = {"smoke": {}}
BASELINE = {"value": 66.7, "average": "macro"}


def states(stage: Stage) -> dict[str, CheckState]:
    return {state.check: state for state in stage.decision()[1].states}


def standings(stage: Stage) -> list[Standing]:
    return [state.standing for state in states(stage).values()]


def test_pending_before_an_image_runs() -> None:
    stage = Stage()
    stage.settle()
    assert standings(stage) == [Standing.PENDING] * 3
    assert {state.inputs_hash for state in states(stage).values()} == {None}


def test_due_once_all_pods_are_ready_and_the_others_wait() -> None:
    stage = Stage()
    stage.settle()
    stage.move_pods()
    assert standings(stage) == [Standing.DUE, Standing.PENDING, Standing.PENDING]


def test_running() -> None:
    stage = Stage()
    stage.load()
    assert standings(stage) == [Standing.RUNNING, Standing.PENDING, Standing.PENDING]
    stage.finish("smoke")
    assert standings(stage) == [Standing.FINISHED, Standing.RUNNING, Standing.DUE]
    assert stage.status["verdict"] == "Running"


@pytest.mark.parametrize("result", ["Failed", "Error", "Inconclusive", "Skipped"])
def test_nothing_but_passed_lets_the_others_through(result: str) -> None:
    stage = Stage(spec_of(validation={"smoke": {}, "bench": {}, "retries": 0}))
    stage.load()
    stage.finish("smoke", result=result)
    assert standings(stage) == [Standing.FINISHED, Standing.BLOCKED]
    assert stage.served == "none"
    assert stage.status["validation"]["bench"]["result"] == "Skipped"
    stage.pass_time(days=9)
    stage.settle()
    assert stage.running() is None


def test_retrying_waits_longer_each_time_and_ends() -> None:
    stage = Stage(spec_of(validation={**SMOKE, "retries": 10, "timeout": "1h"}))
    stage.load()
    pauses = []
    for _ in range(10):
        stage.finish("smoke", result="Error")
        (state,) = states(stage).values()
        assert state.standing is Standing.RETRYING
        assert state.retry_at is not None
        pauses.append((state.retry_at - stage.now).total_seconds())
        stage.pass_time(seconds=pauses[-1])
        stage.settle()
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300, 300, 300]
    stage.finish("smoke", result="Error")
    assert standings(stage) == [Standing.FINISHED]
    assert stage.conditions["Ready"] == "False/ValidationError"


def test_a_retry_bears_another_name() -> None:
    stage = Stage(spec_of(validation=SMOKE))
    stage.load()
    stage.finish("smoke", result="Error")
    stage.pass_time(seconds=10)
    stage.settle()
    stage.finish("smoke")
    runs = [json.loads(item["data"]["run.json"]) for item in stage.of("ConfigMap")]
    assert len({run["run"] for run in runs}) == 2
    assert len({run["inputsHash"] for run in runs}) == 1
    assert sorted(run["attempt"] for run in runs) == [1, 2]


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"bench": {"requests": 20}}, None),
        ({"bench": {"requests": 21}}, "bench"),
        ({"bench": {"inputTokens": 64}}, "bench"),
        ({"mmlu": {"baseline": BASELINE, "shots": 5}}, None),
        ({"mmlu": {"baseline": BASELINE, "shots": 4}}, "mmlu"),
        ({"mmlu": {"baseline": BASELINE, "data": {"image": "a:1"}}}, "mmlu"),
        ({"mmlu": {"baseline": {**BASELINE, "source": "s"}, "tolerance": 50}}, None),
        ({"retries": 9, "timeout": "1h", "job": {"nodeSelector": {"a": "b"}}}, None),
        ({"schedule": "0 3 * * *"}, None),
        ({"smoke": {"parameters": True}}, None),
        ({"smoke": {"parameters": False}}, "smoke"),
        ({"smoke": {"prompts": [{"prompt": "a", "expect": "b"}]}}, "smoke"),
        ({"bench": {"thresholds": {"meanTtftMs": {"max": 1}}}}, None),
        ({"bench": {"regression": {}}}, None),
        ({"bench": {"compareTo": {"figures": {"meanTtftMs": 1}}}}, None),
        ({"bench": {"compareTo": {"name": "other"}}}, None),
        ({"bench": {"concurrency": 4}}, None),
        ({"bench": {"sweep": [1, 4]}}, "bench"),
        ({"bench": {"underLoad": True}}, "bench"),
        ({"bench": {"shards": 2}}, "bench"),
        ({"bench": {"warmup": 1}}, "bench"),
        ({"bench": {"requestRate": 4}}, "bench"),
        ({"mmlu": {"baseline": BASELINE, "protocol": "lmEval"}}, None),
        ({"mmlu": {"baseline": BASELINE, "protocol": "original"}}, "mmlu"),
        ({"mmlu": {"baseline": BASELINE, "subjects": ["anatomy"]}}, "mmlu"),
        ({"mmlu": {"baseline": BASELINE | {"protocol": "lmEval", "shots": 5}}}, None),
        ({"mmlu": {"baseline": BASELINE, "reference": {"configMap": "a"}}}, "mmlu"),
        ({"evals": [{"task": "gsm8k"}]}, "evals"),
        ({"parity": {"reference": {"configMap": "a"}}}, "parity"),
    ],
)
def test_what_runs_a_check_again(change: dict[str, Any], again: str | None) -> None:
    stage = Stage()
    stage.prove()
    asked = {"smoke": {}, "bench": {}, "mmlu": {"baseline": BASELINE}}
    stage.change(spec_of(validation=asked | change))
    stage.settle()
    assert stage.running() == again


def s3(secret: str, uri: str = "s3://data/mmlu/") -> dict[str, Any]:
    return {"s3": {"uri": uri, "credentialsSecret": {"name": secret}}}


@pytest.mark.parametrize(
    ("asked", "change", "again"),
    [
        ({"mmlu": {"data": s3("a")}}, {"mmlu": {"data": s3("b")}}, None),
        ({"mmlu": {"data": s3("a")}}, {"mmlu": {"data": s3("a", "s3://other/mmlu/")}}, "mmlu"),
        (
            {"mmlu": {"subjects": ["anatomy", "virology"]}},
            {"mmlu": {"subjects": ["virology", "anatomy"]}},
            None,
        ),
        (
            {"mmlu": {"reference": {"configMap": "a"}}},
            {"mmlu": {"reference": {"configMap": "a"}, "tolerance": 2}},
            "mmlu",
        ),
        (
            {"mmlu": {"reference": {"configMap": "a"}}},
            {"mmlu": {"reference": {"configMap": "a"}, "baseline": BASELINE}},
            None,
        ),
        (
            {"evals": [{"task": "gsm8k"}]},
            {"evals": [{"task": "gsm8k", "baseline": 1, "filter": "f", "metric": "m"}]},
            None,
        ),
        ({"evals": [{"task": "gsm8k"}]}, {"evals": [{"task": "gsm8k", "limit": 1}]}, "evals"),
        ({"evals": [{"task": "gsm8k"}]}, {"evals": [{"task": "gsm8k", "shots": 1}]}, "evals"),
        (
            {"evals": [{"task": "gsm8k"}]},
            {"evals": [{"task": "gsm8k", "data": {"image": "a:1"}}]},
            "evals",
        ),
        (
            {"parity": {"reference": {"configMap": "a"}}},
            {"parity": {"reference": {"configMap": "a"}, "thresholds": {"minRankAgreement": 9}}},
            None,
        ),
        (
            {"parity": {"reference": {"configMap": "a"}}},
            {"parity": {"reference": {"configMap": "b"}}},
            "parity",
        ),
        (
            {"bench": {"requests": 20, "goodput": {"ttftMs": 1}}},
            {"bench": {"requests": 20, "goodput": {"ttftMs": 2}}},
            None,
        ),
    ],
)
def test_what_measures_and_what_judges(
    asked: dict[str, Any], change: dict[str, Any], again: str | None
) -> None:
    (check,) = asked
    stage = Stage(spec_of(validation=asked | {"retries": 0}))
    stage.load()
    stage.finish(check)
    stage.change(spec_of(validation=change | {"retries": 0}))
    stage.settle()
    assert stage.running() == again


def test_the_kind_of_model_changes_how_mmlu_asks() -> None:
    stage = Stage(spec_of(validation={"mmlu": {}}))
    stage.prove("mmlu")
    model = {"source": {"hostPath": "/opt/atomgit/llama"}, "kind": "instruct"}
    stage.change(spec_of(validation={"mmlu": {}}, model=model))
    stage.settle()
    assert stage.running() == "mmlu"


def test_what_enters_the_identity_is_what_entered_it_before() -> None:
    """Upgrading the operator runs nothing: the first release's specs come to the same."""
    first = {
        "smoke": {},
        "bench": {"inputTokens": 64, "requests": 40, "concurrency": 4, "outputTokens": 128},
        "mmlu": {"shots": 0, "baseline": BASELINE, "tolerance": 2, "data": {"image": "a:1"}},
    }
    assert asked_checks(spec_of(validation=first), DataSource(image="a:1")) == {
        "smoke": {},
        "bench": {"inputTokens": 64, "requests": 40},
        "mmlu": {"shots": 0, "data": {"image": "a:1"}},
    }
    instruct = spec_of(
        validation={"smoke": {}},
        model={"source": {"hostPath": "/opt/atomgit/llama"}, "kind": "instruct"},
    )
    assert asked_checks(instruct, None) == {"smoke": {"kind": "instruct"}}


@pytest.mark.parametrize(
    ("average", "value", "tolerance", "result"),
    [
        ("macro", 66.7, 0.4, "Passed"),
        ("macro", 66.7, 0.39, "Failed"),
        ("macro", 66.3, 0, "Passed"),
        ("macro", 66.31, 0, "Failed"),
        ("micro", 65.4, 0, "Passed"),
        ("micro", 66.4, 1.0, "Passed"),
        ("micro", 66.41, 1.0, "Failed"),
        ("macro", 0.1, 0, "Passed"),
    ],
)
def test_stored_figures_are_judged_by_the_present_bounds(
    average: str, value: float, tolerance: float, result: str
) -> None:
    stage = Stage(spec_of(validation={"mmlu": {}}))
    stage.prove("mmlu")
    baseline = {"value": value, "average": average}
    stage.change(spec_of(validation={"mmlu": {"baseline": baseline, "tolerance": tolerance}}))
    stage.settle()
    shown = stage.status["validation"]["mmlu"]
    assert shown["result"] == result
    assert shown["tolerance"] == tolerance
    assert stage.running() is None


def test_an_error_stays_an_error_under_every_bound() -> None:
    stage = Stage(spec_of(validation={"mmlu": {}, "retries": 0}))
    stage.load()
    stage.finish("mmlu", result="Error", reason="RequestFailed")
    stage.change(
        spec_of(validation={"mmlu": {"baseline": BASELINE, "tolerance": 100}, "retries": 0})
    )
    stage.settle()
    assert stage.status["validation"]["mmlu"]["result"] == "Error"


def test_a_broken_method_is_no_verdict() -> None:
    stage = Stage(spec_of(validation={"mmlu": {"baseline": BASELINE}, "retries": 0}))
    stage.load()
    stage.finish("mmlu", macroAverage=25.1)
    assert stage.status["validation"]["mmlu"]["reason"] == "BrokenMethod"
    assert stage.conditions["Validated"] == "Unknown/ValidationError"


def test_unready_pods_leave_the_identity_as_it_was() -> None:
    stage = Stage()
    stage.prove()
    before = {name: state.inputs_hash for name, state in states(stage).items()}
    stage.move_pods(ready=False, image_id="")
    stage.settle()
    assert {name: state.inputs_hash for name, state in states(stage).items()} == before


def test_the_images_of_all_pods_are_in_the_identity() -> None:
    stage = Stage(spec_of(validation=SMOKE, replicas=2))
    stage.prove("smoke")
    pod = stage.of("Pod")[0]
    pod["status"]["containerStatuses"][0]["imageID"] = "sha256:" + "b" * 64
    stage.settle()
    assert stage.running() == "smoke"


def test_what_is_kept_of_many_runs() -> None:
    stage = Stage(spec_of(validation={"bench": {}}))
    stage.prove("bench")
    proof = {item["metadata"]["name"] for item in stage.of("ConfigMap")}
    for requests in range(30, 45):
        stage.pass_time(seconds=1)
        bench = {"requests": requests, "thresholds": {"outputThroughput": {"min": 1000}}}
        stage.change(spec_of(validation={"bench": bench}))
        stage.settle()
        stage.finish("bench")
    runs = {item["metadata"]["name"] for item in stage.of("ConfigMap")}
    assert proof < runs, "the newest Passed run of the served revision"
    assert len(runs) == 12, "the proof, the newest one, and ten more"
    assert len(stage.of("Job")) == 1
    assert len(stage.status["history"]) == 10


def test_a_stopped_run_loses_its_job_and_its_rights() -> None:
    stage = Stage(spec_of(validation=SMOKE))
    stage.load()
    assert len(stage.of("Role")) == len(stage.of("RoleBinding")) == 1
    stage.change(spec_of(validation=None))
    stage.settle()
    assert stage.of("Job") == stage.of("Role") == stage.of("RoleBinding") == []
    (run,) = stage.of("ConfigMap")
    assert run["metadata"]["annotations"][names.JOB_STATE] == "stopped"
    assert "immutable" not in run
    stage.change(spec_of(validation=SMOKE))
    stage.settle()
    assert stage.running() == "smoke"


def replicas(stage: Stage) -> list[int]:
    return [item["spec"]["replicas"] for item in stage.of("Deployment")]


def test_a_revision_that_failed_is_not_raised_again_until_a_bound_lets_it_pass() -> None:
    def asked(value: float, **more: Any) -> Spec:
        baseline = {"value": value, "average": "macro"}
        return spec_of(validation={"smoke": {}, "mmlu": {"baseline": baseline}}, **more)

    stage = Stage(asked(70.0))
    stage.load()
    stage.finish("smoke")
    stage.finish("mmlu")
    assert stage.conditions["Ready"] == "False/ValidationFailed"
    assert replicas(stage) == [1], "it keeps its pods, to look at"

    stage.change(asked(70.0, suspend=True))
    stage.settle()
    stage.move_pods()
    stage.change(asked(70.0))
    stage.settle()
    assert replicas(stage) == [0]
    assert stage.conditions["Ready"] == "False/ValidationFailed"

    stage.change(asked(66.7))
    stage.settle()
    assert replicas(stage) == [1]


def test_a_served_revision_is_raised_again_whatever_a_new_bound_says() -> None:
    stage = Stage()
    stage.prove()
    worse = {"smoke": {}, "mmlu": {"baseline": {"value": 99, "average": "macro"}}}
    stage.change(spec_of(validation=worse))
    stage.settle()
    assert stage.conditions["Ready"] == "False/Regression"
    stage.objects = {key: item for key, item in stage.objects.items() if key[0] != "Deployment"}
    stage.settle()
    assert replicas(stage) == [1]


def test_of_pods_that_measure_together_the_first_has_the_result() -> None:
    stage = Stage(spec_of(validation={"bench": {"shards": 2}, "retries": 0}))
    stage.load()
    (job,) = stage.of("Job")
    for index, throughput in ((1, 50.0), (0, 100.0)):
        result = CheckResult(
            check="bench",
            result="Passed",
            reason="Measured",
            message=f"pod {index}",
            started_at="2026-01-01T00:00:00Z",
            finished_at="2026-01-01T00:00:00Z",
            protocol_number=1,
            figures={"completed": 20, "duration": 2.0, "outputThroughput": throughput},
        )
        ended = {"terminated": {"message": json.dumps(result.to_json())}}
        name = f"{job['metadata']['name']}-{index}"
        stage.objects["Pod", name] = {
            "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": job["spec"]["template"]["metadata"]["labels"],
                "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
            },
            "status": {
                "phase": "Succeeded",
                "containerStatuses": [{"name": "check", "state": ended}],
            },
        }
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    stage.settle()
    assert stage.status["validation"]["bench"]["outputThroughput"] == 100.0


def test_a_job_that_waits_for_a_missing_reference_says_what_it_mounts() -> None:
    parity = {"reference": {"configMap": "golden"}}
    stage = Stage(spec_of(validation={"parity": parity, "retries": 0}))
    stage.load()
    (job,) = stage.of("Job")
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    stage.objects["Pod", "llama-parity-0"] = {
        "kind": "Pod",
        "metadata": {
            "name": "llama-parity-0",
            "labels": job["spec"]["template"]["metadata"]["labels"],
        },
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [{"name": "check", "state": waiting}],
        },
    }
    stage.pass_time(minutes=31)
    stage.settle()
    shown = stage.status["validation"]["parity"]
    assert (shown["result"], shown["reason"]) == ("Error", "JobNotStarted")
    assert "ConfigMap golden" in shown["message"]
    assert "kubectl describe pod llama-parity-0" in shown["message"]
