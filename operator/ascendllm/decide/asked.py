"""Which checks are asked for, and what each of them measures with.

A check's fields are of two kinds. Those that its figures depend on *measure*: a change of one runs
the check again. The others *judge*: they hold stored figures against a bound, so changing one runs
nothing. What a data set's credentials are called is neither, its address measures.

| check | judge |
|---|---|
| dummy | none |
| smoke | none |
| bench | thresholds, goodput, regression, compareTo |
| mmlu | baseline; tolerance, unless there is a reference |
| evals | filter, metric, baseline, tolerance |
| parity | thresholds |

With a reference mmlu's tolerance decides how many questions are asked, so it measures; a run under
another tolerance goes on from the answers of the one before (`runs`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from ascendllm.api.checks.bench import BenchCheck
from ascendllm.api.checks.dummy import DummyCheck
from ascendllm.api.checks.evals import Eval
from ascendllm.api.checks.mmlu import DEFAULT_PROTOCOL, MmluCheck, protocol_of
from ascendllm.api.checks.parity import ParityCheck
from ascendllm.api.checks.smoke import SmokeCheck
from ascendllm.api.sources import DataSource
from ascendllm.api.spec import Spec

__all__ = ["BEFORE_LOADING", "CHECKS", "Measures", "asked_checks", "differ_in_tolerance_alone"]

Measures = Mapping[str, Any]
"""The fields and data that a check measures with; those at their default are left out."""


def asked_checks(spec: Spec, data: DataSource | None) -> dict[str, Measures]:
    """The checks that the spec asks for, in order, each with what it measures with.

    Args:
        spec: The spec.
        data: The data set of mmlu, the resource's own or the operator's.
    """
    asked: dict[str, Measures] = {}
    for check, measures in _MEASURES.items():
        fields = getattr(spec.validation, check, None) if spec.validation is not None else None
        if fields is not None:
            asked[check] = measures(fields, spec, data)
    return asked


def differ_in_tolerance_alone(one: Measures, other: Measures) -> bool:
    """Whether two runs with a reference ask the same questions in the same order."""
    return (
        one.get("reference") is not None
        and one != other
        and _without(one, "tolerance") == _without(other, "tolerance")
    )


_EVAL_BOUNDS = ("filter", "metric", "baseline", "tolerance")
"""Every filter and metric of a task is reported; the two say which one is judged."""


def _dummy(_: DummyCheck, spec: Spec, __: DataSource | None) -> Measures:
    return {} if spec.model.kind == "base" else {"kind": spec.model.kind}


def _smoke(smoke: SmokeCheck, spec: Spec, _: DataSource | None) -> Measures:
    kind = {} if spec.model.kind == "base" else {"kind": spec.model.kind}
    return {**_given(smoke), **kind}


def _bench(bench: BenchCheck, _: Spec, __: DataSource | None) -> Measures:
    return _without(_given(bench), "thresholds", "goodput", "regression", "compareTo")


def _mmlu(mmlu: MmluCheck, spec: Spec, data: DataSource | None) -> Measures:
    judging = ("baseline",) if mmlu.reference is not None else ("baseline", "tolerance")
    measures = _without(_given(mmlu), "protocol", "data", *judging)
    protocol = protocol_of(mmlu, spec.model.kind)
    if protocol != DEFAULT_PROTOCOL["base"]:
        measures["protocol"] = protocol
    if mmlu.subjects is not None:
        measures["subjects"] = sorted(mmlu.subjects)
    return {**measures, "data": _given(data) if data is not None else {}}


def _evals(evals: list[Eval], _: Spec, __: DataSource | None) -> Measures:
    return {"tasks": [_without(_given(task), *_EVAL_BOUNDS) for task in evals]}


def _parity(parity: ParityCheck, _: Spec, __: DataSource | None) -> Measures:
    return _without(_given(parity), "thresholds")


_MEASURES: Mapping[str, Callable[[Any, Spec, DataSource | None], Measures]] = {
    "dummy": _dummy,
    "smoke": _smoke,
    "bench": _bench,
    "mmlu": _mmlu,
    "evals": _evals,
    "parity": _parity,
}

CHECKS = tuple(_MEASURES)
"""In the order in which they run."""

BEFORE_LOADING = frozenset({"dummy"})
"""Those that run before the revision's own pods do. They say nothing of a model that has loaded, so
nothing asks for them again once it has."""


def _given(model: BaseModel) -> dict[str, Any]:
    fields = model.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    return dict(_without_secrets(fields))


def _without_secrets(value: Any) -> Any:
    """Without what credentials are called: the data are the same under another name of a Secret."""
    if isinstance(value, dict):
        return {
            key: _without_secrets(item) for key, item in value.items() if key != "credentialsSecret"
        }
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def _without(fields: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in keys}
