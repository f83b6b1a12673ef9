"""Whether an engine moves, by what a server's /metrics says again and again.

An engine that hangs answers /health with 200 for ever: an HCCL operation that never ends stops no
process (vllm-ascend PR 14240). What tells it is `vllm:num_requests_running` above 0 while the count
of `vllm:iteration_tokens_total`, which grows at every step, stands still.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

__all__ = ["Beat", "Pulse", "felt", "read_beats"]

_LOOKS = 3
"""Fewer say nothing, however far apart they are."""

_LINE = re.compile(
    r"^vllm:(num_requests_running|iteration_tokens_total_count)\{([^}\n]*)\} ([0-9.eE+]{1,40})\r?$",
    re.MULTILINE,
)
"""Matches within one line: beyond it, the search of a text without `}` would be quadratic."""
_ENGINE = re.compile(r'(?:^|,)engine="(\d{1,9})"')
_MOST_SERIES = 4096
"""What is read of one server; it is remembered until the next look."""


@dataclass(frozen=True)
class Beat:
    """An engine at one look.

    Attributes:
        running: Requests that it computes.
        steps: Steps since it began.
    """

    running: float
    steps: float


@dataclass(frozen=True)
class Pulse:
    """A server over the looks so far.

    Attributes:
        beats: Each engine at the last look.
        still: Since when an engine stands still with requests, and for how many looks.
    """

    beats: Mapping[str, Beat] = field(default_factory=dict)
    still: Mapping[str, tuple[float, int]] = field(default_factory=dict)

    def hung_seconds(self, now: float) -> float:
        """For how long an engine has stood still; 0 where all move, or have nothing to do."""
        return max(
            (now - since for since, looks in self.still.values() if looks >= _LOOKS), default=0
        )


def read_beats(text: str) -> dict[str, Beat]:
    """Each engine of a server, by its label; {} where the text tells of none."""
    found: dict[str, dict[str, float]] = {}
    for line in islice(_LINE.finditer(text), _MOST_SERIES):
        name, labels, value = line.groups()
        engine = _ENGINE.search(labels)
        try:
            number = float(value)
        except ValueError:
            return {}
        found.setdefault(engine.group(1) if engine else "", {})[name] = number
    return {
        engine: Beat(values["num_requests_running"], values["iteration_tokens_total_count"])
        for engine, values in found.items()
        if len(values) == 2
    }


def felt(before: Pulse, beats: Mapping[str, Beat], now: float) -> Pulse:
    """The pulse after another look.

    Args:
        before: What is known.
        beats: The engines now.
        now: Seconds of a clock that never goes back.
    """
    still = {}
    for engine, beat in beats.items():
        last = before.beats.get(engine)
        if beat.running <= 0:
            continue
        if last is not None and last.running > 0 and last.steps == beat.steps:
            since, looks = before.still.get(engine, (now, 1))
            still[engine] = since, looks + 1
        else:
            still[engine] = now, 1
    return Pulse(dict(beats), still)
