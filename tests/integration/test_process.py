"""The operator as its own process, with the rights of manifests/base."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from integration.operator_process import OperatorProcess
from integration.world import World, resource

SMOKE = {"smoke": {}}


async def until(what: Callable[[], Awaitable[object]], seconds: float = 40.0) -> float:
    """Wait for another process; returns how long it took, the end of a Lease included."""
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await what():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.05)
    return time.monotonic() - started


async def ready_reason(world: World) -> str:
    return (await world.conditions()).get("Ready", "")


async def test_it_leads_works_and_hands_over(
    world: World, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    await world.apply(resource(validation=SMOKE))
    async with OperatorProcess(operator_kubeconfig, tmp_path / "first") as first:
        await until(lambda: world.children("Deployment"))
        await until(first.works)
        assert await first.get("/healthz") is not None

        async with OperatorProcess(operator_kubeconfig, tmp_path / "second") as second:
            await until(lambda: second.get("/readyz"))
            await world.move_pods()
            await until(lambda: world.running_job())
            assert not await second.leads(), "it waits while the first one leads"

            job = await world.job_of("smoke")
            await world.write_result(job)
            await world.end_job(job)

            async def proven() -> bool:
                return await ready_reason(world) == "True/Proven"

            await until(proven)
            await world.remove("Deployment", next(iter(await world.names_of("Deployment"))))
            await until(lambda: world.children("Deployment"), 20)

            first.signal(signal.SIGTERM)
            assert await first.ended() == 0
            assert await until(second.works) < 10, "the lease was given back"
            assert "lease given back" in {line["message"] for line in first.lines()}
            assert "Traceback" not in (tmp_path / "first").read_text()

            await world.apply(resource(validation=SMOKE, replicas=2))

            async def scaled() -> bool:
                (deployment,) = await world.children("Deployment")
                return bool(deployment["spec"]["replicas"] == 2)

            await until(scaled, 20)
            metrics = await second.get("/metrics") or ""
            assert 'ascendllm_reconcile_total{result="success"}' in metrics
            assert 'ascendllm_api_requests_total{code="200",method="GET"}' in metrics
            assert "ascendllm_queue_depth " in metrics

            second.signal(signal.SIGKILL)
            await second.ended()
        async with OperatorProcess(operator_kubeconfig, tmp_path / "third") as third:
            await world.apply(resource(validation=SMOKE, replicas=3))
            took = await until(third.works)
            assert took > 5, "a lease that was not given back runs out first"

            async def scaled_again() -> bool:
                (deployment,) = await world.children("Deployment")
                return bool(deployment["spec"]["replicas"] == 3)

            await until(scaled_again, 20)
            third.signal(signal.SIGINT)
            assert await third.ended() == 0


async def test_it_outlives_the_api_server(
    world: World, control_plane: ControlPlane, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    await world.apply(resource(validation=SMOKE))
    async with OperatorProcess(operator_kubeconfig, tmp_path / "log") as operator:
        await until(operator.works)
        await until(lambda: world.children("Deployment"))
        control_plane.kill_api_server()
        control_plane.start_api_server()
        await world.apply(resource(validation=SMOKE, engine={"maxModelLen": 2048}))

        async def changed() -> bool:
            deployments = await world.children("Deployment")
            return any("2048" in str(item["spec"]["template"]) for item in deployments)

        await until(changed)
        assert operator.process.poll() is None
        assert await operator.leads()
        operator.signal(signal.SIGTERM)
        assert await operator.ended() == 0


async def test_one_resource_that_cannot_be_helped_does_not_hold_up_the_others(
    world: World, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    for number in range(20):
        item = resource(engine={"args": ["--nonsense"]})
        item["metadata"] = {"name": f"bad-{number}"}
        await world.apply(item)
    async with OperatorProcess(operator_kubeconfig, tmp_path / "log") as operator:
        await until(operator.works)
        await world.apply(resource(validation=SMOKE))
        await until(lambda: world.children("Deployment"), 20)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ASCENDLLM_hostPathPrefixes", "relative"),
        ("ASCENDLLM_imageRepository", "ascendllm"),
        ("ASCENDLLM_mmluData", "{pvc: {}}"),
        ("ASCENDLLM_mmluData", "{"),
    ],
)
async def test_a_wrong_setting_stops_it_with_its_name(
    operator_kubeconfig: Path, tmp_path: Path, key: str, value: str
) -> None:
    log = tmp_path / "log"
    async with OperatorProcess(operator_kubeconfig, log, **{key: value}) as operator:
        assert await operator.ended() == 1
    text = log.read_text()
    assert "ConfigMap ascendllm-operator" in text
    assert key.removeprefix("ASCENDLLM_") in text
    assert "Traceback" not in text


async def test_without_an_api_server_it_says_so(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("{}")
    async with OperatorProcess(kubeconfig, tmp_path / "log") as operator:
        assert await operator.ended() == 1
    assert "no API server to talk to" in (tmp_path / "log").read_text()
