"""The checks' fields: what is refused, what passes, and what a default means."""

from __future__ import annotations

import re
import sys
from types import FrameType
from typing import Any

import pytest

from ascendllm.api.checks.bench_figures import DIRECTED, FIGURES
from ascendllm.api.parse import parse_spec
from ascendllm.api.spec import Spec
from ascendllm.api.status.bench import BenchStatus, LongContext, SweepPoint
from ascendllm.checks.bench.figures import sweep_row
from ascendllm.checks.judging import bench_figures as judging
from ascendllm.exceptions import SpecError
from unit.core.check_rules import ACCEPTED, BOUNDS, RULES, spec_with

SLOW_TO_COMPILE = "(?i)[" + "".join(f"{chr(0x100 + i)}-\uffff" for i in range(83)) + "]"


@pytest.mark.parametrize(("path", "value", "told"), RULES, ids=[f"{r[0]}={r[1]}" for r in RULES])
def test_a_rule_says_what_to_do(path: str, value: Any, told: str) -> None:
    with pytest.raises(SpecError, match=re.escape(told)) as refused:
        parse_spec({"spec": spec_with(path, value)})
    assert refused.value.reason == "InvalidSpec"
    assert f"validation.{path.split('.')[0]}" in refused.value.message


@pytest.mark.parametrize(("path", "value"), BOUNDS, ids=[f"{b[0]}={b[1]}"[:60] for b in BOUNDS])
def test_a_bound_is_kept(path: str, value: Any) -> None:
    with pytest.raises(SpecError, match=re.escape(f"spec.validation.{path}")):
        parse_spec({"spec": spec_with(path, value)})


@pytest.mark.parametrize(("path", "value"), ACCEPTED, ids=[f"{a[0]}={a[1]}"[:60] for a in ACCEPTED])
def test_what_stands_at_the_edge_passes(path: str, value: Any) -> None:
    Spec.model_validate(spec_with(path, value))


@pytest.mark.parametrize(
    ("schedule", "told"),
    [("0 0 30 2 *", "Bad day-of-month"), ("0 0 31 4,6 *", ""), ("30-10 * * * *", "Bad minute")],
)
def test_a_schedule_that_never_comes_round(schedule: str, told: str) -> None:
    """What only a calendar knows: the API server lets it pass, the operator says so."""
    with pytest.raises(SpecError, match=f"cron schedule of five fields.*{told}"):
        parse_spec({"spec": spec_with("schedule", schedule)})


@pytest.mark.parametrize("expect", ["(", "*", SLOW_TO_COMPILE], ids=["open", "star", "slow"])
def test_the_operator_does_not_compile_a_pattern(expect: str) -> None:
    """Compiling can take a second of CPU time, which all other resources would wait for."""
    prompts = [{"prompt": "a", "expect": expect}] * 20
    compiled: list[str] = []

    def record(frame: FrameType, event: str, _argument: object) -> None:
        module = str(frame.f_globals.get("__name__"))
        if event == "call" and module.split(".")[0] == "re" and expect in frame.f_locals.values():
            compiled.append(frame.f_code.co_name)

    re.purge()
    sys.setprofile(record)
    try:
        spec = parse_spec({"spec": spec_with("smoke.prompts", prompts)})
    finally:
        sys.setprofile(None)
    assert compiled == []
    assert spec.validation is not None
    assert spec.validation.smoke is not None
    assert [case.expect for case in spec.validation.smoke.prompts or []] == [expect] * 20


@pytest.mark.parametrize("protocol", ["lmEval", "original"])
def test_an_instruct_model_is_not_asked_for_letters(protocol: str) -> None:
    with pytest.raises(SpecError, match=r"use metaInstruct, or set model\.kind to base"):
        parse_spec({"spec": spec_with("mmlu.protocol", protocol, kind="instruct")})
    Spec.model_validate(spec_with("mmlu.protocol", "metaInstruct", kind="instruct"))
    Spec.model_validate(spec_with("mmlu", {}, kind="instruct"))


def test_an_instruct_model_may_be_asked_by_text_and_by_chat() -> None:
    messages = [{"role": "user", "content": "안녕하세요"}]
    prompts = [{"prompt": "a"}, {"messages": messages}]
    Spec.model_validate(spec_with("smoke.prompts", prompts, kind="instruct"))


@pytest.mark.parametrize(
    ("check", "defaults"),
    [
        ("smoke", {"parameters": True}),
        (
            "bench",
            {"concurrency": 4, "burstiness": 1.0, "warmup": 0, "prefixTokens": 0}
            | {"longContext": False, "shards": 1, "underLoad": False},
        ),
        ("mmlu", {"shots": 5, "tolerance": 1.0}),
        ("evals", [{"task": "a", "tolerance": 1.0}]),
    ],
)
def test_a_default_means_its_absence(check: str, defaults: Any) -> None:
    """Or an upgraded operator would run checks again whose fields nobody has changed."""
    spec = Spec.model_validate(spec_with(check, defaults))
    bare: Any = [{"task": "a"}] if check == "evals" else {}
    assert spec == Spec.model_validate(spec_with(check, bare))
    left = spec.model_dump(by_alias=True, exclude_defaults=True, exclude_none=True)
    assert left["validation"][check] == bare


def test_the_names_of_figures_are_those_that_are_judged() -> None:
    assert set(FIGURES) == set(judging.FIGURES)
    directed = {name for name, figure in judging.FIGURES.items() if figure.better is not None}
    assert set(DIRECTED) == directed


def test_the_default_regression_is_the_judges() -> None:
    from ascendllm.checks.judging import bench as judge

    spec = Spec.model_validate(spec_with("bench.regression", {}))
    assert spec.validation is not None
    assert spec.validation.bench is not None
    regression = spec.validation.bench.regression
    assert regression is not None
    assert regression.figures == judge.DEFAULT_REGRESSION_FIGURES
    assert regression.tolerance == judge.DEFAULT_REGRESSION_TOLERANCE


def test_a_wrong_figure_is_told_the_right_one() -> None:
    with pytest.raises(SpecError, match="'meanTTFTms' is no figure of bench: did you mean"):
        parse_spec({"spec": spec_with("bench.thresholds", {"meanTTFTms": {"max": 1}})})


def test_the_status_has_every_figure_of_a_sweep() -> None:
    row = sweep_row(4, dict.fromkeys(judging.FIGURES, 1.0))
    assert {field.alias or name for name, field in SweepPoint.model_fields.items()} == set(row)


def test_the_status_has_every_figure_that_a_bound_may_name() -> None:
    known = {field.alias or name for name, field in BenchStatus.model_fields.items()}
    long = {f"longContext.{f.alias or name}" for name, f in LongContext.model_fields.items()}
    assert set(FIGURES) <= known | long
