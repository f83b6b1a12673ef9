"""The metrics of vLLM 0.18, with its names, labels and buckets, in Prometheus' text format.

Source: vllm 0.18.0, `v1/metrics/loggers.py` (PrometheusStatLogger). The module does not use
prometheus-client, which the simulator's image does not contain.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["FINISH_REASONS", "Metrics"]

FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")
_SOURCES = ("local_compute", "local_cache_hit", "external_kv_transfer")

_TTFT = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
_PER_TOKEN = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
)  # fmt: skip
_LATENCY = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
)  # fmt: skip
_ITERATION = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)

_COUNTERS = {
    "prefix_cache_queries": "Prefix cache queries, in terms of number of queried tokens.",
    "prefix_cache_hits": "Prefix cache hits, in terms of number of cached tokens.",
    "external_prefix_cache_queries": "External prefix cache queries.",
    "external_prefix_cache_hits": "External prefix cache hits.",
    "mm_cache_queries": "Multi-modal cache queries, in terms of number of queried items.",
    "mm_cache_hits": "Multi-modal cache hits, in terms of number of cached items.",
    "num_preemptions": "Cumulative number of preemption from the engine.",
    "prompt_tokens": "Number of prefill tokens processed.",
    "prompt_tokens_cached": "Number of cached prompt tokens (local + external).",
    "prompt_tokens_recomputed": "Number of cached tokens recomputed for forward pass.",
    "generation_tokens": "Number of generation tokens processed.",
}
_GAUGES = {
    "num_requests_running": "Number of requests in model execution batches.",
    "num_requests_waiting": "Number of requests waiting to be processed.",
    "kv_cache_usage_perc": "KV-cache usage. 1 means 100 percent usage.",
}
_HISTOGRAMS: Mapping[str, tuple[str, Sequence[float] | None]] = {
    "request_prompt_tokens": ("Number of prefill tokens processed.", None),
    "request_generation_tokens": ("Number of generation tokens processed.", None),
    "iteration_tokens_total": ("Histogram of number of tokens per engine_step.", _ITERATION),
    "request_max_num_generation_tokens": ("Maximum number of requested generation tokens.", None),
    "request_params_n": ("Histogram of the n request parameter.", (1, 2, 5, 10, 20)),
    "request_params_max_tokens": ("Histogram of the max_tokens request parameter.", None),
    "time_to_first_token_seconds": ("Histogram of time to first token in seconds.", _TTFT),
    "inter_token_latency_seconds": ("Histogram of inter-token latency in seconds.", _PER_TOKEN),
    "request_time_per_output_token_seconds": ("Time per output token per request.", _PER_TOKEN),
    "e2e_request_latency_seconds": ("Histogram of e2e request latency in seconds.", _LATENCY),
    "request_queue_time_seconds": ("Time spent in WAITING phase for request.", _LATENCY),
    "request_inference_time_seconds": ("Time spent in RUNNING phase for request.", _LATENCY),
    "request_prefill_time_seconds": ("Time spent in PREFILL phase for request.", _LATENCY),
    "request_decode_time_seconds": ("Time spent in DECODE phase for request.", _LATENCY),
    "request_prefill_kv_computed_tokens": ("New KV tokens computed during prefill.", None),
}


class _Histogram:
    __slots__ = ("bounds", "counts", "number", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * len(bounds)
        self.number = 0
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        index = bisect.bisect_left(self.bounds, value)
        if index < len(self.counts):
            self.counts[index] += times
        self.number += times
        self.total += value * times

    def lines(self, name: str, labels: str) -> Iterable[str]:
        running = 0
        for bound, number in zip(self.bounds, self.counts, strict=True):
            running += number
            yield f'{name}_bucket{{{labels},le="{float(bound)}"}} {float(running)}'
        yield f'{name}_bucket{{{labels},le="+Inf"}} {float(self.number)}'
        yield f"{name}_count{{{labels}}} {float(self.number)}"
        yield f"{name}_sum{{{labels}}} {self.total}"


class Metrics:
    """The metrics of one engine.

    Args:
        model_name: The served name, for the label `model_name`.
        max_model_len: The last bucket of the token histograms.
        cache: The labels of `vllm:cache_config_info`.
    """

    def __init__(self, model_name: str, max_model_len: int, cache: Mapping[str, object]) -> None:
        self._labels = f'engine="0",model_name="{_escape(model_name)}"'
        self._cache = ",".join(f'{key}="{_escape(str(value))}"' for key, value in cache.items())
        self.counters = dict.fromkeys(_COUNTERS, 0)
        self.gauges = dict.fromkeys(_GAUGES, 0.0)
        self.finished = dict.fromkeys(FINISH_REASONS, 0)
        self.by_source = dict.fromkeys(_SOURCES, 0)
        tokens = _one_two_five(max_model_len)
        self._histograms = {
            name: _Histogram(tokens if bounds is None else bounds)
            for name, (_, bounds) in _HISTOGRAMS.items()
        }

    def observe(self, name: str, value: float, times: int = 1) -> None:
        """Add a value to a histogram; the name has no prefix `vllm:`."""
        self._histograms[name].observe(value, times)

    def render(self) -> str:
        """The response of /metrics."""
        lines: list[str] = []
        for name, text in _GAUGES.items():
            lines += _head(name, text, "gauge")
            lines.append(f"vllm:{name}{{{self._labels}}} {float(self.gauges[name])}")
        lines += _head("engine_sleep_state", "Engine sleep state.", "gauge")
        for state in ("awake", "weights_offloaded", "discard_all"):
            value = float(state == "awake")
            lines.append(f'vllm:engine_sleep_state{{{self._labels},sleep_state="{state}"}} {value}')
        lines += _head("cache_config_info", "Information of the LLMEngine CacheConfig", "gauge")
        lines.append(f'vllm:cache_config_info{{{self._cache},engine="0"}} 1.0')
        for name, text in _COUNTERS.items():
            lines += _head(f"{name}_total", text, "counter")
            lines.append(f"vllm:{name}_total{{{self._labels}}} {float(self.counters[name])}")
        lines += _head("request_success_total", "Successfully processed requests.", "counter")
        lines += self._split("request_success_total", "finished_reason", self.finished)
        lines += _head("prompt_tokens_by_source_total", "Prompt tokens by source.", "counter")
        lines += self._split("prompt_tokens_by_source_total", "source", self.by_source)
        for name, (text, _) in _HISTOGRAMS.items():
            lines += _head(name, text, "histogram")
            lines += self._histograms[name].lines(f"vllm:{name}", self._labels)
        return "\n".join(lines) + "\n"

    def _split(self, name: str, label: str, values: Mapping[str, int]) -> list[str]:
        return [
            f'vllm:{name}{{{self._labels},{label}="{key}"}} {float(value)}'
            for key, value in values.items()
        ]


def _head(name: str, text: str, kind: str) -> tuple[str, str]:
    return f"# HELP vllm:{name} {text}", f"# TYPE vllm:{name} {kind}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _one_two_five(most: int) -> list[int]:
    """1, 2, 5, 10, 20, … up to `most`."""
    buckets: list[int] = []
    exponent = 0
    while True:
        for mantissa in (1, 2, 5):
            if mantissa * 10**exponent > most:
                return buckets
            buckets.append(mantissa * 10**exponent)
        exponent += 1
