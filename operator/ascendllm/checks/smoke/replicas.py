"""Every server behind an address: a headless Service's name stands for all its pods."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from ascendllm.checks.endpoint import Endpoint, unreachable
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.sinks import warn
from ascendllm.exceptions import CheckError

__all__ = ["MOST_REPLICAS", "Replica", "Resolve", "find_replicas", "resolve"]

MOST_REPLICAS = 64

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host: raises OSError."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One server.

    Args:
        endpoint: As the whole is addressed.
        address: The server's own IP address; None: wherever the name leads to.
    """

    endpoint: Endpoint
    address: str | None = None

    def url(self, path: str) -> str:
        """Where a request goes."""
        if self.address is None:
            return self.endpoint.url(path)
        parts = urlsplit(self.endpoint.url(path))
        host = f"[{self.address}]" if ":" in self.address else self.address
        port = f":{parts.port}" if parts.port else ""
        return urlunsplit(parts._replace(netloc=host + port))

    @property
    def headers(self) -> dict[str, str]:
        """The name that the server is asked by."""
        return {} if self.address is None else {"Host": urlsplit(self.endpoint.root).netloc}

    @property
    def extensions(self) -> dict[str, object]:
        """The name that its certificate must bear."""
        host = urlsplit(self.endpoint.root).hostname
        return {} if self.address is None or host is None else {"sni_hostname": host}


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, of one family: a pod may have one of each.

    Raises:
        OSError: The name is not known.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family in (socket.AF_INET, socket.AF_INET6):
        addresses = list(dict.fromkeys(str(item[4][0]) for item in found if item[0] == family))
        if addresses:
            return sorted(addresses)
    return []


async def find_replicas(
    endpoint: Endpoint, retry: RetryPolicy, resolved: Resolve = resolve
) -> list[Replica]:
    """Every server behind an endpoint's name.

    An IP address, a name with one address, and a name of this machine are one server.

    Args:
        endpoint: The address that was given.
        retry: A cluster's DNS may deny a new Service's name for a while.
        resolved: Looks a name up.

    Raises:
        CheckError: `ServerUnreachable`, where the name has no address; `TooManyReplicas`.
    """
    parts = urlsplit(endpoint.root)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if _address(host) is not None:
        return [Replica(endpoint)]
    for attempt in range(1, retry.attempts + 1):
        try:
            async with asyncio.timeout(30):
                addresses = await resolved(host, port)
            if addresses:
                break
            failure = unreachable(f"address of {host}", OSError("none is known"))
        except (OSError, UnicodeError) as error:
            failure = unreachable(f"address of {host}", error)
        if attempt == 1:
            warn(f"{failure.message}; trying again, up to {retry.attempts} times")
        if attempt == retry.attempts:
            raise failure
        await asyncio.sleep(retry.pause(attempt))
    if len(addresses) > MOST_REPLICAS:
        raise CheckError(
            "TooManyReplicas",
            f"{host} has {len(addresses)} addresses; smoke looks at {MOST_REPLICAS} at most: give "
            "the address of one",
        )
    if len(addresses) == 1 or all(_is_loopback(address) for address in addresses):
        return [Replica(endpoint)]
    return [Replica(endpoint, address) for address in addresses]


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _is_loopback(address: str) -> bool:
    found = _address(address)
    return found is not None and found.is_loopback
