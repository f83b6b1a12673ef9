"""Requests as the API server's audit log tells them, each line read once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from bench.figures import MeasureError

__all__ = ["MUTATING", "Audit", "Request"]

MUTATING = frozenset({"create", "update", "patch", "delete", "deletecollection"})

_LOOK_AGAIN = 0.02
_TIMEOUT = 60.0


@dataclass(frozen=True)
class Request:
    """One answered request.

    Attributes:
        verb: As RBAC names it: get, list, watch, create, update, patch, delete …
        user: Who asked.
        resource: The plural, with `/` and the subresource where there is one.
        namespace: Empty for all of them.
        name: Empty where it was about many objects, or one that had no name yet.
        answered: When the answer was complete, by the API server's clock.
    """

    verb: str
    user: str
    resource: str
    namespace: str
    name: str
    answered: datetime

    @classmethod
    def of(cls, event: dict[str, Any]) -> Self:
        """From an audit.k8s.io/v1 Event."""
        about = event.get("objectRef") or {}
        parts = (about.get("resource", ""), about.get("subresource", ""))
        return cls(
            event["verb"],
            event["user"]["username"],
            "/".join(filter(None, parts)),
            about.get("namespace", ""),
            about.get("name", ""),
            datetime.fromisoformat(event["stageTimestamp"]),
        )


class Audit:
    """The part of a log that is still to be read."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = 0

    def read(self) -> list[Request]:
        """What was answered since the last call."""
        with self._log.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]  # the last line may still be being written
        self._offset += len(whole)
        events = (json.loads(line) for line in whole.splitlines())
        return [Request.of(event) for event in events if event["stage"] == "ResponseComplete"]

    async def until_quiet(
        self, user: str, seconds: float, *, after: Callable[[Request], bool]
    ) -> list[Request]:
        """Read until a user has done something, and then nothing more for some seconds.

        Args:
            user: Whose requests count; its Lease's and its watches' never do.
            seconds: How long nothing is to be asked for.
            after: Tells the request that has to come first.

        Raises:
            MeasureError: It took longer than a minute.
        """
        found: list[Request] = []
        begun = False
        quiet_since = time.monotonic()
        deadline = quiet_since + _TIMEOUT
        while time.monotonic() < deadline:
            new = self.read()
            found += new
            of_user = [item for item in new if item.user == user and _is_work(item)]
            begun = begun or any(after(item) for item in of_user)
            if of_user or not begun:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= seconds:
                return found
            await asyncio.sleep(_LOOK_AGAIN)
        what = "does not come to rest" if begun else "has not done what was waited for"
        raise MeasureError(f"{user} {what} within {_TIMEOUT:.0f} s")


def _is_work(request: Request) -> bool:
    return request.verb != "watch" and request.resource != "leases"
