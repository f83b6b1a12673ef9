"""The figures of `vllm bench serve` (vLLM 0.18.0, benchmarks/serve.py), without numpy.

TTFT: from the request's start to the first chunk with `choices`. E2EL: to the last such chunk.
ITL: the gaps between such chunks, pooled over requests. TPOT: (E2EL - TTFT) / (output tokens - 1),
for requests of more than one token, mean over requests. Throughputs are over the wall time from
the load's start to the last end. Percentiles are linear, standard deviations of the population.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ascendllm.checks.bench.measured import METRICS, Measured
from ascendllm.checks.bench.tally import UNITS_PER_SECOND, Tally
from ascendllm.checks.result import rounded
from ascendllm.exceptions import CheckError

__all__ = ["figures", "sweep_row"]

_POINT_FIGURES = (
    "completed",
    "duration",
    "requestThroughput",
    "outputThroughput",
    "totalTokenThroughput",
    "meanTtftMs",
    "p99TtftMs",
    "meanTpotMs",
    "p99TpotMs",
    "meanItlMs",
    "meanE2elMs",
    "p99E2elMs",
)


def figures(measured: Measured, npus: int | None) -> dict[str, object]:
    """The figures of a load in which every request was answered in full.

    Args:
        measured: At least one request.
        npus: NPUs that served; None where that isn't known.
    """
    if not measured.completed or measured.duration <= 0:
        raise CheckError("InternalError", "a load without requests or time has no figures")
    seconds = Fraction(measured.duration, UNITS_PER_SECOND)
    tokens = measured.input_tokens + measured.output_tokens
    result: dict[str, object] = {
        "completed": measured.completed,
        "failed": 0,
        "totalInputTokens": measured.input_tokens,
        "totalOutputTokens": measured.output_tokens,
        "duration": rounded(seconds, 5),
        "requestThroughput": rounded(measured.completed / seconds),
        "outputThroughput": rounded(measured.output_tokens / seconds),
        "totalTokenThroughput": rounded(tokens / seconds),
    }
    if npus is not None:
        result["outputThroughputPerNpu"] = rounded(measured.output_tokens / seconds / npus)
    for name in METRICS:
        tally: Tally = getattr(measured, name)
        if len(tally):
            result |= _distribution(name.capitalize(), tally)
    if len(measured.connect):
        result["connectMs"] = rounded(measured.connect.mean_ms())
    result["clientLagMs"] = rounded(measured.send_lag.percentile_ms(99))
    return result


def sweep_row(concurrency: int, point: Mapping[str, object]) -> dict[str, object]:
    """A point of a sweep, out of its figures."""
    return {"concurrency": concurrency} | {k: point[k] for k in _POINT_FIGURES if k in point}


def _distribution(name: str, tally: Tally) -> dict[str, object]:
    return {
        f"mean{name}Ms": rounded(tally.mean_ms()),
        f"median{name}Ms": rounded(tally.percentile_ms(50)),
        f"std{name}Ms": rounded(tally.std_ms()),
        f"p99{name}Ms": rounded(tally.percentile_ms(99)),
    }
