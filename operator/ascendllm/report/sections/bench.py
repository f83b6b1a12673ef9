"""Throughput and latency: the figures, the sweep, and before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm.report.blocks import Block, Paragraph, Section, Table
from ascendllm.report.sections.parts import part, rows_of, signed, verdict
from ascendllm.report.table import number

__all__ = ["bench"]

_LATENCY = ("TTFT", "TPOT", "ITL", "E2EL")
_ROWS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("Tokens of a prompt / an answer", ("inputTokens", "outputTokens"), ""),
    ("Tokens that all prompts begin with", ("prefixTokens",), ""),
    ("Requests in flight", ("concurrency",), ""),
    ("Requests per second sent", ("requestRate",), "req/s"),
    ("Requests completed / failed", ("completed", "failed"), ""),
    ("Requests of others meanwhile", ("otherRequests",), ""),
    ("Prompt tokens (as the server counted)", ("totalInputTokens",), ""),
    ("Generated tokens (as the server counted)", ("totalOutputTokens",), ""),
    ("Duration", ("duration",), "s"),
    ("Request throughput", ("requestThroughput",), "req/s"),
    ("Requests that kept to goodput", ("requestGoodput",), "req/s"),
    ("Output throughput", ("outputThroughput",), "tok/s"),
    ("Output throughput per NPU", ("outputThroughputPerNpu",), "tok/s"),
    ("Total token throughput", ("totalTokenThroughput",), "tok/s"),
    ("Opening a connection (in no other figure)", ("connectMs",), "ms"),
    ("Lateness of the measuring client, at most", ("clientLagMs",), "ms"),
    ("Pods / processes that sent", ("shards", "processes"), ""),
    ("Prompts", ("dataset",), ""),
    ("Data set", ("datasetHash",), ""),
)
_MEANINGS = (
    "TTFT: time to first token; TPOT: time per output token after the first; ITL: gap between "
    "tokens; E2EL: a request's whole time; all in ms."
)
_SWEEP = (
    ("Concurrency", "concurrency"),
    ("Completed", "completed"),
    ("req/s", "requestThroughput"),
    ("Output tok/s", "outputThroughput"),
    ("Total tok/s", "totalTokenThroughput"),
    ("TTFT mean", "meanTtftMs"),
    ("TTFT p99", "p99TtftMs"),
    ("TPOT mean", "meanTpotMs"),
    ("TPOT p99", "p99TpotMs"),
    ("E2EL mean", "meanE2elMs"),
    ("E2EL p99", "p99E2elMs"),
)
_COUNTS = frozenset({"concurrency", "completed"})


def bench(check: Mapping[str, Any]) -> Section:
    """The section, with as much as was measured."""
    blocks: list[Block] = [verdict(check)]
    if "outputThroughput" in check:
        blocks += [Table(("", ""), _figures(check)), *_latencies(check)]
    blocks += [*_sweep(check), *_long_context(check), *_comparison(check)]
    return Section("Throughput and latency", blocks)


def _figures(check: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, keys, unit in _ROWS:
        values = [check.get(key) for key in keys]
        if any(value is not None for value in values):
            shown = " / ".join(
                (number(value) if unit else str(value)) if value is not None else "-"
                for value in values
            )
            rows.append((name, f"{shown} {unit}".rstrip()))
    return rows


def _latencies(check: Mapping[str, Any]) -> list[Block]:
    rows = []
    for metric in _LATENCY:
        key = metric.capitalize() if metric != "E2EL" else "E2el"
        values = [check.get(f"{name}{key}Ms") for name in ("mean", "median", "std", "p99")]
        if any(value is not None for value in values):
            rows.append((metric, *(number(value) for value in values)))
    if not rows:
        return []
    return [
        Table(("Latency (ms)", "Mean", "Median", "Std. deviation", "p99"), rows),
        Paragraph(_MEANINGS),
    ]


def _sweep(check: Mapping[str, Any]) -> list[Block]:
    points = rows_of(check, "sweep")
    if not points:
        return []
    rows = [
        [str(p.get(key, "-")) if key in _COUNTS else number(p.get(key)) for _, key in _SWEEP]
        for p in points
    ]
    return [
        Paragraph("By concurrency; the figures above are those of the highest output throughput:"),
        Table([name for name, _ in _SWEEP], rows),
    ]


def _long_context(check: Mapping[str, Any]) -> list[Block]:
    case = part(check, "longContext")
    if not case:
        return []
    row = (
        str(case.get("inputTokens", "-")),
        str(case.get("outputTokens", "-")),
        *(number(case.get(key)) for key in ("ttftMs", "tpotMs", "e2elMs")),
    )
    return [
        Paragraph("One request that fills the longest context:"),
        Table(("Prompt tokens", "Generated tokens", "TTFT", "TPOT", "E2EL"), [row]),
    ]


def _comparison(check: Mapping[str, Any]) -> list[Block]:
    compared = rows_of(check, "comparison")
    if not compared:
        return []
    rows = [
        (
            str(row.get("figure", "")),
            number(row.get("before")),
            number(row.get("after")),
            f"{signed(row['changePercent'])} %" if row.get("changePercent") is not None else "-",
        )
        for row in compared
    ]
    return [Paragraph("Before and after:"), Table(("Figure", "Before", "After", "Change"), rows)]
