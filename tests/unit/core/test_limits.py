"""What a spec may hold, and how much work it is to find out."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import pytest

from ascendllm.api.limits import CONFIG_BYTES, MAX_CONTAINERS, MAX_LEVELS, MAX_VALUES
from ascendllm.api.parse import parse_spec
from ascendllm.decide.decision import decide
from ascendllm.decide.needs import LookupNeeded
from ascendllm.desired.owner import Owner
from ascendllm.exceptions import SpecError
from ascendllm.state.observed import Observed
from ascendllm.status.build import build_status, refused_status
from unit.core.stage import SETTINGS
from unit.core.worst_specs import WORST_PATTERN, worst_specs

BASE: dict[str, Any] = {"model": {"source": {"hostPath": "/opt/models"}}}
FIELDS = ("additionalConfig", "compilationConfig", "config")

MOST_LINES = 250_000
"""Lines of Python for one spec: what 20 ms are enough for on one core."""


MOST_LINES_OF_A_PASS = 600_000
"""The same from the spec to the status."""


def nested(levels: int, kind: str = "mapping") -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if kind == "mapping" else [value]
    return value


def refusal(spec: Any) -> SpecError | None:
    try:
        parse_spec({"spec": spec})
    except SpecError as problem:
        return problem
    return None


def with_config(field: str, value: Any) -> dict[str, Any]:
    return BASE | {"engine": {field: value}}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", ["mapping", "list"])
def test_a_config_has_at_most_32_levels(field: str, kind: str) -> None:
    assert refusal(with_config(field, {"a": nested(MAX_LEVELS - 1, kind)})) is None
    for levels in (MAX_LEVELS, 1500, 9_990):
        problem = refusal(with_config(field, {"a": nested(levels, kind)}))
        assert problem is not None
        assert problem.reason == "InvalidEngine"
        assert problem.message.startswith(f"spec.engine.{field} is nested more than 32 levels deep")
        assert "flatten it" in problem.message


@pytest.mark.parametrize("field", FIELDS)
def test_a_config_has_a_size(field: str) -> None:
    fits = {"a": "x" * (CONFIG_BYTES - 100)}
    assert refusal(with_config(field, fits)) is None
    for value in (
        {"a": "x" * (CONFIG_BYTES + 1)},
        {"a": [1] * CONFIG_BYTES},
        {"a": {f"key-{number}": 1 for number in range(10_000)}},
    ):
        problem = refusal(with_config(field, value))
        assert problem is not None
        assert problem.message.startswith(f"spec.engine.{field} has more than {CONFIG_BYTES} bytes")
    problem = refusal(with_config(field, {"a": [[]] * (MAX_CONTAINERS + 1)}))
    assert problem is not None
    assert "4096 objects and lists" in problem.message


def test_a_spec_has_a_number_of_values() -> None:
    problem = refusal(worst_specs()["values"])
    assert problem is not None
    assert problem.reason == "InvalidSpec"
    assert problem.message.startswith(
        f"spec.placement.affinity: the spec holds more than {MAX_VALUES} values"
    )


@pytest.mark.parametrize(
    "spec",
    [
        None,
        1,
        "text",
        [nested(9_990)],
        {"engine": [nested(9_990)]},
        {"engine": nested(9_990)},
        {"engine": {"args": nested(9_990)}},
        {"model": nested(9_990, "list")},
        {"model": {"source": {"hostPath": nested(200)}}},
        {nested_key * 100_000: 1 for nested_key in ("a", "\ud800", "\x00")},
    ],
)
def test_wrong_types_of_any_depth_are_refused_by_their_field(spec: Any) -> None:
    problem = refusal(spec)
    assert problem is not None
    assert problem.message.startswith(("the spec cannot be read: spec", "spec.engine"))
    assert len(problem.message) < 2000


@pytest.mark.parametrize("name", worst_specs())
def test_the_worst_specs_cost_bounded_work(name: str) -> None:
    spec = worst_specs()[name]
    lines = lines_executed(lambda: refusal(spec))
    assert lines <= MOST_LINES


@pytest.mark.parametrize("name", worst_specs())
def test_a_decision_on_the_worst_specs_costs_bounded_work(name: str) -> None:
    spec = {"npu": {"generation": "A3"}, **worst_specs()[name]}
    assert lines_executed(lambda: decided(spec)) <= MOST_LINES_OF_A_PASS


def decided(spec: dict[str, Any]) -> None:
    """A whole pass without its requests, from a stored resource to its status."""
    metadata = {"name": "llama", "namespace": "default", "uid": "u", "generation": 1}
    resource = {"metadata": metadata, "spec": spec}
    observed = Observed(resource, datetime(2026, 1, 1, tzinfo=UTC))
    owner = Owner.of(resource)
    try:
        read = parse_spec(resource)
        build_status(owner, read, observed, decide(owner, read, observed, SETTINGS))
    except SpecError as problem:
        refused_status(observed, problem)
    except LookupNeeded:
        # A real pass looks and decides again.
        return


def test_the_count_of_lines_sees_more_work_than_that() -> None:
    assert lines_executed(_loop) > MOST_LINES


def _loop() -> None:
    for _ in range(MOST_LINES):
        pass


def test_no_pattern_of_a_tenant_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    real = re._compile  # type: ignore[attr-defined]

    def record(pattern: object, flags: int) -> object:
        compiled.append(pattern)
        return real(pattern, flags)

    monkeypatch.setattr(re, "_compile", record)
    assert refusal(worst_specs()["patterns"]) is None
    assert WORST_PATTERN not in compiled
    re.search("a", "b")
    assert "a" in compiled, "the recorder sees what is compiled"


def lines_executed(call: Callable[[], object]) -> int:
    """The lines of Python that a call executes, in all that it calls."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
