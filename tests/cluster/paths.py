"""Where things lie: sources in the checkout, everything made outside of it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["INSTANCE", "REPOSITORY", "SOURCES", "cache_folder", "instance_folder"]

SOURCES = Path(__file__).resolve().parent
"""tests/cluster, with one folder for each Go module."""

REPOSITORY = SOURCES.parent.parent

_VARIABLE = "ASCENDLLM_CLUSTER"
_INSTANCES = range(16)


def cache_folder() -> Path:
    """The user's folder for what can be made again, so that a fresh clone finds it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ascendllm"


def _instance() -> int:
    text = os.environ.get(_VARIABLE, "0")
    if not text.isdigit() or int(text) not in _INSTANCES:
        raise SystemExit(f"{_VARIABLE}={text}: must be a number from 0 to {_INSTANCES[-1]}")
    return int(text)


INSTANCE = _instance()
"""Which of several clusters on one machine is meant: the environment's ASCENDLLM_CLUSTER, or 0.

It is a part of every name and address on the host, so one cluster's tests don't touch another."""


def instance_folder() -> Path:
    """Where the cluster keeps all that it is; there while it is up, or half up."""
    return cache_folder() / f"cluster-{INSTANCE}"
