"""From a resource to its Deployment, with an operator that has nothing else to do."""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

from bench.audit import Audit, Request
from bench.figures import Figure, MeasureError, percentile
from bench.installation import Installation, install
from bench.operator_process import run_operator
from integration.admin import Admin
from integration.admin import admin as connect
from integration.world import resource

__all__ = ["measure"]

_RESOURCES = 100
_QUIET = 0.2
_NAMESPACE = "default"
_MEDIAN_LIMIT = 60.0
_P99_LIMIT = 300.0


def measure() -> list[Figure]:
    """Milliseconds between the API server's answers to the two requests, by its audit log."""
    with install() as installation:
        latencies = asyncio.run(_latencies(installation))
    return [
        Figure(
            "apply to Deployment, median of 100", statistics.median(latencies), "ms", _MEDIAN_LIMIT
        ),
        Figure("apply to Deployment, p99", percentile(latencies, 99), "ms", _P99_LIMIT),
        Figure("apply to Deployment, longest", max(latencies), "ms"),
    ]


async def _latencies(installation: Installation) -> list[float]:
    audit = Audit(installation.plane.audit_log)
    async with (admin := await connect(installation.plane.kubeconfig)):
        with run_operator(installation):
            await audit.until_quiet(installation.user, _QUIET, after=lambda _: True)
            return [
                await _latency(installation, audit, admin, f"model-{number}")
                for number in range(_RESOURCES)
            ]


async def _latency(installation: Installation, audit: Audit, admin: Admin, name: str) -> float:
    item: dict[str, Any] = resource()
    item["metadata"] |= {"name": name, "namespace": _NAMESPACE}
    await admin.post(item)

    def deployed(request: Request) -> bool:
        return (request.verb, request.resource) == ("patch", "deployments")

    requests = await audit.until_quiet(installation.user, _QUIET, after=deployed)
    applied = [
        item
        for item in requests
        if item.user != installation.user and (item.verb, item.resource) == ("create", "ascendllms")
    ]
    if len(applied) != 1:
        raise MeasureError(f"{len(applied)} resources were created where 1 was: {applied}")
    first = next(item for item in requests if item.user == installation.user and deployed(item))
    return (first.answered - applied[0].answered).total_seconds() * 1000
