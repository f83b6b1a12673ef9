"""What stored figures come to under the present bounds.

A job judges with what the spec said when it ran. Its figures stay, its verdict is taken anew at
every look: so a new baseline, tolerance or threshold counts at once, and runs nothing. Some bounds
are of other objects: the last passed run of bench (`regression`), another resource's figures
(`compareTo`), each request's latencies (`goodput`, raised as `RequestsNeeded` and `PeerNeeded`).

What a run came to when it was sealed is sealed with it, regression and all. That is what "the last
passed run" means: a run that was worse than the one before, and failed for it, is no measure for
the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ascendllm.api.checks.bench import BenchCheck, CompareTo
from ascendllm.api.checks.evals import Eval
from ascendllm.api.checks.mmlu import MmluCheck
from ascendllm.api.checks.parity import ParityCheck
from ascendllm.api.spec import Spec
from ascendllm.checks.judging.bench import judge_bench, read_requests
from ascendllm.checks.judging.bench_goodput import Latencies
from ascendllm.checks.judging.evals import judge_evals
from ascendllm.checks.judging.judgement import Judgement
from ascendllm.checks.judging.mmlu import judge_mmlu
from ascendllm.checks.judging.parity import judge_parity
from ascendllm.checks.result import CheckResult
from ascendllm.decide.needs import PeerNeeded, RequestsNeeded
from ascendllm.exceptions import CheckError
from ascendllm.state.observed import Observed
from ascendllm.state.runs import Run

__all__ = ["BOUND_REASONS", "judged", "previous_passed"]

BOUND_REASONS = frozenset(
    {
        "AmbiguousMetric",
        "BadBaseline",
        "BadGoodput",
        "BadRegression",
        "BadThreshold",
        "FigureMissing",
        "NoSuchMetric",
        "NoThresholds",
        "NotPercent",
        "ProtocolMismatch",
        "TooFewTokens",
        "UnknownFigure",
    }
)
"""Why a job that has measured reached no verdict: for a bound that does not suit its figures.
Measuring again would change nothing, another bound does."""

_JUDGED = frozenset(
    {"baseline", "baselineAverage", "baselineProtocol", "baselineShots", "delta", "tolerance"}
)
"""Figures that follow from a bound; with another one they are others."""

Figures = Mapping[str, Any]


def judged(spec: Spec, run: Run, observed: Observed) -> CheckResult:
    """A finished run's result under the present bounds.

    Raises:
        PeerNeeded: Another resource must be looked up first.
        RequestsNeeded: A run's latencies must be looked up first.
    """
    outcome = run.outcome
    assert outcome is not None, "only finished runs are judged"  # noqa: S101
    fields = getattr(spec.validation, run.check, None) if spec.validation is not None else None
    judge = _JUDGES.get(run.check)
    if fields is None or judge is None:
        return outcome
    judgement = judge(fields, _with_verdict(outcome), run, observed)
    stays = {key: value for key, value in outcome.figures.items() if key not in _JUDGED}
    return replace(
        outcome,
        result=judgement.result,
        reason=judgement.reason,
        message=judgement.message,
        figures={**stays, **judgement.figures},
    )


def previous_passed(run: Run, observed: Observed) -> Run | None:
    """The newest run before this one that passed and measured the same on as many NPUs."""
    assert run.outcome is not None, "only finished runs are compared"  # noqa: S101
    for other in observed.runs:
        if (
            other.check == run.check
            and other.name != run.name
            and other.outcome is not None
            and other.outcome.result == "Passed"
            and (other.started_at, other.serial) <= (run.started_at, run.serial)
            and other.measures == run.measures
            and other.npus == run.npus
            and other.outcome.protocol_number == run.outcome.protocol_number
            and other.outcome.figures.get("datasetHash") == run.outcome.figures.get("datasetHash")
        ):
            return other
    return None


def _with_verdict(outcome: CheckResult) -> dict[str, Any]:
    """The flat result, as the judges take it."""
    figures = {**outcome.figures, "protocolNumber": outcome.protocol_number}
    if outcome.reason in BOUND_REASONS:
        return figures
    return figures | {
        "result": outcome.result,
        "reason": outcome.reason,
        "message": outcome.message,
    }


def _bench(bench: BenchCheck, figures: Figures, run: Run, observed: Observed) -> Judgement:
    assert run.outcome is not None  # noqa: S101
    previous = previous_passed(run, observed) if bench.regression is not None else None
    compare_to, note = _compared(bench.compare_to, observed)
    judgement = judge_bench(
        figures,
        thresholds={
            name: bound.model_dump(by_alias=True, exclude_none=True)
            for name, bound in (bench.thresholds or {}).items()
        },
        goodput=(
            bench.goodput.model_dump(by_alias=True, exclude_none=True)
            if bench.goodput is not None
            else None
        ),
        regression=(
            bench.regression.model_dump(by_alias=True) if bench.regression is not None else None
        ),
        previous=(
            {**previous.outcome.figures, "protocolNumber": previous.outcome.protocol_number}
            if previous is not None and previous.outcome is not None
            else None
        ),
        compare_to=compare_to,
        requests=_requests(run, observed) if bench.goodput is not None else None,
    )
    return replace(judgement, message=judgement.message + note)


def _compared(compare_to: CompareTo | None, observed: Observed) -> tuple[Figures | None, str]:
    """The figures to stand beside ours, or why there are none: that decides nothing."""
    if compare_to is None:
        return None, ""
    if compare_to.name is None:
        return compare_to.figures or {}, ""
    name = compare_to.name
    if name not in observed.peers:
        raise PeerNeeded(name)
    peer = observed.peers[name]
    if peer is None:
        return None, f"; not compared: there is no AscendLLM {name} in this namespace"
    bench = ((peer.get("status") or {}).get("validation") or {}).get("bench") or {}
    if bench.get("result") not in ("Passed", "Failed"):
        return None, f"; not compared: {name} has no figures of bench yet"
    return bench, ""


def _requests(run: Run, observed: Observed) -> list[Latencies] | None:
    """Each request's latencies; None where the run has none that can be read."""
    if run.outcome is None or run.outcome.result not in ("Passed", "Failed"):
        return None
    if run.name not in observed.requests:
        raise RequestsNeeded(run.name)
    text = observed.requests[run.name]
    if text is None:
        return None
    try:
        return _read(text)
    except CheckError:
        return None


@lru_cache(maxsize=2)
def _read(text: str) -> list[Latencies]:
    return read_requests(text)


def _mmlu(mmlu: MmluCheck, figures: Figures, run: Run, observed: Observed) -> Judgement:
    baseline = mmlu.baseline.model_dump(by_alias=True) if mmlu.baseline is not None else None
    return judge_mmlu(figures, baseline, Decimal(str(mmlu.tolerance)))


def _evals(evals: list[Eval], figures: Figures, run: Run, observed: Observed) -> Judgement:
    return judge_evals(
        figures, [task.model_dump(by_alias=True, exclude_none=True) for task in evals]
    )


def _parity(parity: ParityCheck, figures: Figures, run: Run, observed: Observed) -> Judgement:
    thresholds = parity.thresholds
    given = thresholds.model_dump(by_alias=True, exclude_none=True) if thresholds else {}
    return judge_parity(figures, given)


Judge = Callable[[Any, Figures, Run, Observed], Judgement]

_JUDGES: Mapping[str, Judge] = {
    "bench": _bench,
    "mmlu": _mmlu,
    "evals": _evals,
    "parity": _parity,
}
"""Smoke has no bounds: what its job says stands."""
