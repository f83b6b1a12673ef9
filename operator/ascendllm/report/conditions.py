"""Conditions of a status, as they are read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ready_condition"]


def ready_condition(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The condition Ready, or nothing where the operator has not written one yet."""
    conditions = status.get("conditions") or []
    return next((item for item in conditions if item.get("type") == "Ready"), {})
