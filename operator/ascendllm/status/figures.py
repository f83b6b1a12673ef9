"""The checks' results as the status shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

from ascendllm.api.status import (
    BenchStatus,
    CheckStatus,
    EvalsStatus,
    MmluStatus,
    ParityStatus,
    SmokeStatus,
)
from ascendllm.checks.result import CheckResult, is_number
from ascendllm.decide.checks import CheckState, Standing
from ascendllm.state.runs import Run
from ascendllm.status.room import Room
from ascendllm.status.text import shortened

__all__ = ["check_status"]

_MODELS: Mapping[str, type[BaseModel]] = {
    "dummy": SmokeStatus,
    "smoke": SmokeStatus,
    "bench": BenchStatus,
    "mmlu": MmluStatus,
    "evals": EvalsStatus,
    "parity": ParityStatus,
}
_NAMES = 10
"""Texts of a list without rows, such as the worst subjects."""
_DIGITS = {"parity": 6}
"""Decimals that are shown; a difference of log-probabilities is small. Two for the others."""
_LARGEST = 2**53
"""Beyond it an integer and a float of JSON are not the same number any more."""

_SHOWN = {
    Standing.PENDING: "Pending",
    Standing.DUE: "Pending",
    Standing.RUNNING: "Running",
}


def check_status(state: CheckState, room: Room) -> dict[str, Any]:
    """One check of the status.

    While a run is under way for the first time figures stay out: those of a run before it are of
    other inputs or of no verdict. While a verdict is checked again, its figures stay, as it is
    still in force. A figure of the wrong type is left out, not passed on: the API server would
    refuse the whole status for it.
    """
    common: dict[str, Any] = {"inputsHash": state.inputs_hash}
    result = state.result
    if state.standing is Standing.RUNNING and state.unfinished is not None:
        return _clean({**common, **_running(state, state.unfinished, room)})
    if result is None:
        if state.standing is Standing.BLOCKED:
            return _clean(
                {
                    **common,
                    "result": "Skipped",
                    "reason": "Blocked",
                    "message": "a check before it has not passed",
                }
            )
        return _clean({**common, "result": _SHOWN.get(state.standing, "Pending")})
    return _clean(
        {
            **_figures(state.check, result.figures, room),
            **common,
            "result": result.result,
            "reason": result.reason,
            "message": shortened(_message(state, result), room.message),
            "startedAt": result.started_at,
            "finishedAt": result.finished_at,
            "attempt": state.measured.attempt if state.measured is not None else None,
            "protocolNumber": result.protocol_number,
            "harness": shortened(result.harness, room.text),
            "report": state.measured.name if state.measured is not None else None,
        }
    )


def _running(state: CheckState, run: Run, room: Room) -> dict[str, Any]:
    stands = state.in_force
    message = (
        f"in force meanwhile: {stands.result} of {stands.finished_at}"
        if stands is not None
        else None
    )
    return {
        **(_figures(state.check, stands.figures, room) if stands is not None else {}),
        "result": "Running",
        "message": message,
        "startedAt": run.started_at,
        "attempt": run.attempt,
        "progress": run.progress,
        "report": run.name,
    }


def _message(state: CheckState, result: CheckResult) -> str:
    newest = state.finished
    if newest is None or newest is state.measured or newest.outcome is None:
        return result.message
    skipped = newest.outcome
    return f"{result.message}; run {newest.run} was skipped since: {skipped.reason}"


def _figures(check: str, figures: Mapping[str, Any], room: Room) -> dict[str, Any]:
    shown = {}
    for key, annotation in _annotations(check).items():
        if figures.get(key) is None:
            continue
        value = _shaped(annotation, figures[key], room, _DIGITS.get(check, 2))
        if value is None or not _fits(_adapter(check, key), value):
            continue
        shown[key] = value
    return shown


def _shaped(annotation: Any, value: Any, room: Room, digits: int) -> Any:
    """The value as the schema has it: keys that it does not know left out, all of it bounded."""
    model = _model_in(annotation)
    if model is not None and isinstance(value, list):
        rows = [row for item in value if (row := _row(model, item, room, digits)) is not None]
        return _telling(rows, room.items) or None
    if model is not None:
        return _row(model, value, room, digits)
    if isinstance(value, list):
        return [_scalar(item, room) for item in value[: min(_NAMES, room.items)]] or None
    return _scalar(value, room, digits)


def _row(model: type[BaseModel], value: Any, room: Room, digits: int) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    known = {field.alias or name for name, field in model.model_fields.items()}
    row = {
        key: _scalar(item, room, digits)
        for key, item in value.items()
        if key in known and item is not None and not isinstance(item, list | dict)
    }
    return row if _fits(_row_adapter(model), row) else None


def _scalar(value: Any, room: Room, digits: int = 2) -> Any:
    if isinstance(value, str):
        return shortened(value, room.text)
    return round(value, digits) if isinstance(value, float) and is_number(value) else value


def _telling(rows: Sequence[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """The rows in their order; where they are too many, what passed or was not judged goes."""
    if len(rows) <= size:
        return list(rows)
    order = {"Passed": 1, None: 2}
    ranked = sorted(range(len(rows)), key=lambda n: (order.get(rows[n].get("result"), 0), n))
    return [rows[n] for n in sorted(ranked[:size])]


def _fits(adapter: TypeAdapter[Any], value: Any) -> bool:
    """Whether the API server takes the value for this figure: as JSON, and no number too large."""
    numbers = value.values() if isinstance(value, dict) else [value]
    if any(is_number(number) and abs(number) > _LARGEST for number in numbers):
        return False
    try:
        adapter.validate_json(json.dumps(value, allow_nan=False), strict=True)
    except ValueError:
        return False
    return True


@cache
def _annotations(check: str) -> Mapping[str, Any]:
    """The type of each figure of a check."""
    return {
        field.alias or name: field.annotation
        for name, field in _MODELS[check].model_fields.items()
        if name not in CheckStatus.model_fields
    }


@cache
def _adapter(check: str, key: str) -> TypeAdapter[Any]:
    return TypeAdapter[Any](_annotations(check)[key])


@cache
def _row_adapter(model: type[BaseModel]) -> TypeAdapter[Any]:
    return TypeAdapter[Any](model)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation holds: `Model | None`, `list[Model] | None`."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) in (list, Union, UnionType):
        return next(filter(None, map(_model_in, get_args(annotation))), None)
    return None


def _clean(value: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: item for key, item in value.items() if item is not None}
    # What json cannot write, the API server cannot read.
    json.dumps(cast(Any, kept), allow_nan=False)
    return kept
