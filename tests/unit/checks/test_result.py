from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest

from ascendllm import __version__
from ascendllm.checks.result import CheckResult, compact_json, read_result, rounded, terse
from ascendllm.exceptions import CheckError


def made(**changes: object) -> CheckResult:
    values: dict[str, object] = {
        "check": "mmlu",
        "result": "Passed",
        "reason": "WithinTolerance",
        "message": "fine",
        "started_at": "2026-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:01:00Z",
        "protocol_number": 1,
        "figures": {"macroAverage": 66.3, "subjects": {"anatomy": {"correct": 1}}, "list": [1]},
    } | changes
    return CheckResult(**values)  # type: ignore[arg-type]


def test_the_json_is_flat_and_read_back() -> None:
    data = made().to_json()
    assert list(data)[:4] == ["check", "result", "reason", "message"]
    assert data["harness"] == __version__
    assert data["macroAverage"] == 66.3
    assert read_result(json.dumps(data)) == made()


@pytest.mark.parametrize(
    ("result", "code"),
    [("Passed", 0), ("Failed", 1), ("Error", 2), ("Inconclusive", 2), ("Skipped", 2)],
)
def test_exit_codes(result: str, code: int) -> None:
    assert made(result=result).exit_code == code


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"result": "Great"}, "not one of"),
        ({"reason": "has spaces"}, "CamelCase"),
        ({"reason": ""}, "CamelCase"),
        ({"message": None}, "message"),
        ({"protocolNumber": "1"}, "protocolNumber"),
        ({"protocolNumber": True}, "protocolNumber"),
        ({"startedAt": 5}, "startedAt"),
    ],
)
def test_what_is_not_a_result(change: dict[str, object], told: str) -> None:
    with pytest.raises(CheckError, match=told) as caught:
        read_result(json.dumps(made().to_json() | change))
    assert caught.value.reason == "ResultUnreadable"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"macroAverage": NaN}'])
def test_what_is_not_json(text: str) -> None:
    with pytest.raises(CheckError):
        read_result(text)


def test_a_result_that_is_too_long() -> None:
    with pytest.raises(CheckError, match="longer than 100 bytes"):
        read_result(compact_json(made().to_json()), limit=100)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (66.295, 66.3),
        (0.125, 0.13),
        (-0.001, 0.0),
        (Fraction(2, 3), 0.67),
        (Fraction(12345, 1000), 12.35),
        (Decimal("-1.005"), -1.01),
        (1e9, 1e9),
        (2e26, 2e26),
        (-1.7e308, -1.7e308),
    ],
)
def test_rounding_is_half_up_on_what_is_shown(value: float, shown: float) -> None:
    assert rounded(value) == shown
    assert str(rounded(value))[0] != "-" or shown < 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_figure_is_infinite(value: float) -> None:
    with pytest.raises(CheckError):
        rounded(value)
    with pytest.raises(ValueError, match="JSON"):
        compact_json(value)


def test_terse_leaves_lists_out_and_fits() -> None:
    text = terse(made())
    assert json.loads(text)["macroAverage"] == 66.3
    assert not {"subjects", "list"} & json.loads(text).keys()
    many = {f"figure{number}": number for number in range(200)}
    for message in ("x" * 5000, "ü" * 5000, '"\\\n' * 2000):
        short = terse(made(message=message, figures=many))
        assert len(short.encode()) <= 1024
        assert read_result(short).result == "Passed"
    assert "figure0" in json.loads(short)
