"""MMLU: the averages, the published figure, and how they were reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm.report.blocks import Block, Paragraph, Preformatted, Section, Table
from ascendllm.report.sections.parts import facts, part, signed, texts, verdict
from ascendllm.report.table import number

__all__ = ["mmlu"]


def mmlu(
    check: Mapping[str, Any], asked: Mapping[str, Any], subjects: str | None = None
) -> Section:
    """The section.

    Args:
        check: Its part of the status.
        asked: Its part of the spec.
        subjects: The table by subject, from the run's ConfigMap, where it could be had.
    """
    blocks: list[Block] = [verdict(check)]
    if "macroAverage" in check:
        source = part(asked, "baseline").get("source")
        blocks += [
            Table(("Figure", "Here", "Baseline", "Difference"), _averages(check)),
            *facts(
                [
                    ("Protocol", check.get("protocol")),
                    ("Shots", check.get("shots")),
                    ("Letters read by", check.get("method")),
                    ("Questions", check.get("questions")),
                    ("Subjects", check.get("subjectCount")),
                    ("Without a valid answer", check.get("unanswered")),
                    ("Without a letter in the answer", check.get("unextracted")),
                    ("Tolerance", _points(check.get("tolerance"))),
                    ("Standard error", _points(check.get("standardError"))),
                    ("Source of the baseline", source),
                    ("Protocol of the baseline", check.get("baselineProtocol")),
                    ("Shots of the baseline", check.get("baselineShots")),
                    ("Questions that lost shots", check.get("shortened")),
                    ("Data set", check.get("datasetHash")),
                ]
            ),
        ]
    paired = part(check, "paired")
    if paired:
        blocks += [
            Paragraph("Question by question against the reference:"),
            *facts(
                [
                    ("Questions compared", paired.get("questions")),
                    ("Looks", paired.get("looks")),
                    ("Better / worse", f"{paired.get('better')} / {paired.get('worse')}"),
                    ("Flips", f"{number(paired.get('flipRate'))} %"),
                    ("Difference", f"{signed(paired.get('delta'))} points"),
                    (
                        "Bounds",
                        f"{signed(paired.get('lower'))} to {signed(paired.get('upper'))} points",
                    ),
                    ("Subjects that shifted", ", ".join(texts(check, "shiftedSubjects"))),
                    ("Reference", paired.get("referenceHash")),
                ]
            ),
        ]
    if check.get("customData"):
        blocks.append(Paragraph("The data is custom: it is not the published MMLU."))
    if subjects:
        blocks.append(Preformatted(subjects))
    return Section("MMLU", blocks)


def _averages(check: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for average in ("macro", "micro"):
        held = check.get("baselineAverage") == average
        rows.append(
            (
                f"{average.capitalize()} average",
                f"{number(check.get(f'{average}Average'))} %",
                f"{number(check.get('baseline'))} %" if held else "-",
                signed(check.get("delta")) if held else "-",
            )
        )
    return rows


def _points(value: object) -> str | None:
    return f"{number(value)} points" if value is not None else None
