"""Goodput: the requests that kept all their objectives, by the second.

Source: vLLM 0.18.0, benchmarks/serve.py (calculate_metrics): an objective is kept where the latency
is not above it, the TPOT of a one-token answer counts as 0, the count is over the run's duration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

from ascendllm.checks.judging.decimals import decimal_of
from ascendllm.checks.result import rounded
from ascendllm.exceptions import CheckError

__all__ = ["MOST_REQUESTS", "OBJECTIVES", "Latencies", "read_requests", "request_goodput"]

MOST_REQUESTS = 20_000
"""What a run's ConfigMap has room for."""

OBJECTIVES = ("ttftMs", "tpotMs", "e2elMs")
"""The objectives by name, in the order in which a request's latencies are stored."""

Latencies = tuple[Decimal, Decimal, Decimal]
"""TTFT, TPOT and E2EL of one request in ms; a TPOT of 0 for an answer of one token."""


def read_requests(text: str) -> list[Latencies]:
    """Read `requests.json`: a list of `[ttftMs, tpotMs or null, e2elMs]`.

    Raises:
        CheckError: `RequestsUnreadable`.
    """
    try:
        rows = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"it is not JSON ({error})") from None
    if not isinstance(rows, list) or len(rows) > MOST_REQUESTS:
        raise _unreadable(f"it is no list of at most {MOST_REQUESTS} requests")
    return [_latencies(row, number) for number, row in enumerate(rows)]


def request_goodput(
    requests: Sequence[Latencies], objectives: Mapping[str, object], duration: Decimal
) -> float:
    """Requests that kept all objectives, by the second.

    Args:
        requests: The latencies of all requests.
        objectives: Milliseconds by name (`OBJECTIVES`); those that are missing or None count not.
        duration: Seconds, above 0.

    Raises:
        CheckError: `BadGoodput`.
    """
    limits = [_limit(objectives, name) for name in OBJECTIVES]
    if unknown := [name for name in objectives if name not in OBJECTIVES]:
        raise CheckError("BadGoodput", f"goodput has no {unknown[0]!r}: {', '.join(OBJECTIVES)}")
    good = sum(
        all(limit is None or value <= limit for value, limit in zip(request, limits, strict=True))
        for request in requests
    )
    return rounded(Decimal(good) / duration)


def _limit(objectives: Mapping[str, object], name: str) -> Decimal | None:
    value = objectives.get(name)
    if value is None:
        return None
    limit = decimal_of(value)
    if limit is None or limit <= 0:
        raise CheckError("BadGoodput", f"goodput.{name} {value!r} is no number of ms above 0")
    return limit


def _latencies(row: object, number: int) -> Latencies:
    if isinstance(row, list) and len(row) == 3:
        ttft, tpot, e2el = (decimal_of(value) for value in row)
        tpot = Decimal(0) if row[1] is None else tpot
        if ttft is not None and tpot is not None and e2el is not None:
            return ttft, tpot, e2el
    raise _unreadable(f"request {number} is {row!r:.80}, not [ttftMs, tpotMs or null, e2elMs]")


def _unreadable(why: str) -> CheckError:
    return CheckError("RequestsUnreadable", f"the run's requests.json can't be used: {why}")
