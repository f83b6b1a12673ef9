"""Several servers behind one name."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.smoke.replicas import MOST_REPLICAS, Replica, find_replicas, resolve
from ascendllm.exceptions import CheckError
from ascendllm_simulator.behaviour import Behaviour, Failure
from unit.checks.spoiled import simulated
from unit.checks.test_smoke import failed, found, results, smoke_at

QUICK = RetryPolicy(attempts=2, first=0.01, longest=0.02)
NAME = "llama.models.svc"


def names(*addresses: str) -> Any:
    async def resolved(host: str, port: int) -> list[str]:
        assert (host, port) == (NAME, 8000)
        return list(addresses)

    return resolved


async def addresses_of(*addresses: str, url: str = f"http://{NAME}:8000") -> list[str | None]:
    endpoint = parse_endpoint(url, "m")
    return [each.address for each in await find_replicas(endpoint, QUICK, names(*addresses))]


async def test_one_address_is_asked_by_its_name() -> None:
    assert await addresses_of("10.0.0.1") == [None]
    assert await addresses_of("10.0.0.1", "10.0.0.2") == ["10.0.0.1", "10.0.0.2"]
    assert await addresses_of("127.0.0.1", "127.0.0.2") == [None]
    assert await addresses_of(url="http://10.0.0.9:8000") == [None]
    assert await addresses_of(url="http://[fd00::1]:8000") == [None]


async def test_no_address_is_an_error() -> None:
    with pytest.raises(CheckError) as caught:
        await addresses_of()
    assert caught.value.reason == "ServerUnreachable"

    async def denied(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(CheckError, match="Name or service not known"):
        await find_replicas(parse_endpoint(f"http://{NAME}:8000", "m"), QUICK, denied)


async def test_too_many_are_not_looked_at_in_part() -> None:
    with pytest.raises(CheckError) as caught:
        await addresses_of(*(f"10.0.0.{n}" for n in range(1, MOST_REPLICAS + 2)))
    assert caught.value.reason == "TooManyReplicas"


async def test_this_machine_is_one_server() -> None:
    assert await resolve("localhost", 80) in (["127.0.0.1"], ["::1"])


def test_a_request_goes_to_the_address_by_the_name() -> None:
    endpoint = parse_endpoint("https://llm.example.org/prefix/v1", "m")
    four, six = Replica(endpoint, "10.0.0.7"), Replica(endpoint, "fd00::7")
    assert four.url("/health") == "https://10.0.0.7/prefix/health"
    assert six.url("/health") == "https://[fd00::7]/prefix/health"
    assert four.headers == {"Host": "llm.example.org"}
    assert four.extensions == {"sni_hostname": "llm.example.org"}
    assert Replica(endpoint).url("/health") == "https://llm.example.org/prefix/health"
    assert Replica(endpoint).headers == {}


async def two_servers(behaviour: Behaviour | None = None, **fields: Any) -> Any:
    """Smoke on 127.0.0.1 and, spoiled, 127.0.0.2, at the same port."""
    async with simulated() as url:
        port = urlsplit(url).port
        assert port is not None
        async with simulated("127.0.0.2", port, behaviour, **fields):
            endpoint = parse_endpoint(f"http://replicas.test:{port}", "m")

            async def both(*_: object) -> list[Replica]:
                return [Replica(endpoint, address) for address in ("127.0.0.1", "127.0.0.2")]

            return await smoke_at(endpoint.root, find=both)


async def test_each_server_is_looked_at() -> None:
    outcome = await two_servers()
    assert outcome.result == "Passed", outcome.message
    assert outcome.figures["replicas"] == 2
    assert "checks as expected" in found(outcome, "server 127.0.0.2")["seen"]
    assert results(outcome)["counters"] == "Passed"


async def test_a_wrong_server_among_right_ones_fails() -> None:
    wrong = Behaviour(0, 0, 0, failure=Failure("wrongUsage", {"offset": 7, "after": 0, "times": 0}))
    outcome = await two_servers(wrong)
    assert outcome.result == "Failed"
    assert "usage (server 127.0.0.2)" in failed(outcome)
    assert all("127.0.0.2" in name for name in failed(outcome))


async def test_another_model_behind_the_same_name_is_no_verdict() -> None:
    outcome = await two_servers(names=("other",))
    assert (outcome.result, outcome.reason) == ("Error", "WrongModel")
    assert "127.0.0.2" in outcome.message
