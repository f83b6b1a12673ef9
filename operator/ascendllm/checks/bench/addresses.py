"""The addresses behind the server's name.

A headless Service's name has one address a replica: the load goes to all of them in turn, and each
is asked for its counters.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from urllib.parse import urlsplit

from ascendllm.checks.bench.load.wire import Address
from ascendllm.checks.endpoint import Endpoint, unreachable
from ascendllm.exceptions import CheckError

__all__ = ["reachable_addresses"]

MOST_ADDRESSES = 256
CONNECT_SECONDS = 10.0


async def reachable_addresses(endpoint: Endpoint) -> tuple[Address, ...]:
    """All addresses of the first family of which one takes a connection.

    Raises:
        CheckError: `ServerUnreachable` or `ServerTimeout`: none does, or only some do, so that the
            load would not be what the replicas share.
    """
    parts = urlsplit(endpoint.root)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    what = f"resolving {host}"
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
    except (OSError, UnicodeError) as error:
        raise unreachable(what, error) from None
    wanted = (socket.AF_INET, socket.AF_INET6)
    known = dict.fromkeys((family, str(name[0])) for family, _, _, _, name in found)
    failure: CheckError | None = None
    for family in dict.fromkeys(family for family, _ in known if family in wanted):
        addresses = [Address(int(f), name, port) for f, name in known if f == family]
        if len(addresses) > MOST_ADDRESSES:
            raise CheckError(
                "TooManyAddresses", f"{host} has {len(addresses)} addresses: name a single Service"
            )
        failures = await asyncio.gather(*(_failure(address) for address in addresses))
        if not any(failures):
            return tuple(addresses)
        failure = failure or next(filter(None, failures))
        if not all(failures):
            break
    raise failure or unreachable(what, OSError("no address"))


async def _failure(address: Address) -> CheckError | None:
    """Why an address takes no connection; None if it does."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except OSError as error:
        return unreachable(f"connecting to {address}", error)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return None
