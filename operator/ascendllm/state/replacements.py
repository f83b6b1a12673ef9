"""Pods that were replaced since they could not go on, as a ConfigMap records it.

It is written before a pod is deleted, so that what was decided, and how often, outlives the
operator.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ascendllm.state.times import parse_time

__all__ = ["KEY", "Replacement", "dump", "read_replacements"]

KEY = "replaced.json"

_KEPT = 64
_LONGEST = 128 * 1024


@dataclass(frozen=True)
class Replacement:
    """One pod that was replaced.

    Attributes:
        at: When it was decided.
        pod: The pod's name.
        uid: Its uid.
        revision: Its revision.
        reason: `Hung` or `DeviceUnhealthy`.
        message: What was the matter.
    """

    at: str
    pod: str
    uid: str
    revision: str
    reason: str
    message: str

    @property
    def moment(self) -> datetime | None:
        """When it was decided; None where somebody spoiled it."""
        return parse_time(self.at)


def read_replacements(config_map: Mapping[str, Any] | None) -> tuple[Replacement, ...]:
    """The replacements, oldest first; what can't be read is left out.

    Args:
        config_map: The record; None where there is none.
    """
    text = ((config_map or {}).get("data") or {}).get(KEY)
    return _read(text) if isinstance(text, str) else ()


def dump(replacements: Iterable[Replacement]) -> str:
    """The text of the ConfigMap: the newest ones."""
    newest = [asdict(item) for item in replacements][-_KEPT:]
    return json.dumps(newest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _read(text: str) -> tuple[Replacement, ...]:
    try:
        value = json.loads(text) if len(text) <= _LONGEST else None
    except (ValueError, RecursionError):
        return ()
    found = [
        Replacement(**item)
        for item in (value if isinstance(value, list) else [])
        if isinstance(item, dict)
        and item.keys() == Replacement.__dataclass_fields__.keys()
        and all(isinstance(text, str) for text in item.values())
    ]
    return tuple(item for item in found if item.moment is not None)
