"""Decides which completion requests fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm_simulator.behaviour import Behaviour, Failure

__all__ = ["FaultInjector"]


class FaultInjector:
    """Counts requests and decides to which of them the configured failure applies."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._failure = behaviour.failure
        self._requests = 0
        self._failed = 0

    def next(self) -> Failure | None:
        """Count one request; return the failure if it applies to this request."""
        failure = self._failure
        self._requests += 1
        if failure is None or not self._hits(failure.mode, failure.parameters):
            return None
        self._failed += 1
        return failure

    def _hits(self, mode: str, parameters: Mapping[str, Any]) -> bool:
        if mode == "dieAfter":
            return self._requests > int(parameters["requests"])
        if mode == "failEvery":
            return self._requests % max(1, int(parameters["every"])) == 0
        if "after" not in parameters:
            return mode == "wrongModel"
        if self._requests <= parameters["after"]:
            return False
        return not parameters["times"] or self._failed < parameters["times"]
