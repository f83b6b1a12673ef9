"""The one error that everything here raises on purpose."""

from __future__ import annotations

__all__ = ["ClusterError"]


class ClusterError(Exception):
    """The cluster cannot be had: the message says what is wrong and what to do."""
