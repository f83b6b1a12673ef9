"""Server-sent events, as the OpenAI protocol streams its answers."""

from __future__ import annotations

from collections.abc import Callable

from ascendllm.exceptions import CheckError

__all__ = ["EventReader"]

EVENT_BYTES = 1024 * 1024


class EventReader:
    """Cuts a byte stream into the `data` of server-sent events.

    Args:
        what: The request, for messages.
        take: Called with each event's data.
    """

    def __init__(self, what: str, take: Callable[[bytes], None]) -> None:
        self._what = what
        self._take = take
        self._rest = b""

    def feed(self, part: bytes) -> None:
        """Read on.

        Raises:
            CheckError: `BadAnswer`, where an event has no end; or as `take` raises.
        """
        *lines, self._rest = (self._rest + part).split(b"\n")
        if len(self._rest) > EVENT_BYTES:
            raise CheckError(
                "BadAnswer", f"{self._what}: an event is longer than {EVENT_BYTES} bytes"
            )
        for line in lines:
            if line.startswith(b"data:"):
                self._take(line[5:].strip())
