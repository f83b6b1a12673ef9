"""What bench found."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ascendllm.api.model import ResourceModel
from ascendllm.api.status.check import CheckStatus

__all__ = ["BenchStatus", "ComparedFigure", "LongContext", "SweepPoint"]


class SweepPoint(ResourceModel):
    """One concurrency of a sweep."""

    concurrency: int
    """Requests in flight."""
    completed: int | None = None
    """Requests answered in full."""
    duration: float | None = None
    """Seconds from the first request's start to the last one's end."""
    request_throughput: float | None = None
    """Requests per second."""
    output_throughput: float | None = None
    """Generated tokens per second."""
    total_token_throughput: float | None = None
    """Prompt and generated tokens per second."""
    mean_ttft_ms: float | None = None
    """Time to first token, mean."""
    p99_ttft_ms: Annotated[float | None, Field(alias="p99TtftMs")] = None
    """Time to first token, 99th percentile."""
    mean_tpot_ms: float | None = None
    """Time per output token after the first, mean."""
    p99_tpot_ms: Annotated[float | None, Field(alias="p99TpotMs")] = None
    """Time per output token after the first, 99th percentile."""
    mean_itl_ms: float | None = None
    """Gap between tokens, mean."""
    mean_e2el_ms: Annotated[float | None, Field(alias="meanE2elMs")] = None
    """A request's whole time, mean."""
    p99_e2el_ms: Annotated[float | None, Field(alias="p99E2elMs")] = None
    """A request's whole time, 99th percentile."""


class LongContext(ResourceModel):
    """The one request that filled the longest context."""

    input_tokens: int | None = None
    """Its prompt's tokens."""
    output_tokens: int | None = None
    """Its answer's tokens."""
    ttft_ms: float | None = None
    """Its time to first token."""
    tpot_ms: float | None = None
    """Its time per output token after the first."""
    e2el_ms: Annotated[float | None, Field(alias="e2elMs")] = None
    """Its whole time."""


class ComparedFigure(ResourceModel):
    """A figure before and after."""

    figure: str
    """The figure's name."""
    before: float | None = None
    """What it was: of compareTo."""
    after: float | None = None
    """What it is."""
    change_percent: float | None = None
    """How far it moved, in percent of what it was."""


class BenchStatus(CheckStatus):
    """Throughput and latency, with the names and definitions of `vllm bench serve` 0.18."""

    completed: int | None = None
    """Requests answered in full."""
    failed: int | None = None
    """Requests that failed; a bench with one is an Error."""
    total_input_tokens: int | None = None
    """Prompt tokens, as the server counted."""
    total_output_tokens: int | None = None
    """Generated tokens, as the server counted."""
    duration: float | None = None
    """Seconds from the first request's start to the last one's end."""
    concurrency: int | None = None
    """Requests in flight."""
    request_throughput: float | None = None
    """Requests per second."""
    output_throughput: float | None = None
    """Generated tokens per second."""
    output_throughput_per_npu: float | None = None
    """Generated tokens per second and NPU."""
    total_token_throughput: float | None = None
    """Prompt and generated tokens per second."""
    mean_ttft_ms: float | None = None
    """Time to first token, mean."""
    median_ttft_ms: float | None = None
    """Time to first token, median."""
    std_ttft_ms: float | None = None
    """Time to first token, standard deviation."""
    p99_ttft_ms: Annotated[float | None, Field(alias="p99TtftMs")] = None
    """Time to first token, 99th percentile."""
    mean_tpot_ms: float | None = None
    """Time per output token after the first, mean."""
    median_tpot_ms: float | None = None
    """Time per output token after the first, median."""
    std_tpot_ms: float | None = None
    """Time per output token after the first, standard deviation."""
    p99_tpot_ms: Annotated[float | None, Field(alias="p99TpotMs")] = None
    """Time per output token after the first, 99th percentile."""
    mean_itl_ms: float | None = None
    """Gap between tokens, mean."""
    median_itl_ms: float | None = None
    """Gap between tokens, median."""
    std_itl_ms: float | None = None
    """Gap between tokens, standard deviation."""
    p99_itl_ms: Annotated[float | None, Field(alias="p99ItlMs")] = None
    """Gap between tokens, 99th percentile."""
    mean_e2el_ms: Annotated[float | None, Field(alias="meanE2elMs")] = None
    """A request's whole time, mean."""
    median_e2el_ms: Annotated[float | None, Field(alias="medianE2elMs")] = None
    """A request's whole time, median."""
    std_e2el_ms: Annotated[float | None, Field(alias="stdE2elMs")] = None
    """A request's whole time, standard deviation."""
    p99_e2el_ms: Annotated[float | None, Field(alias="p99E2elMs")] = None
    """A request's whole time, 99th percentile."""
    client_lag_ms: float | None = None
    """How late the measuring client itself was, in the worst case."""
    connect_ms: float | None = None
    """Opening a connection, mean; in none of the other figures."""
    request_goodput: float | None = None
    """Requests per second that kept to goodput."""
    request_rate: float | None = None
    """Requests per second that were sent; absent where there was no limit."""
    burstiness: float | None = None
    """How evenly they came."""
    processes: int | None = None
    """Processes that sent requests, in each pod."""
    shards: int | None = None
    """Pods that sent requests."""
    dataset: str | None = None
    """random or sharegpt."""
    input_tokens: int | None = None
    """Tokens of each random prompt."""
    output_tokens: int | None = None
    """Tokens of each answer."""
    prefix_tokens: int | None = None
    """Tokens before them that all prompts share."""
    dataset_hash: str | None = None
    """The hash over the data set, where it is a file."""
    other_requests: int | None = None
    """Requests of others that the server counted meanwhile."""
    sweep: list[SweepPoint] | None = None
    """Each concurrency of a sweep."""
    long_context: LongContext | None = None
    """The one request that filled the longest context."""
    comparison: list[ComparedFigure] | None = None
    """The figures beside those of compareTo."""
