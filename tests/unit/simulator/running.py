"""A simulated server on loopback, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from ascendllm_simulator.behaviour import Behaviour
from ascendllm_simulator.serving import Service

# Nothing takes time unless a test chooses so.
FAST = Behaviour(load_seconds=0, ttft_ms=0, itl_ms=0)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so; what a server counts can be read and not be waited for."""
    for _ in range(1000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never was so")


@dataclass
class Running:
    """A server on loopback, with a client of its own."""

    service: Service
    client: httpx.AsyncClient

    async def complete(self, prompt: object = "Hello there", **fields: object) -> httpx.Response:
        body = {"model": "m", "prompt": prompt, "max_tokens": 4, "temperature": 0, **fields}
        return await self.client.post("/v1/completions", json=body)

    async def chat(self, text: str = "Hello there", **fields: object) -> httpx.Response:
        messages = [{"role": "user", "content": text}]
        body = {"model": "m", "messages": messages, "max_tokens": 4, "temperature": 0, **fields}
        return await self.client.post("/v1/chat/completions", json=body)

    async def reach(self, name: str, value: float) -> None:
        """Wait until a metric has a value."""

        async def reached() -> bool:
            return (await self.metrics())[name] >= value

        await until(reached)

    async def metrics(self) -> dict[str, float]:
        """Values by name and, where there is one, the label beside model and engine."""
        found = {}
        for line in (await self.client.get("/metrics")).text.splitlines():
            if line.startswith("vllm:"):
                name, _, value = line.rpartition(" ")
                labels = name.partition("{")[2].rstrip("}")
                own = [
                    la for la in labels.split(",") if not la.startswith(("engine=", "model_name="))
                ]
                found[name.partition("{")[0] + "".join(own).replace('"', "")] = float(value)
        return found


Start = Callable[..., Awaitable[Running]]
