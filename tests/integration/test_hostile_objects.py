"""Nothing that a tenant stores stops, blinds or slows the operator for others."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.hostile import (
    STRANGE,
    hostile_children,
    hostile_specs,
    many_values,
    raw,
    where,
)
from integration.operator_process import OperatorProcess
from integration.test_process import SMOKE, ready_reason, until
from integration.world import World, resource

pytestmark = pytest.mark.timeout(300)  # a busy machine stores a hundred large objects in minutes

_ANSWER_SECONDS = 1.0
_MEMORY_LIMIT = 450_000_000
"""Bytes; the Deployment's limit is 512Mi."""

LARGE_CONFIG_MAPS = 30
LARGE_RESOURCES = 20


@asynccontextmanager
async def probed(operator: OperatorProcess, found: dict[str, Any]) -> AsyncIterator[None]:
    """Asks for /healthz all the while; `found` is what the probe prints."""
    probe = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("health_probe.py")),
        operator.url("/healthz"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield
    finally:
        printed, _ = await probe.communicate(b"")
        found.update(json.loads(printed))


async def store(world: World, item: Mapping[str, Any]) -> None:
    """As a tenant with a client of its own, which validates nothing."""
    world.foreign.add(item["metadata"]["name"])
    text = raw(item)
    await asyncio.to_thread(world.kubectl, "create", f"--raw={where(item)}", "-f", "-", text=text)


def ascend_llm(world: World, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "ascendllm.io/v1alpha1",
        "kind": "AscendLLM",
        "metadata": {"name": name, "namespace": world.namespace, "annotations": {"a": STRANGE}},
        "spec": spec,
    }


async def become_ready(world: World) -> None:
    """The good resource, from pods to the proof."""
    await until(lambda: world.children("Deployment"))
    await world.move_pods()
    await until(lambda: world.running_job())
    job = await world.job_of("smoke")
    await world.write_result(job)
    await world.end_job(job)

    async def proven() -> bool:
        return await ready_reason(world) == "True/Proven"

    await until(proven)


async def ready_condition(world: World, name: str) -> dict[str, str]:
    text = await asyncio.to_thread(
        world.kubectl, "get", "ascendllm", name, "-o=jsonpath={.status.conditions}"
    )
    conditions: list[dict[str, str]] = json.loads(text) if text else []
    return next((item for item in conditions if item["type"] == "Ready"), {})


async def test_hostile_objects_of_every_watched_kind_harm_nobody_else(
    world: World, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    specs = hostile_specs()
    for name, spec in specs.items():
        await store(world, ascend_llm(world, name, spec))
    for item in hostile_children(world.namespace, "llama", None, "before"):
        await store(world, item)

    health: dict[str, Any] = {}
    async with OperatorProcess(operator_kubeconfig, tmp_path / "log") as operator:
        await until(operator.works)
        async with probed(operator, health):
            await world.apply(resource(validation=SMOKE))
            uid = (await world.get("AscendLLM", "llama"))["metadata"]["uid"]
            # While it watches, and owned by the good resource, which an editor can write.
            for item in hostile_children(world.namespace, "llama", uid, "during"):
                await store(world, item)
            await store(world, ascend_llm(world, "deep-later", specs["deep-9000"]))
            await become_ready(world)

            for name in (*specs, "deep-later"):

                async def told(name: str = name) -> dict[str, str]:
                    return await ready_condition(world, name)

                await until(told)
                condition = await told()
                assert condition["message"], name
                if name.startswith("deep") and name != "deep-option":
                    assert condition["reason"] == "InvalidEngine", (name, condition)
                    assert "spec.engine." in condition["message"], (name, condition)
                    assert "32 levels" in condition["message"], (name, condition)
                assert condition["reason"] != "InternalError", (name, condition)
                assert condition["message"].isprintable(), (name, condition)

        assert operator.process.poll() is None, "it lives"
        assert await operator.leads()
        assert operator.peak_memory() < _MEMORY_LIMIT
    assert health["failures"] == []
    assert health["answers"] > 10
    assert health["slowest"] - health["heldUp"] < _ANSWER_SECONDS, health
    assert "Traceback" not in (tmp_path / "log").read_text()


async def test_memory_does_not_follow_what_tenants_store(
    world: World, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    """A sample of `tests/bench hostile`, which has 400 ConfigMaps and 200 resources."""
    keys = {f"k{number}": {} for number in range(20_000)}
    for number in range(LARGE_RESOURCES):
        content = keys if number < 5 else "x" * 1_000_000
        spec = {**hostile_specs()["pattern"], "engine": {"additionalConfig": {"a": content}}}
        await store(world, ascend_llm(world, f"large-{number}", spec))
    labels = {"app.kubernetes.io/managed-by": "ascendllm", "ascendllm.io/name": "llama"}
    for number in range(LARGE_CONFIG_MAPS):
        metadata = {"name": f"large-{number}", "namespace": world.namespace, "labels": labels}
        data = {"result.json": "x" * 1_000_000}
        if number < 5:
            data = {f"k{key}": "x" for key in range(20_000)}
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        await store(world, config_map)
    async with OperatorProcess(operator_kubeconfig, tmp_path / "log") as operator:
        await until(operator.works)
        await world.apply(resource(validation=SMOKE))
        await become_ready(world)
        for number in range(LARGE_RESOURCES):

            async def told(number: int = number) -> dict[str, str]:
                return await ready_condition(world, f"large-{number}")

            await until(told)
        # The bodies alone have 50 MB; decoded and held in pages, as they were once, 300.
        assert operator.peak_memory() < 220_000_000


async def test_objects_of_many_small_values_take_no_more(
    world: World, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    """Decoded, 1.3 MB of small values take 25 times as much: 2 GB in all here."""
    names_of = [f"model-{number}" for number in range(4)]
    for name in names_of:
        item = resource(validation=SMOKE)
        item["metadata"] |= {"name": name, "namespace": world.namespace}
        await world.admin.post(item)
        uid = (await world.get("AscendLLM", name))["metadata"]["uid"]
        for fat in many_values(world.namespace, name, uid):
            await store(world, fat)
    async with OperatorProcess(operator_kubeconfig, tmp_path / "log") as operator:
        await until(operator.works)
        await world.apply(resource(validation=SMOKE))
        await become_ready(world)
        for name in names_of:

            async def told(name: str = name) -> dict[str, str]:
                return await ready_condition(world, name)

            await until(told)
            assert (await told())["reason"] in ("Creating", "TooLarge")
        assert operator.peak_memory() < 350_000_000
