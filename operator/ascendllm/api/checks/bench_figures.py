"""The names of bench's figures, as bounds and comparisons may name them.

`ascendllm.checks.judging.bench_figures` computes with them; a test holds the two lists together,
since the resource's description imports nothing of the checks.
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["DIRECTED", "FIGURES", "BenchFigure", "DirectedFigure"]

DirectedFigure = Literal[
    "completed",
    "failed",
    "duration",
    "requestThroughput",
    "outputThroughput",
    "totalTokenThroughput",
    "outputThroughputPerNpu",
    "requestGoodput",
    "meanTtftMs",
    "medianTtftMs",
    "stdTtftMs",
    "p99TtftMs",
    "meanTpotMs",
    "medianTpotMs",
    "stdTpotMs",
    "p99TpotMs",
    "meanItlMs",
    "medianItlMs",
    "stdItlMs",
    "p99ItlMs",
    "meanE2elMs",
    "medianE2elMs",
    "stdE2elMs",
    "p99E2elMs",
    "longContext.ttftMs",
    "longContext.tpotMs",
    "longContext.e2elMs",
    "connectMs",
    "clientLagMs",
    "otherRequests",
]
"""Figures of which one direction is better: these can become worse."""

BenchFigure = Literal[DirectedFigure, "totalInputTokens", "totalOutputTokens"]
"""Every figure of a bench that a bound may name."""

DIRECTED: tuple[str, ...] = get_args(DirectedFigure)
FIGURES: tuple[str, ...] = get_args(BenchFigure)
