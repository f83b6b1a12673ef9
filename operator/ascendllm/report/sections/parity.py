"""Parity: how far the model is from the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm.report.blocks import Block, Paragraph, Section, Table
from ascendllm.report.sections.parts import facts, part, signed, verdict
from ascendllm.report.table import number

__all__ = ["parity"]


def parity(check: Mapping[str, Any], asked: Mapping[str, Any]) -> Section:
    """The section.

    Args:
        check: Its part of the status.
        asked: Its part of the spec.
    """
    blocks: list[Block] = [verdict(check)]
    if "rankAgreement" in check:
        blocks.append(Table(("Figure", "Here", "Bound"), _rows(check, asked)))
        blocks += facts(
            [
                ("Prompts", check.get("prompts")),
                ("Tokens", check.get("tokens")),
                ("Perplexity", number(check.get("perplexity"), 4)),
                ("Perplexity of the reference", number(check.get("referencePerplexity"), 4)),
                ("First divergence", _divergence(check)),
                ("Reference", check.get("referenceHash")),
            ]
        )
        if check.get("thresholdsFrom") == "control":
            blocks.append(Paragraph("The bounds are those of the reference's control run."))
    return Section("Parity", blocks)


def _rows(check: Mapping[str, Any], asked: Mapping[str, Any]) -> list[tuple[str, ...]]:
    bounds = part(check, "thresholds") or part(asked, "thresholds")
    return [
        (
            "First choice agrees (teacher-forced)",
            f"{number(check.get('rankAgreement'))} %",
            _bound("at least", bounds.get("minRankAgreement"), " %"),
        ),
        (
            "Perplexity, difference",
            f"{signed(check.get('perplexityDifference'), 4)} %",
            _bound("at most", bounds.get("maxPerplexityDifference"), " %"),
        ),
        (
            "Log-probability, mean difference",
            f"{number(check.get('meanLogprobDifference'), 4)} nat",
            _bound("at most", bounds.get("maxMeanLogprobDifference"), " nat"),
        ),
        (
            "Log-probability, 99th percentile",
            f"{number(check.get('p99LogprobDifference'), 4)} nat",
            _bound("at most", bounds.get("maxP99LogprobDifference"), " nat"),
        ),
        (
            "Log-probability, largest difference",
            f"{number(check.get('maxLogprobDifference'), 4)} nat",
            "-",
        ),
    ]


def _bound(word: str, value: object, unit: str) -> str:
    return f"{word} {value}{unit}" if value is not None else "-"


def _divergence(check: Mapping[str, Any]) -> str | None:
    found = part(check, "firstDivergence")
    if not found:
        return None
    if not found.get("diverged"):
        return "none of the answers differs"
    return (
        f"{found['diverged']} of {check.get('prompts', '-')} answers differ; earliest at token "
        f"{found.get('earliest', '-')}, median {found.get('median', '-')}"
    )
