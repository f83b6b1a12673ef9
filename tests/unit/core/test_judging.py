"""Stored figures under bounds of other objects: earlier runs, other resources, each request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unit.core.stage import Stage, spec_of

REGRESSION = {"regression": {"tolerance": 10.0}}


def bench(**fields: Any) -> Any:
    return spec_of(validation={"bench": fields, "retries": 0})


def again(stage: Stage, value: str, **figures: Any) -> dict[str, Any]:
    """Measure again and return what the status says."""
    stage.pass_time(seconds=1)
    stage.annotate(value)
    stage.settle()
    stage.finish("bench", **figures)
    shown: dict[str, Any] = stage.status["validation"]["bench"]
    return shown


def test_a_run_is_held_against_the_last_passed_one() -> None:
    stage = Stage(bench(**REGRESSION))
    stage.load()
    stage.finish("bench", outputThroughput=100)
    assert stage.status["validation"]["bench"]["result"] == "Passed"
    assert again(stage, "v1", outputThroughput=90)["result"] == "Passed"
    shown = again(stage, "v2", outputThroughput=80)
    assert (shown["result"], shown["reason"]) == ("Failed", "Regression")
    assert stage.conditions["Ready"] == "False/Regression"
    shown = again(stage, "v3", outputThroughput=80)
    assert shown["result"] == "Failed", "a run that failed is no measure for the next one"
    assert again(stage, "v4", outputThroughput=81)["result"] == "Passed"


def test_a_wider_tolerance_judges_the_stored_figures() -> None:
    stage = Stage(bench(**REGRESSION))
    stage.load()
    stage.finish("bench", outputThroughput=100)
    again(stage, "v1", outputThroughput=80)
    stage.change(bench(regression={"tolerance": 20.0}))
    stage.settle()
    assert stage.running() is None
    assert stage.status["validation"]["bench"]["result"] == "Passed"
    stage.change(bench(regression={"tolerance": 19.9}))
    stage.settle()
    assert stage.conditions["Ready"] == "False/Regression"
    stage.change(bench())
    stage.settle()
    assert stage.conditions["Ready"] == "True/Proven"


def test_the_measure_is_kept_however_many_runs_fail() -> None:
    stage = Stage(bench(**REGRESSION))
    stage.load()
    stage.finish("bench", outputThroughput=100)
    for number in range(25):
        assert again(stage, f"v{number}", outputThroughput=50)["result"] == "Failed"


@pytest.mark.parametrize(
    "change",
    [{"datasetHash": "b"}, {"protocol_number": 2}],
    ids=["another data set", "another protocol"],
)
def test_what_measured_something_else_is_no_measure(change: dict[str, Any]) -> None:
    stage = Stage(bench(**REGRESSION))
    stage.load()
    stage.finish("bench", outputThroughput=100, datasetHash="a")
    shown = again(stage, "v1", **({"datasetHash": "a", "outputThroughput": 10} | change))
    assert shown["result"] == "Passed"
    assert "no earlier passed run" in shown["message"]


def test_nor_is_a_run_on_more_npus() -> None:
    stage = Stage(spec_of(validation={"bench": REGRESSION, "retries": 0}, replicas=2))
    stage.load()
    stage.finish("bench", outputThroughput=100)
    stage.change(spec_of(validation={"bench": REGRESSION, "retries": 0}, replicas=1))
    stage.settle()
    stage.move_pods()
    stage.settle()
    assert again(stage, "v1", outputThroughput=50)["result"] == "Passed"


def test_an_older_revision_is_a_measure_for_the_next_one() -> None:
    def served(length: int) -> Any:
        checks = {"bench": REGRESSION, "retries": 0}
        return spec_of(validation=checks, engine={"maxModelLen": length})

    stage = Stage(served(1000))
    stage.load()
    stage.finish("bench", outputThroughput=100)
    stage.pass_time(seconds=1)
    stage.change(served(2000))
    stage.load()
    stage.finish("bench", outputThroughput=50)
    assert stage.conditions["Ready"] == "False/ValidationFailed"
    assert stage.status["validation"]["bench"]["reason"] == "Regression"


def peer(**bench_status: Any) -> dict[str, Any]:
    return {"status": {"validation": {"bench": bench_status}}}


def test_another_resources_figures_stand_beside_ours() -> None:
    stage = Stage(bench(compareTo={"name": "other"}))
    stage.peers["other"] = peer(result="Passed", outputThroughput=100.0, meanTpotMs=30.0)
    stage.load()
    stage.finish("bench", outputThroughput=150, meanTpotMs=20.0)
    shown = stage.status["validation"]["bench"]
    rows = {row["figure"]: row for row in shown["comparison"]}
    assert rows["outputThroughput"] == {
        "figure": "outputThroughput",
        "before": 100.0,
        "after": 150.0,
        "changePercent": 50.0,
    }
    assert rows["meanTpotMs"]["changePercent"] == -33.33


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (None, "there is no AscendLLM other in this namespace"),
        ({}, "other has no figures of bench yet"),
        (peer(result="Running"), "other has no figures of bench yet"),
        (peer(result="Error", outputThroughput=1), "other has no figures of bench yet"),
    ],
)
def test_one_that_is_not_there_harms_no_verdict(there: Any, told: str) -> None:
    stage = Stage(bench(compareTo={"name": "other"}))
    if there is not None:
        stage.peers["other"] = there
    stage.prove("bench")
    shown = stage.status["validation"]["bench"]
    assert shown["result"] == "Passed"
    assert told in shown["message"]
    assert "comparison" not in shown
    assert stage.conditions["Ready"] == "True/Proven"


def test_given_figures_stand_beside_ours() -> None:
    stage = Stage(bench(compareTo={"figures": {"outputThroughput": 88.88}}))
    stage.prove("bench")
    (row,) = stage.status["validation"]["bench"]["comparison"]
    assert row["before"] == 88.88
    stage.change(bench())
    stage.settle()
    assert "comparison" not in stage.status["validation"]["bench"]
    assert stage.running() is None


def test_goodput_is_judged_on_the_stored_requests() -> None:
    def asked(ttft: float) -> Any:
        return bench(
            goodput={"ttftMs": ttft}, thresholds={"requestGoodput": {"min": 1.0}}, requests=4
        )

    stage = Stage(asked(60))
    stage.load()
    (job,) = stage.of("Job")
    rows = [[50, 20, 1000], [55, 20, 1000], [70, 20, 1000], [80, None, 1000]]
    stage.objects["ConfigMap", job["metadata"]["name"]]["data"]["requests.json"] = json.dumps(rows)
    stage.finish("bench", completed=4, duration=2.0)
    shown = stage.status["validation"]["bench"]
    assert (shown["result"], shown["requestGoodput"]) == ("Passed", 1.0)
    stage.change(asked(52))
    stage.settle()
    shown = stage.status["validation"]["bench"]
    assert (shown["reason"], shown["requestGoodput"]) == ("ThresholdMissed", 0.5)
    assert stage.running() is None
    stage.change(bench(requests=4))
    stage.settle()
    assert "requestGoodput" not in stage.status["validation"]["bench"]


def test_goodput_asked_of_a_run_without_requests_measures_again() -> None:
    stage = Stage(spec_of(validation={"bench": {}}))
    stage.prove("bench")
    stage.change(spec_of(validation={"bench": {"goodput": {"ttftMs": 60}}}))
    stage.settle()
    assert stage.status["validation"]["bench"]["reason"] == "FigureMissing"
    stage.pass_time(seconds=10)
    stage.settle()
    assert stage.running() == "bench"


def test_a_bound_that_does_not_suit_the_figures_measures_nothing_twice() -> None:
    stage = Stage(
        spec_of(validation={"bench": {"thresholds": {"requestGoodput": {"min": 1}}}, "retries": 9})
    )
    stage.load()
    stage.finish("bench", result="Error", reason="FigureMissing")
    assert stage.conditions["Ready"] == "False/ValidationError"
    stage.pass_time(days=1)
    stage.settle()
    assert stage.running() is None
    stage.change(spec_of(validation={"bench": {}, "retries": 9}))
    stage.settle()
    assert stage.conditions["Ready"] == "True/Proven", "its figures were there all along"


@pytest.mark.parametrize("reason", ["Subset", "Undecided"])
def test_what_stays_inconclusive_is_not_asked_again(reason: str) -> None:
    stage = Stage(spec_of(validation={"mmlu": {"subjects": ["anatomy"]}, "retries": 9}))
    stage.load()
    stage.finish("mmlu", result="Inconclusive", reason=reason)
    assert stage.conditions["Ready"] == "False/ValidationError"
    stage.pass_time(days=1)
    stage.settle()
    assert stage.running() is None


def test_a_pattern_that_does_not_compile_is_tried_again_only_once_it_changes() -> None:
    def expecting(pattern: str) -> Any:
        smoke = {"prompts": [{"prompt": "a", "expect": pattern}]}
        return spec_of(validation={"smoke": smoke, "retries": 9})

    stage = Stage(expecting("("))
    stage.load()
    stage.finish("smoke", result="Error", reason="BadPattern")
    assert stage.conditions["Ready"] == "False/ValidationError"
    stage.pass_time(days=1)
    stage.settle()
    assert stage.running() is None
    stage.change(expecting(r"\("))
    stage.settle()
    assert stage.running() is not None


def test_the_verdict_of_that_moment_is_sealed_and_told_in_the_history() -> None:
    stage = Stage(bench(**REGRESSION))
    stage.load()
    stage.finish("bench", outputThroughput=100)
    again(stage, "v1", outputThroughput=80)
    stage.change(bench())
    stage.settle()
    assert stage.status["validation"]["bench"]["result"] == "Passed"
    assert [entry["result"] for entry in stage.status["history"]] == ["Failed", "Passed"]


def test_a_tolerance_under_a_reference_goes_on_from_the_run_before() -> None:
    def asked(**fields: Any) -> Any:
        return spec_of(validation={"mmlu": {"reference": {"configMap": "golden"}, **fields}})

    stage = Stage(asked())
    stage.load()
    (first,) = stage.of("ConfigMap")
    first["data"]["checkpoint"] = "half of it"
    stage.finish("mmlu", paired={"questions": 570})
    stage.pass_time(seconds=1)
    stage.change(asked(tolerance=0.5))
    stage.settle()
    assert stage.running() == "mmlu"
    assert stage.conditions["Ready"] == "Unknown/Validating"
    (second,) = [item for item in stage.of("ConfigMap") if "immutable" not in item]
    assert second["data"]["checkpoint"] == "half of it"
    assert json.loads(second["data"]["run.json"])["goesOnFrom"] == first["metadata"]["name"]
    stage.finish("mmlu", paired={"questions": 1140})
    stage.pass_time(seconds=1)
    stage.annotate("v1")
    stage.settle()
    (third,) = [item for item in stage.of("ConfigMap") if "immutable" not in item]
    assert "checkpoint" not in third["data"], "who asks anew gets new answers"


def test_another_reference_begins_from_nothing() -> None:
    def asked(name: str) -> Any:
        return spec_of(validation={"mmlu": {"reference": {"configMap": name}}})

    stage = Stage(asked("golden"))
    stage.load()
    (first,) = stage.of("ConfigMap")
    first["data"]["checkpoint"] = "half of it"
    stage.finish("mmlu")
    stage.change(asked("other"))
    stage.settle()
    (second,) = [item for item in stage.of("ConfigMap") if "immutable" not in item]
    assert "checkpoint" not in second["data"]
