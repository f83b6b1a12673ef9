"""What the operator asks for when there is nothing to do."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from ascendllm.kube.client import connect
from ascendllm.settings import Settings
from bench.audit import MUTATING, Audit, Request
from bench.figures import Figure, MeasureError
from bench.installation import Installation, install
from bench.operator_process import OperatorProcess, run_operator
from integration.admin import admin as connect_admin
from integration.world import SETTINGS, World, resource

__all__ = ["measure"]

_RESYNCS = 20
_RESYNC_SECONDS = 0.5
_PAUSE = 0.2  # well after a pass, well before the next
_TIMEOUT = 60.0
_NAMESPACE = "settled"


def measure() -> list[Figure]:
    """Requests of 20 forced resyncs of a proven, served resource."""
    with install() as installation:
        passes, requests = asyncio.run(_measure(installation))
    mutating = [item for item in requests if item.verb in MUTATING]
    of_lease = [item for item in mutating if item.resource == "leases"]
    if not of_lease:
        raise MeasureError("the Lease was not renewed: the audit log does not tell everything")
    # A resync's own list is of all namespaces; a reconcile stays in one.
    of_reconciles = Counter(
        item.verb for item in requests if item.namespace == _NAMESPACE and item.verb != "watch"
    )
    return [
        Figure(
            f"mutating requests in {passes} resyncs, the Lease's aside",
            len(mutating) - len(of_lease),
            "",
            0,
        ),
        *(
            Figure(f"{verb} requests per reconcile", count / passes)
            for verb, count in sorted(of_reconciles.items())
        ),
    ]


async def _measure(installation: Installation) -> tuple[int, list[Request]]:
    await _settle(installation)
    audit = Audit(installation.plane.audit_log)
    audit.read()
    with run_operator(installation, resync_seconds=_RESYNC_SECONDS) as operator:
        await audit.until_quiet(installation.user, _PAUSE, after=lambda _: True)
        began = await _passes(operator, 1)
        audit.read()
        ended = await _passes(operator, began + _RESYNCS)
        return ended - began, [item for item in audit.read() if item.user == installation.user]


async def _settle(installation: Installation) -> None:
    """Bring a resource from its creation to a proven revision that is served.

    Raises:
        MeasureError: It is not ready in the end.
    """
    plane = installation.plane
    async with (
        (admin := await connect_admin(plane.kubeconfig)),
        (api := await connect(str(installation.kubeconfig))),
    ):
        await admin.post(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}}
        )
        world = World(admin, plane, api, _NAMESPACE)
        world.operate(Settings.from_mapping(SETTINGS))
        await world.apply(resource())
        await world.prove()
        ready = (await world.conditions()).get("Ready", "")
    if not ready.startswith("True/"):
        raise MeasureError(f"the resource is not ready ({ready}): there is no rest to measure")


async def _passes(operator: OperatorProcess, least: int) -> int:
    """Wait for so many passes, and a little longer; the number of passes then.

    Raises:
        MeasureError: They did not come.
    """
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        if operator.passes() >= least:
            await asyncio.sleep(_PAUSE)
            return operator.passes()
        await asyncio.sleep(_PAUSE / 10)
    raise MeasureError(f"the operator made fewer than {least} passes in {_TIMEOUT:.0f} s")
