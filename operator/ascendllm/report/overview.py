"""`ascendllm status`: resources in a table, and one resource with its checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ascendllm.checks.result import one_line
from ascendllm.decide.checks import CHECKS
from ascendllm.report.conditions import ready_condition
from ascendllm.report.table import aligned, number, progress_bar

__all__ = ["detail", "overview", "unused_caches"]

_HEAD = ("NAME", "MODEL", "READY", "REPLICAS", "NPUS", "VERDICT", "MMLU", "DELTA", "TOK/S", "TPOT")


def overview(resources: Sequence[Mapping[str, Any]]) -> str:
    """The columns of `kubectl get ascendllm`, with figures to two decimals."""
    return aligned([_HEAD, *(_row(resource) for resource in resources)])


def unused_caches(claims: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> str:
    """The claims of caches that were kept and that no resource uses; empty where there are none.

    Args:
        claims: The namespace's that were made for caches.
        records: The ConfigMaps of the caches that are used.
    """
    used = {record["metadata"]["name"] for record in records}
    left = [claim for claim in claims if claim["metadata"]["name"] not in used]
    if not left:
        return ""
    rows = [(claim["metadata"]["name"], _capacity(claim)) for claim in left]
    return (
        "kept caches that no resource uses (kubectl delete pvc NAME frees the room):\n"
        + aligned([("CLAIM", "SIZE"), *rows])
    )


def _capacity(claim: Mapping[str, Any]) -> str:
    return str(((claim.get("status") or {}).get("capacity") or {}).get("storage") or "-")


def detail(resource: Mapping[str, Any]) -> str:
    """One resource: its conditions, its checks, and how far they are."""
    status = resource.get("status") or {}
    lines = [overview([resource]), ""]
    conditions = [
        (c["type"], c["status"], c["reason"], c["message"]) for c in status.get("conditions") or []
    ]
    lines.append(aligned([("CONDITION", "STATUS", "REASON", "MESSAGE"), *conditions]))
    checks = status.get("validation") or {}
    if checks:
        rows = [
            (name, str(check["result"]), _attempt(check), _told(check))
            for name in CHECKS
            if (check := checks.get(name)) is not None
        ]
        lines += ["", aligned([("CHECK", "RESULT", "ATTEMPT", "MESSAGE"), *rows])]
    for warning in status.get("warnings") or []:
        lines += ["", one_line(f"warning: {warning}")]
    return "\n".join(lines)


def _row(resource: Mapping[str, Any]) -> tuple[str, ...]:
    status = resource.get("status") or {}
    ready = ready_condition(status)
    checks = status.get("validation") or {}
    mmlu, bench = checks.get("mmlu") or {}, checks.get("bench") or {}
    delta = mmlu.get("delta")
    return (
        resource["metadata"]["name"],
        str(status.get("model", "-")),
        f"{ready.get('status', 'Unknown')} ({ready.get('reason', 'NotSeen')})",
        str(status.get("readyReplicas", "-")),
        str(status.get("npus", "-")),
        str(status.get("verdict", "-")),
        number(mmlu.get("macroAverage")),
        f"{delta:+.2f}" if isinstance(delta, int | float) else "-",
        number(bench.get("outputThroughput")),
        number(bench.get("meanTpotMs")),
    )


def _attempt(check: Mapping[str, Any]) -> str:
    return str(check.get("attempt", "-"))


def _told(check: Mapping[str, Any]) -> str:
    progress = check.get("progress")
    if check.get("result") == "Running" and progress:
        told = progress_bar(progress["done"], progress["total"])
        if progress.get("ratePerSecond"):
            told += f", {number(progress['ratePerSecond'], 1)}/s"
        if progress.get("etaSeconds") is not None:
            told += f", {progress['etaSeconds']} s left"
        return told
    return str(check.get("message") or "")
