"""`ascendllm report`: the proof of one resource as a document.

The sections are those that people write by hand after a deployment: what serves, how it was
started and reached, accuracy against the published figure, throughput and latency, and what the
verdict is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm.decide.checks import CHECKS
from ascendllm.report.blocks import Block, Document, Paragraph, Section, Verdict
from ascendllm.report.conditions import ready_condition
from ascendllm.report.sections.bench import bench
from ascendllm.report.sections.evals import evals
from ascendllm.report.sections.mmlu import mmlu
from ascendllm.report.sections.parity import parity
from ascendllm.report.sections.provenance import history, provenance
from ascendllm.report.sections.serving import serving, started
from ascendllm.report.sections.smoke import smoke

__all__ = ["document"]


def document(
    resource: Mapping[str, Any],
    *,
    subjects: str | None = None,
    template: Mapping[str, Any] | None = None,
) -> Document:
    """The document.

    Args:
        resource: The AscendLLM with its status.
        subjects: MMLU's table by subject, from the run's ConfigMap, where it could be had.
        template: The pod template that the served revision recorded, where it could be had.
    """
    status = resource.get("status") or {}
    checks = {
        name: check
        for name in CHECKS
        if isinstance(check := (status.get("validation") or {}).get(name), Mapping)
    }
    sections = [serving(resource, status)]
    launch = started(template) if template is not None else None
    sections += [launch] if launch is not None else []
    sections += _checks(checks, (resource.get("spec") or {}).get("validation") or {}, subjects)
    if checks:
        sections.append(provenance(checks))
    if status.get("history"):
        sections.append(history(status["history"]))
    title = str(status.get("model", resource["metadata"]["name"]))
    return Document(title, _summary(resource, status), sections)


def _checks(
    checks: Mapping[str, Mapping[str, Any]], asked: Mapping[str, Any], subjects: str | None
) -> list[Section]:
    """A section a check, in the order in which people ask: does it answer, how well, how fast."""
    found: list[Section] = []
    if "dummy" in checks:
        found.append(smoke(checks["dummy"], "Dummy: the architecture, with random weights"))
    if "smoke" in checks:
        found.append(smoke(checks["smoke"]))
    if "mmlu" in checks:
        found.append(mmlu(checks["mmlu"], asked.get("mmlu") or {}, subjects))
    if "evals" in checks:
        found.append(evals(checks["evals"]))
    if "parity" in checks:
        found.append(parity(checks["parity"], asked.get("parity") or {}))
    if "bench" in checks:
        found.append(bench(checks["bench"]))
    return found


def _summary(resource: Mapping[str, Any], status: Mapping[str, Any]) -> list[Block]:
    ready = ready_condition(status)
    told = ready.get("message", "the operator has not seen it")
    word = f"{ready.get('status', 'Unknown')} ({ready.get('reason', 'NotSeen')})"
    blocks: list[Block] = [
        Verdict(str(status.get("verdict", "None")), label="Verdict"),
        Paragraph(f"Ready: {word}: {told}" if told else f"Ready: {word}"),
    ]
    if status.get("observedGeneration") != resource["metadata"].get("generation"):
        blocks.append(
            Paragraph("This is of an older generation of the resource: the operator is behind.")
        )
    blocks += [Paragraph(f"Warning: {warning}") for warning in status.get("warnings") or []]
    return blocks
