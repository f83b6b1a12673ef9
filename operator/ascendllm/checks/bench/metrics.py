"""The figures of `vllm bench serve` (vLLM 0.18.0, benchmarks/serve.py), without numpy.

TTFT: from the request's start to the first chunk with `choices`. E2EL: to the last such chunk.
ITL: the gaps between such chunks, pooled over requests. TPOT: (E2EL - TTFT) / (output tokens - 1),
for requests of more than one token, mean over requests. Throughputs are over the wall time from
the first start to the last end. Percentiles are linear, standard deviations of the population.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ascendllm.checks.result import rounded

__all__ = ["Sample", "figures", "percentile"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, in seconds of CLOCK_MONOTONIC.

    Args:
        id: The server's id of the answer.
        start: When the request was sent.
        first: When the first chunk with choices was read.
        last: When the last one was.
        gaps: Between consecutive ones.
        input_tokens: As the server counted.
        output_tokens: As the server counted.
    """

    id: str
    start: float
    first: float
    last: float
    gaps: tuple[float, ...]
    input_tokens: int
    output_tokens: int

    @property
    def ttft(self) -> float:
        """Time to first token."""
        return self.first - self.start

    @property
    def e2el(self) -> float:
        """End-to-end latency."""
        return self.last - self.start

    @property
    def tpot(self) -> float | None:
        """Time per output token after the first; None for a single token."""
        if self.output_tokens < 2:
            return None
        return (self.last - self.first) / (self.output_tokens - 1)

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


def figures(samples: Sequence[Sample], duration: float, npus: int | None) -> dict[str, object]:
    """The figures of a run in which every request was answered in full.

    Args:
        samples: At least one.
        duration: Seconds from the first request's start to the last one's end.
        npus: NPUs that served; None where that isn't known.
    """
    inputs = sum(sample.input_tokens for sample in samples)
    outputs = sum(sample.output_tokens for sample in samples)
    result: dict[str, object] = {
        "completed": len(samples),
        "failed": 0,
        "totalInputTokens": inputs,
        "totalOutputTokens": outputs,
        "duration": rounded(duration),
        "requestThroughput": rounded(len(samples) / duration),
        "outputThroughput": rounded(outputs / duration),
        "totalTokenThroughput": rounded((inputs + outputs) / duration),
    }
    if npus is not None:
        result["outputThroughputPerNpu"] = rounded(outputs / duration / npus)
    metrics = {
        "Ttft": [sample.ttft for sample in samples],
        "Tpot": [sample.tpot for sample in samples if sample.tpot is not None],
        "Itl": [gap for sample in samples for gap in sample.gaps],
        "E2el": [sample.e2el for sample in samples],
    }
    for name, seconds in metrics.items():
        if seconds:
            result |= _distribution(name, [1000 * value for value in seconds])
    return result


def percentile(values: Sequence[float], percent: float) -> float:
    """As numpy's default (linear): the position is (n - 1) * percent / 100."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def _distribution(name: str, ms: Sequence[float]) -> dict[str, object]:
    return {
        f"mean{name}Ms": rounded(statistics.fmean(ms)),
        f"median{name}Ms": rounded(statistics.median(ms)),
        f"std{name}Ms": rounded(statistics.pstdev(ms)),
        f"p99{name}Ms": rounded(percentile(ms, 99)),
    }
