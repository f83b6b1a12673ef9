"""Where things lie: sources in the checkout, everything made outside of it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["REPOSITORY", "SOURCES", "cache_folder"]

SOURCES = Path(__file__).resolve().parent
"""tests/cluster, with one folder for each Go module."""

REPOSITORY = SOURCES.parent.parent


def cache_folder() -> Path:
    """The user's folder for what can be made again, so that a fresh clone finds it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ascendllm"
