"""One resource: the policies over it, and its objects, in this process."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime

from ascendllm.api.parse import parse_spec
from ascendllm.decide.decision import decide
from ascendllm.desired.owner import Owner
from ascendllm.settings import Settings
from ascendllm.state.observed import Observed
from bench.figures import Figure, MeasureError
from integration.world import SETTINGS, resource

__all__ = ["measure"]

_TIMES = 200
_LIMIT = 5.0


def measure() -> list[Figure]:
    """Milliseconds from the resource as the API server gives it to the objects to apply."""
    settings = Settings.from_mapping(SETTINGS)
    times = [_render(settings) for _ in range(_TIMES)]
    return [
        Figure("spec to objects, the first time", times[0], "ms", _LIMIT),
        Figure(f"spec to objects, median of {_TIMES}", statistics.median(times), "ms", _LIMIT),
    ]


def _render(settings: Settings) -> float:
    item = resource()
    began = time.perf_counter()
    observed = Observed(item, datetime.now(UTC), nodes=())
    owner = Owner("default", item["metadata"]["name"], "00000000-0000-0000-0000-000000000000")
    decision = decide(owner, parse_spec(item), observed, settings)
    seconds = time.perf_counter() - began
    if decision.problem is not None or not decision.plan.apply:
        raise MeasureError(f"nothing was rendered: {decision.problem}")
    return seconds * 1000
