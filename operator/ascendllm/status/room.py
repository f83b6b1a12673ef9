"""How much of everything the status shows: at most 16 KiB of it.

A status is kept in etcd and sent to every watcher at each change. Most are far smaller; where one
is not, lists and texts are cut a step at a time, what passed before what did not. The whole result
is in the run's ConfigMap.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["STATUS_BYTES", "Room", "fitted"]

STATUS_BYTES = 16 * 1024


@dataclass(frozen=True)
class Room:
    """What there is room for.

    Attributes:
        items: Rows of a check's list.
        text: Bytes of a text among figures.
        message: Bytes of a check's message.
        condition: Bytes of a condition's message.
        devices: NPUs by name.
        warning: Bytes of a warning.
    """

    items: int
    text: int
    message: int
    condition: int
    devices: int
    warning: int


_ROOMS = (
    Room(items=64, text=80, message=300, condition=1000, devices=64, warning=400),
    Room(items=40, text=60, message=300, condition=800, devices=32, warning=300),
    Room(items=20, text=60, message=300, condition=600, devices=32, warning=300),
    Room(items=10, text=40, message=200, condition=600, devices=16, warning=200),
    Room(items=5, text=30, message=150, condition=400, devices=16, warning=200),
    Room(items=2, text=20, message=80, condition=300, devices=8, warning=100),
    Room(items=0, text=16, message=40, condition=200, devices=0, warning=80),
)


def fitted(build: Callable[[Room], dict[str, Any]]) -> dict[str, Any]:
    """What `build` makes in the largest room in which it fits."""
    for room in _ROOMS:
        status = build(room)
        if _size(status) <= STATUS_BYTES:
            break
    return status


def _size(status: Mapping[str, Any]) -> int:
    """Bytes as the API server keeps it; half a surrogate pair becomes one character there."""
    text = json.dumps(status, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return len(text.encode(errors="replace"))
