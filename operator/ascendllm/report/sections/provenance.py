"""Where each verdict comes from: enough to find the run again, and to see what it measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ascendllm.report.blocks import Section, Table

__all__ = ["history", "provenance"]

_COLUMNS = (
    ("Run", "report"),
    ("Attempt", "attempt"),
    ("Started", "startedAt"),
    ("Finished", "finishedAt"),
    ("Measured by", "harness"),
    ("Protocol number", "protocolNumber"),
    ("Data set", "datasetHash"),
    ("Inputs", "inputsHash"),
)


def provenance(checks: Mapping[str, Mapping[str, Any]]) -> Section:
    """One row a check.

    Args:
        checks: The status of each check, in their order.
    """
    rows = [
        (name, *(str(check.get(key, "-")) for _, key in _COLUMNS)) for name, check in checks.items()
    ]
    return Section("Provenance", [Table(("Check", *(name for name, _ in _COLUMNS)), rows)])


def history(entries: Sequence[Mapping[str, Any]]) -> Section:
    """The last verdicts."""
    keys = ("finishedAt", "check", "revision", "result", "reason", "report")
    rows = [tuple(str(entry.get(key, "")) for key in keys) for entry in entries]
    head = ("Finished", "Check", "Revision", "Result", "Reason", "Report")
    return Section("History", [Table(head, rows)])
