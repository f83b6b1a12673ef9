"""The checks' results as the status shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter

from ascendllm.api.status import BenchStatus, CheckStatus, MmluStatus, SmokeStatus
from ascendllm.checks.result import is_number
from ascendllm.decide.checks import CheckState, Standing
from ascendllm.status.text import shortened

__all__ = ["check_status"]

_MODELS: Mapping[str, type[BaseModel]] = {
    "smoke": SmokeStatus,
    "bench": BenchStatus,
    "mmlu": MmluStatus,
}
_MESSAGE_BYTES = 300
_TEXT_BYTES = 80
_ITEMS = 10
_LARGEST = 2**53
"""Beyond it an integer and a float of JSON are not the same number any more."""

_SHOWN = {
    Standing.PENDING: "Pending",
    Standing.DUE: "Pending",
    Standing.RUNNING: "Running",
}


def check_status(state: CheckState) -> dict[str, Any]:
    """One check of the status.

    While a run is under way the figures of the finished one before stay out: they are of other
    inputs or of no verdict. A figure of the wrong type is left out, not passed on: the API server
    would refuse the whole status for it.
    """
    common: dict[str, Any] = {"inputsHash": state.inputs_hash}
    result = state.result
    if state.standing is Standing.RUNNING and state.unfinished is not None:
        run = state.unfinished
        return _clean(
            {
                **common,
                "result": "Running",
                "startedAt": run.started_at,
                "attempt": run.attempt,
                "progress": run.progress,
                "report": run.name,
            }
        )
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
            **_figures(state.check, result.figures),
            **common,
            "result": result.result,
            "reason": result.reason,
            "message": shortened(result.message, _MESSAGE_BYTES),
            "startedAt": result.started_at,
            "finishedAt": result.finished_at,
            "attempt": state.finished.attempt if state.finished is not None else None,
            "report": state.finished.name if state.finished is not None else None,
        }
    )


def _figures(check: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    shown = {}
    for key, adapter in _adapters(check).items():
        if key not in figures:
            continue
        value = figures[key]
        if not _fits(adapter, value):
            continue
        if isinstance(value, float):
            value = round(value, 2)
        shown[key] = _shortened(value)
    return shown


def _fits(adapter: TypeAdapter[Any], value: Any) -> bool:
    """Whether the API server takes the value for this figure: as JSON, and no number too large."""
    if is_number(value) and abs(value) > _LARGEST:
        return False
    try:
        adapter.validate_json(json.dumps(value, allow_nan=False), strict=True)
    except ValueError:
        return False
    return True


@cache
def _adapters(check: str) -> Mapping[str, TypeAdapter[Any]]:
    """What tells whether a figure is of the type that the schema says."""
    return {
        field.alias or name: TypeAdapter[Any](cast(Any, field.annotation))
        for name, field in _MODELS[check].model_fields.items()
        if name not in CheckStatus.model_fields
    }


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return shortened(value, _TEXT_BYTES)
    if isinstance(value, list):
        return [_shortened(item) for item in value[:_ITEMS]]
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items() if item is not None}
    return value


def _clean(value: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: item for key, item in value.items() if item is not None}
    # What json cannot write, the API server cannot read.
    json.dumps(kept, allow_nan=False)
    return kept
