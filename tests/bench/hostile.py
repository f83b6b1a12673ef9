"""What the operator takes beside 400 ConfigMaps and 200 resources of a megabyte each."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figures import Figure, MeasureError
from bench.installation import Installation, install
from bench.operator_process import OperatorProcess, run_operator
from integration.admin import Admin
from integration.admin import admin as connect
from integration.world import resource

__all__ = ["measure"]

_CONFIG_MAPS = 400
_RESOURCES = 200
_NAMESPACE = "default"
_MEMORY_LIMIT = 450.0
_HEALTH_LIMIT = 1.0
_READY_SECONDS = 300.0
_TEXT = "x" * 1_000_000
_KEYS = {f"k{number}": {} for number in range(30_000)}


def measure() -> list[Figure]:
    """MB and seconds, from the start of the process until each resource has a status."""
    with install() as installation:
        return asyncio.run(_measure(installation))


async def _measure(installation: Installation) -> list[Figure]:
    async with (admin := await connect(installation.plane.kubeconfig)):
        for item in _objects():
            await admin.post(item)
        with run_operator(installation) as operator:
            started = time.monotonic()
            slowest = await _until_all_have_a_status(admin, operator)
            took = time.monotonic() - started
            peak = _peak(operator.pid)
    return [
        Figure("peak resident beside 600 MB of tenants' objects", peak, "MB", _MEMORY_LIMIT),
        Figure("start to a status for all 201 resources", took, "s"),
        Figure("slowest answer of /healthz meanwhile", slowest, "s", _HEALTH_LIMIT),
    ]


def _objects() -> Iterator[dict[str, Any]]:
    """One good resource, and what a tenant stores beside it: long texts, and in part many keys."""
    good = resource()
    good["metadata"] |= {"name": "llama", "namespace": _NAMESPACE}
    yield good
    for number in range(_CONFIG_MAPS):
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"large-{number}",
                "namespace": _NAMESPACE,
                "labels": {
                    "app.kubernetes.io/managed-by": "ascendllm",
                    "ascendllm.io/name": "llama",
                },
            },
            "data": {"result.json": _TEXT},
        }
    for number in range(_RESOURCES):
        item = resource()
        item["metadata"] = {"name": f"large-{number}", "namespace": _NAMESPACE}
        content = _KEYS if number % 10 == 0 else _TEXT
        item["spec"]["engine"] = {"additionalConfig": {"a": content}}
        yield item


async def _until_all_have_a_status(admin: Admin, operator: OperatorProcess) -> float:
    slowest = 0.0
    waiting = {"llama", *(f"large-{number}" for number in range(_RESOURCES))}
    end = time.monotonic() + _READY_SECONDS
    while waiting:
        slowest = max(slowest, await asyncio.to_thread(_healthz, operator.port))
        name = next(iter(waiting))
        item = await admin.get("AscendLLM", _NAMESPACE, name)
        if item is not None and (item.get("status") or {}).get("conditions"):
            waiting.discard(name)
        else:
            await asyncio.sleep(0.1)
        if time.monotonic() > end:
            raise MeasureError(f"{len(waiting)} resources have no status, such as {name}")
    return slowest


def _healthz(port: int) -> float:
    started = time.monotonic()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as answer:
            answer.read()
    except ConnectionRefusedError:
        return 0.0
    except OSError as error:
        if "refused" in str(error):
            # It has not begun to listen.
            return 0.0
        raise
    return time.monotonic() - started


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6
