"""What the status of every check has."""

from __future__ import annotations

from typing import Literal

from ascendllm.api.model import ResourceModel

__all__ = ["CheckOutcome", "CheckProgress", "CheckStatus"]

CheckOutcome = Literal["Pending", "Running", "Passed", "Failed", "Error", "Inconclusive", "Skipped"]


class CheckProgress(ResourceModel):
    """How far a running check is."""

    done: int
    """Requests or questions done."""
    total: int
    """Requests or questions in all."""
    rate_per_second: float | None = None
    """Done per second."""
    eta_seconds: int | None = None
    """Seconds left at that rate."""


class CheckStatus(ResourceModel):
    """What every check has."""

    result: CheckOutcome
    """Failed is a verdict about the model; Error and Inconclusive mean that none was reached."""
    reason: str | None = None
    """One CamelCase word."""
    message: str | None = None
    """What was found, for people."""
    started_at: str | None = None
    """When the run started."""
    finished_at: str | None = None
    """When the run finished."""
    attempt: int | None = None
    """Which attempt the run is, from 1."""
    progress: CheckProgress | None = None
    """How far a running check is."""
    protocol_number: int | None = None
    """Which way of measuring: figures of two numbers are not compared."""
    harness: str | None = None
    """What measured: this package's name and version."""
    inputs_hash: str | None = None
    """What the run measured: revision, image digests, the check's fields and data."""
    report: str | None = None
    """The ConfigMap that holds the run's whole result."""
