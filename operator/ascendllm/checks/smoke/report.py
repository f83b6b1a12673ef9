"""The findings of smoke, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass, field

from ascendllm.checks.result import Verdict, rounded
from ascendllm.checks.runner import Outcome
from ascendllm.exceptions import CheckError

__all__ = ["SEEN", "Report"]

SEEN = 300
"""Characters of what was seen: all findings fit into a result of 64 KiB."""


@dataclass(slots=True)
class Report:
    """What was found so far.

    Args:
        findings: `{name, result, latencyMs?, expected?, seen?}` in the order of the checks.
        facts: The server's version and context.
        error: What ended smoke without a verdict.
    """

    findings: list[dict[str, object]] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    error: CheckError | None = None

    def note(
        self,
        name: str,
        result: Verdict,
        seconds: float | None = None,
        expected: str | None = None,
        seen: str | None = None,
    ) -> None:
        """Add a finding."""
        finding: dict[str, object] = {"name": name, "result": result}
        if seconds is not None:
            finding["latencyMs"] = rounded(seconds * 1000)
        if expected is not None:
            finding["expected"] = expected[:SEEN]
        if seen is not None:
            finding["seen"] = seen[:SEEN]
        self.findings.append(finding)

    def figures(self) -> dict[str, object]:
        """The figures of the result."""
        return {"checks": list(self.findings)} | self.facts

    def outcome(self) -> Outcome:
        """What it all comes to."""
        if self.error is not None:
            return Outcome("Error", self.error.reason, self.error.message, self.figures())
        failed, soft, skipped = (
            [finding for finding in self.findings if finding["result"] == result]
            for result in ("Failed", "Inconclusive", "Skipped")
        )
        notes = f"; noted only: {_told(soft)}" if soft else ""
        if failed:
            return Outcome("Failed", "WrongAnswers", _told(failed) + notes, self.figures())
        passed = len(self.findings) - len(soft) - len(skipped)
        left = f", {len(skipped)} skipped" if skipped else ""
        message = f"{passed} checks as expected{left}{notes}"
        return Outcome(
            "Passed", "PassedWithNotes" if soft else "AllPassed", message, self.figures()
        )


def _told(findings: list[dict[str, object]]) -> str:
    return "; ".join(
        f"{finding['name']}: expected {finding.get('expected')}, seen {finding.get('seen')}"
        for finding in findings
    )
