"""What the status shows of figures: shaped by the schema, and never more than 16 KiB."""

from __future__ import annotations

import json
from typing import Any

from unit.core.stage import FIGURES, Stage, spec_of

LONG = "漢字\n" * 20
EVERYTHING = {
    "smoke": {},
    "bench": {"sweep": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]},
    "mmlu": {},
    "evals": [{"task": f"task-{n}", "baseline": 90} for n in range(10)],
    "parity": {"reference": {"configMap": "golden"}},
    "retries": 0,
}
WORST: dict[str, dict[str, Any]] = {
    "smoke": {
        "checks": [
            {
                "name": f"{n:03} {LONG}",
                "result": "Failed" if n == 30 else "Passed",
                "latencyMs": 12345.678,
                "expected": LONG,
                "seen": LONG,
            }
            for n in range(40)
        ]
    },
    "bench": {
        "sweep": [
            {
                "concurrency": n,
                "completed": 10**6,
                "duration": 10**7 + 0.123,
                "outputThroughput": 10**9 + 0.123,
                **{f"{kind}{name}Ms": 1e8 for kind in ("mean", "p99") for name in ("Ttft", "E2el")},
                "unknown": 1,
            }
            for n in range(10)
        ],
        "comparison": [
            {"figure": LONG, "before": 1e8, "after": 1e9, "changePercent": 900.0} for _ in range(40)
        ],
        "longContext": {"inputTokens": 1_000_000, "ttftMs": 1e7, "unknown": "x"},
    },
    "mmlu": {"worstSubjects": [LONG] * 57, "paired": {"questions": 570, "unknown": 1}},
    "evals": {
        "tasks": [
            {"task": f"task-{n // 4}", "filter": LONG, "metric": f"m{n % 4}", "value": 95.0}
            for n in range(40)
        ]
    },
    "parity": {"firstDivergence": {"diverged": 1, "earliest": 3, "median": 4.5}},
}


def size(status: dict[str, Any]) -> int:
    text = json.dumps(status, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode())


def test_the_worst_case_fits_and_says_what_did_not_pass() -> None:
    stage = Stage(spec_of(validation=EVERYTHING, replicas=9))
    stage.annotate("é" * 126)
    stage.settle()
    devices = ",".join(f"Ascend910-{n:04}-{'x' * 60}" for n in range(99))
    facts = dict.fromkeys(("vllm", "vllmAscend", "torchNpu", "cann", "soc", "arch"), LONG)
    annotations = {"huawei.com/AscendReal": devices}
    stage.move_pods(facts=facts, annotations=annotations)
    stage.settle()
    for check, figures in WORST.items():
        stage.finish(check, message=LONG * 20, **figures)
        assert size(stage.status) <= 16 * 1024
    for value in ("v1", "v2"):
        stage.pass_time(seconds=1)
        stage.annotate(value)
        stage.settle()
        for check, figures in WORST.items():
            stage.finish(check, message=LONG * 20, **figures)
            assert size(stage.status) <= 16 * 1024
    shown = stage.status["validation"]
    assert any(item["result"] == "Failed" for item in shown["smoke"]["checks"])
    assert shown["bench"]["sweep"]
    assert len(stage.status["history"]) == 10


def test_small_lists_are_shown_whole() -> None:
    checks = [{"name": f"{n}", "result": "Passed", "latencyMs": 1.0} for n in range(40)]
    stage = Stage(spec_of(validation={"smoke": {}}))
    stage.load()
    stage.finish("smoke", checks=checks)
    assert stage.status["validation"]["smoke"]["checks"] == checks


def test_what_the_schema_does_not_know_is_left_out() -> None:
    stage = Stage(spec_of(validation={"bench": {}}))
    stage.load()
    stage.finish(
        "bench",
        sweep=[{"concurrency": 4, "unit": "x", "completed": None}, {"completed": 1}, 7],
        longContext=[1],
        comparison="no",
    )
    shown = stage.status["validation"]["bench"]
    assert shown["sweep"] == [{"concurrency": 4}]
    assert "longContext" not in shown
    assert "comparison" not in shown


def test_differences_of_log_probabilities_are_not_rounded_away() -> None:
    stage = Stage(spec_of(validation={"parity": {"reference": {"configMap": "golden"}}}))
    stage.load()
    stage.finish("parity", thresholds={"maxMeanLogprobDifference": 0.0005, "unknown": 1})
    shown = stage.status["validation"]["parity"]
    assert shown["meanLogprobDifference"] == FIGURES["parity"]["meanLogprobDifference"]
    assert shown["result"] == "Passed"


def test_evals_are_judged_row_by_row() -> None:
    evals = [{"task": "gsm8k", "baseline": 92.7, "tolerance": 1.0}]
    stage = Stage(spec_of(validation={"evals": evals}))
    stage.prove("evals")
    (row,) = stage.status["validation"]["evals"]["tasks"]
    assert (row["result"], row["delta"]) == ("Passed", -0.2)
    evals = [{"task": "gsm8k", "baseline": 94.0, "tolerance": 1.0}]
    stage.change(spec_of(validation={"evals": evals}))
    stage.settle()
    assert stage.conditions["Ready"] == "False/Regression"
    assert stage.running() is None


def test_figures_in_force_stay_while_they_are_measured_again() -> None:
    stage = Stage(spec_of(validation={"bench": {}}))
    stage.prove("bench")
    stage.pass_time(seconds=1)
    stage.annotate("v1")
    stage.settle()
    shown = stage.status["validation"]["bench"]
    assert shown["result"] == "Running"
    assert shown["outputThroughput"] == 177.75
    assert "Passed of 2026-01-01T00:00:00Z" in shown["message"]
    stage.move_pods(image_id="sha256:" + "b" * 64)
    stage.settle()
    stage.settle()
    assert "outputThroughput" not in stage.status["validation"]["bench"]
