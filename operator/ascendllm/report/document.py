"""`ascendllm report`: the proof of one resource as a document, in Markdown.

The sections are those that people write by hand after a deployment: what serves, how it was
reached, accuracy against the published figure, throughput and latency, and what the verdict is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ascendllm.report.conditions import ready_condition
from ascendllm.report.table import number

__all__ = ["markdown"]

_BENCH_ROWS = (
    ("Requests completed / failed", ("completed", "failed"), ""),
    ("Prompt tokens (as the server counted)", ("totalInputTokens",), ""),
    ("Generated tokens (as the server counted)", ("totalOutputTokens",), ""),
    ("Duration", ("duration",), "s"),
    ("Request throughput", ("requestThroughput",), "req/s"),
    ("Output throughput", ("outputThroughput",), "tok/s"),
    ("Output throughput per NPU", ("outputThroughputPerNpu",), "tok/s"),
    ("Total token throughput", ("totalTokenThroughput",), "tok/s"),
    ("Time to first token, mean / median / p99", ("meanTtftMs", "medianTtftMs", "p99TtftMs"), "ms"),
    ("Time per output token after the first, mean / median / p99",
     ("meanTpotMs", "medianTpotMs", "p99TpotMs"), "ms"),
    ("Inter-token latency, mean / median / p99", ("meanItlMs", "medianItlMs", "p99ItlMs"), "ms"),
    ("Request latency, mean / median / p99", ("meanE2elMs", "medianE2elMs", "p99E2elMs"), "ms"),
    ("Lateness of the measuring client, at most", ("clientLagMs",), "ms"),
)  # fmt: skip


def markdown(resource: Mapping[str, Any], subjects: str | None = None) -> str:
    """The document.

    Args:
        resource: The AscendLLM with its status.
        subjects: MMLU's table by subject, from the run's ConfigMap, where it could be had.
    """
    status = resource.get("status") or {}
    metadata = resource["metadata"]
    checks = status.get("validation") or {}
    parts = [
        f"# {status.get('model', metadata['name'])}",
        _summary(resource, status),
        "## What serves",
        _what_serves(resource, status),
    ]
    if checks.get("smoke"):
        parts += ["## Smoke", _smoke(checks["smoke"])]
    if checks.get("mmlu"):
        parts += ["## MMLU", _mmlu(checks["mmlu"], subjects)]
    if checks.get("bench"):
        parts += ["## Throughput and latency", _bench(checks["bench"])]
    if status.get("history"):
        parts += ["## History", _history(status["history"])]
    return "\n\n".join(parts) + "\n"


def _summary(resource: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    metadata = resource["metadata"]
    ready = ready_condition(status)
    told = ready.get("message", "the operator has not seen it")
    stale = status.get("observedGeneration") != metadata.get("generation")
    lines = [
        f"Verdict: **{status.get('verdict', 'None')}**. Ready: {ready.get('status', 'Unknown')} "
        f"({ready.get('reason', 'NotSeen')}): {told}"
    ]
    if stale:
        lines.append("This is of an older generation of the resource: the operator is behind.")
    return "\n\n".join(lines)


def _what_serves(resource: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    metadata = resource["metadata"]
    runtime = status.get("runtime") or {}
    startup = status.get("startup") or {}
    rows = [
        ("Resource", f"{metadata.get('namespace', '')}/{metadata['name']}"),
        ("Served revision", status.get("servedRevision")),
        ("Candidate revision", status.get("candidateRevision")),
        ("URL", status.get("url")),
        ("Image", runtime.get("image")),
        ("Image digest", runtime.get("imageID")),
        ("vLLM", runtime.get("vllm")),
        ("NPUs", status.get("npus")),
        ("Pods ready", status.get("readyReplicas")),
        ("Launch", f"{startup['launchSeconds']} s" if "launchSeconds" in startup else None),
    ]
    return _table(("", ""), [(name, str(value)) for name, value in rows if value is not None])


def _smoke(check: Mapping[str, Any]) -> str:
    rows = [
        (
            str(item.get("name", "")),
            str(item.get("result", "")),
            number(item.get("latencyMs")),
            f"expected {item['expected']}, seen {item.get('seen', 'nothing')}"
            if item.get("result") not in ("Passed", "Skipped") and item.get("expected")
            else "",
        )
        for item in check.get("checks") or []
    ]
    table = _table(("Check", "Result", "Latency (ms)", ""), rows) if rows else ""
    return "\n\n".join(filter(None, [_verdict(check), table]))


def _mmlu(check: Mapping[str, Any], subjects: str | None) -> str:
    rows = [
        ("Protocol", f"{check.get('protocol', '-')}, {check.get('shots', '-')} shots"),
        (
            "Questions / subjects",
            f"{check.get('questions', '-')} / {check.get('subjectCount', '-')}",
        ),
        ("Macro average", f"{number(check.get('macroAverage'))} %"),
        ("Micro average", f"{number(check.get('microAverage'))} %"),
        ("Baseline", f"{check.get('baseline', '-')} ({check.get('baselineAverage', '-')})"),
        ("Difference", f"{number(check.get('delta'))} points"),
        ("Tolerance", f"{check.get('tolerance', '-')} points"),
        ("Standard error", f"{number(check.get('standardError'))} points"),
        ("Data set", str(check.get("datasetHash", "-"))),
    ]
    parts = [_verdict(check)]
    if "macroAverage" in check:
        parts.append(_table(("", ""), rows))
    if check.get("customData"):
        parts.append("The data is custom: it is not the published MMLU.")
    if subjects:
        parts.append(f"```\n{subjects.rstrip()}\n```")
    return "\n\n".join(parts)


def _bench(check: Mapping[str, Any]) -> str:
    rows = []
    for name, keys, unit in _BENCH_ROWS:
        values = [check.get(key) for key in keys]
        if any(value is not None for value in values):
            shown = " / ".join(number(value) if unit else str(value) for value in values)
            rows.append((name, f"{shown} {unit}".rstrip()))
    table = _table(("", ""), rows) if "outputThroughput" in check else ""
    return "\n\n".join(filter(None, [_verdict(check), table]))


def _history(entries: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        tuple(
            str(entry.get(key, ""))
            for key in ("finishedAt", "check", "revision", "result", "report")
        )
        for entry in entries
    ]
    return _table(("Finished", "Check", "Revision", "Result", "Report"), rows)


def _verdict(check: Mapping[str, Any]) -> str:
    told = f": {check['message']}" if check.get("message") else ""
    return f"**{check.get('result', 'Pending')}**{told}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
