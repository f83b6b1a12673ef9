"""What a load came to, in a form that several processes' and pods' shares merge from exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

from ascendllm.checks.bench.tally import Tally, to_units
from ascendllm.exceptions import CheckError

__all__ = ["METRICS", "MOST_KEPT", "Measured", "Sample", "merged"]

METRICS = ("ttft", "tpot", "itl", "e2el")
_TALLIES = (*METRICS, "connect", "send_lag", "start_blur", "stamp_lag")
_COUNTS = ("completed", "input_tokens", "output_tokens")

MOST_KEPT = 20_000
"""Requests whose latencies are kept one by one, for goodput."""

Row = tuple[int, int, int, int]
"""Start since the load's start, TTFT, TPOT (-1: none, a single token), E2EL; in units."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, in seconds of CLOCK_MONOTONIC.

    Args:
        id: The server's id of the answer.
        due: When it should have been sent.
        start: When its bytes left.
        moments: When each chunk with choices came; at least one.
        end: When the response had ended.
        input_tokens: As the server counted.
        output_tokens: As the server counted.
    """

    id: str
    due: float
    start: float
    moments: tuple[float, ...]
    end: float
    input_tokens: int
    output_tokens: int

    @property
    def ttft(self) -> float:
        """Time to first token."""
        return self.moments[0] - self.start

    @property
    def e2el(self) -> float:
        """End-to-end latency: to the last chunk with choices."""
        return self.moments[-1] - self.start

    @property
    def tpot(self) -> float | None:
        """Time per output token after the first; None for a single token."""
        if self.output_tokens < 2:
            return None
        return (self.moments[-1] - self.moments[0]) / (self.output_tokens - 1)

    @property
    def gaps(self) -> list[float]:
        """Between consecutive chunks."""
        return [later - earlier for earlier, later in pairwise(self.moments)]

    def to_json(self) -> dict[str, object]:
        """The request in the full report."""
        return {
            "id": self.id,
            "start": round(self.start, 6),
            "ttftMs": round(self.ttft * 1000, 3),
            "itlsMs": [round(gap * 1000, 3) for gap in self.gaps],
            "e2elMs": round(self.e2el * 1000, 3),
            "inputTokens": self.input_tokens,
            "outputTokens": self.output_tokens,
        }


@dataclass(slots=True)
class Measured:
    """A load, or a share of one, in which every request was answered in full.

    Args:
        completed: Requests.
        input_tokens: Of all requests, as the server counted.
        output_tokens: The same.
        duration: From the load's start to its last end, in units.
        run_delay: Seconds for which its processes could have run and weren't let.
        ttft: Of each request.
        tpot: Of each request of more than one token.
        itl: Gaps between chunks, of all requests.
        e2el: Of each request.
        connect: Of each connection, TLS included.
        send_lag: From due to sent, of each request.
        start_blur: How long each request's write took: its bytes left somewhen in that time.
        stamp_lag: From readable to read, of whatever came without the kernel's time of arrival:
            how late a chunk's moment can be.
        rows: One a request, the first `MOST_KEPT` (more aren't kept at all).
        details: Each request of the full report, where that was asked for.
    """

    completed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    duration: int = 0
    run_delay: float = 0.0
    ttft: Tally = field(default_factory=Tally)
    tpot: Tally = field(default_factory=Tally)
    itl: Tally = field(default_factory=Tally)
    e2el: Tally = field(default_factory=Tally)
    connect: Tally = field(default_factory=Tally)
    send_lag: Tally = field(default_factory=Tally)
    start_blur: Tally = field(default_factory=Tally)
    stamp_lag: Tally = field(default_factory=Tally)
    rows: list[Row] = field(default_factory=list)
    details: list[dict[str, object]] = field(default_factory=list)

    def take(self, sample: Sample, began: float, keep_details: bool = False) -> None:
        """Count a request in.

        Args:
            sample: The request.
            began: The load's start.
            keep_details: For the full report.
        """
        tpot = sample.tpot
        units = to_units(sample.ttft), -1 if tpot is None else to_units(tpot), to_units(sample.e2el)
        self.completed += 1
        self.input_tokens += sample.input_tokens
        self.output_tokens += sample.output_tokens
        self.duration = max(self.duration, to_units(sample.end - began))
        self.ttft.add(units[:1])
        if tpot is not None:
            self.tpot.add(units[1:2])
        self.e2el.add(units[2:])
        self.itl.add(map(to_units, sample.gaps))
        self.send_lag.add((max(0, to_units(sample.start - sample.due)),))
        if len(self.rows) <= MOST_KEPT:
            self.rows.append((to_units(sample.start - began), *units))
        if keep_details:
            self.details.append(sample.to_json())

    def latencies(self) -> list[list[float | None]] | None:
        """`[ttftMs, tpotMs or null, e2elMs]` of each request by start; None where too many."""
        if len(self.rows) != self.completed:
            return None
        return [
            [ttft / 100, None if tpot < 0 else tpot / 100, e2el / 100]
            for _, ttft, tpot, e2el in sorted(self.rows)
        ]

    def to_json(self) -> dict[str, object]:
        """For a pipe or a ConfigMap."""
        data: dict[str, object] = {name: getattr(self, name) for name in _COUNTS}
        data |= {"duration": self.duration, "run_delay": self.run_delay}
        data |= {name: getattr(self, name).to_json() for name in _TALLIES}
        rows = self.rows if len(self.rows) <= MOST_KEPT else []
        return data | {"rows": [list(row) for row in rows], "details": self.details}

    @staticmethod
    def from_json(data: object) -> Measured:
        """Read what `to_json` made.

        Raises:
            CheckError: `ShardUnreadable`, naming the key.
        """
        if not isinstance(data, Mapping):
            raise CheckError("ShardUnreadable", "a share of the load is no object")
        fields: dict[str, Any] = {name: _whole(data, name) for name in (*_COUNTS, "duration")}
        fields |= {name: Tally.from_json(data.get(name)) for name in _TALLIES}
        delay, rows, details = (data.get(key) for key in ("run_delay", "rows", "details"))
        if not isinstance(delay, int | float) or delay < 0:
            raise CheckError("ShardUnreadable", "run_delay is no number of seconds")
        if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
            raise CheckError("ShardUnreadable", "rows is no list of requests")
        if rows and len(rows) != fields["completed"]:
            raise CheckError("ShardUnreadable", "rows has another number of requests")
        fields |= {"run_delay": float(delay), "rows": [tuple(row) for row in rows]}
        held = details if isinstance(details, list) else []
        return Measured(**fields, details=cast("list[dict[str, object]]", held))


def merged(shares: Iterable[Measured]) -> Measured:
    """The whole load out of its shares, whatever their order."""
    whole = Measured()
    for share in shares:
        for name in _COUNTS:
            setattr(whole, name, getattr(whole, name) + getattr(share, name))
        for name in _TALLIES:
            getattr(whole, name).merge(getattr(share, name))
        whole.duration = max(whole.duration, share.duration)
        whole.run_delay += share.run_delay
        whole.rows.extend(share.rows)
        whole.details.extend(share.details)
    if whole.completed > MOST_KEPT:
        whole.rows.clear()
    whole.rows.sort()
    whole.details.sort(key=_by_start)
    return whole


def _by_start(detail: Mapping[str, object]) -> tuple[float, str]:
    """By the start, and where two are the same in an order that is always the same."""
    return cast("float", detail.get("start", 0.0)), repr(detail)


def _whole(data: Mapping[str, object], name: str) -> int:
    value = data.get(name)
    if type(value) is not int or value < 0:
        raise CheckError("ShardUnreadable", f"{name} is {value!r:.40}, no count")
    return value


def _is_row(row: object) -> bool:
    return isinstance(row, list) and len(row) == 4 and all(type(number) is int for number in row)
