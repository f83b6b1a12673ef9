"""From nothing to the first reconcile, and what the process then holds."""

from __future__ import annotations

import asyncio
import statistics

from bench.audit import Audit, Request
from bench.figures import Figure
from bench.installation import Installation, install
from bench.machine import Memory, memory
from bench.operator_process import OperatorProcess, run_operator
from integration.admin import admin as connect
from integration.world import resource

__all__ = ["measure"]

_STARTS = 5
_RESOURCES = 100
_QUIET = 2.0
_NAMESPACE = "default"
_START_LIMIT = 3.0
_MEMORY_LIMIT = 90.0


def measure() -> list[Figure]:
    """Seconds and MB; the Lease is free at each start."""
    with install() as installation:
        seconds, few, many = asyncio.run(_measure(installation))
    return [
        Figure(
            "start to the Deployment of a resource that waits, median of 5",
            statistics.median(seconds),
            "s",
            _START_LIMIT,
        ),
        Figure("the same, longest", max(seconds), "s"),
        Figure("resident at rest, 5 resources", few.resident, "MB", _MEMORY_LIMIT),
        Figure("PSS at rest, 5 resources", few.proportional, "MB"),
        Figure("resident at rest, 100 resources", many.resident, "MB", _MEMORY_LIMIT),
        Figure("PSS at rest, 100 resources", many.proportional, "MB"),
    ]


async def _measure(installation: Installation) -> tuple[list[float], Memory, Memory]:
    audit = Audit(installation.plane.audit_log)
    seconds: list[float] = []
    for number in range(_STARTS - 1):
        await _apply(installation, number, number + 1)
        with run_operator(installation) as operator:
            seconds.append(await _first_deployment(installation, operator, audit))
    await _apply(installation, _STARTS - 1, _STARTS)
    with run_operator(installation) as operator:
        seconds.append(await _first_deployment(installation, operator, audit))
        few = memory(operator.pid)
        await _apply(installation, _STARTS, _RESOURCES)
        await audit.until_quiet(installation.user, _QUIET, after=lambda _: True)
        return seconds, few, memory(operator.pid)


async def _apply(installation: Installation, first: int, end: int) -> None:
    async with (admin := await connect(installation.plane.kubeconfig)):
        for number in range(first, end):
            item = resource()
            item["metadata"] |= {"name": f"model-{number}", "namespace": _NAMESPACE}
            await admin.post(item)


async def _first_deployment(
    installation: Installation, operator: OperatorProcess, audit: Audit
) -> float:
    def deployed(request: Request) -> bool:
        return (request.verb, request.resource) == ("patch", "deployments")

    requests = await audit.until_quiet(installation.user, _QUIET, after=deployed)
    first = next(item for item in requests if item.user == installation.user and deployed(item))
    return (first.answered - operator.started).total_seconds()
