"""A run with a reference: asked look by look, judged as soon as the bounds allow.

The decision at each look is a function of the answers and the tolerance alone: a run that goes on
from a checkpoint, also under another tolerance, decides as if it had asked just these questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from ascendllm.checks.mmlu.checkpoint import Answers
from ascendllm.checks.mmlu.data import DataSet
from ascendllm.checks.mmlu.looks import SEED, looks, selected
from ascendllm.checks.mmlu.paired import Flips, Paired, compare, count_flips, shifted
from ascendllm.checks.mmlu.reference import Reference, require_same
from ascendllm.checks.mmlu.stages import Plan, Planner
from ascendllm.checks.result import Verdict

__all__ = ["PairedVerdict", "decide", "judge_paired", "plan_looks"]


@dataclass(frozen=True, slots=True)
class PairedVerdict:
    """What the comparison with the reference comes to.

    Args:
        result: Passed or Failed; Inconclusive where the questions of a look are not all answered.
        reason: CamelCase.
        message: The figures that decided.
        figures: `paired`, `tolerance`, and `shiftedSubjects` where there are any.
    """

    result: Verdict
    reason: str
    message: str
    figures: Mapping[str, object]


def plan_looks(reference: Reference, tolerance: Decimal, model: str | None = None) -> Planner:
    """A planner that asks no more questions than the verdict needs.

    Args:
        reference: What the answers are compared with.
        tolerance: Percent points.
        model: The name under which the reference's model was served, where that is another.

    The planner raises SpecError (`BadReference`, `OtherModel`) before a question is asked.
    """

    def plan(data: DataSet, answers: Answers) -> Plan:
        require_same(reference, answers.identity, data, model)
        sizes = _sizes(data)
        taken = [selected(sizes, look) for look in looks(sizes)]
        stages = [taken[0]] + [
            {s: sorted(set(after[s]) - set(before[s])) for s in sizes}
            for before, after in pairwise(taken)
        ]

        def enough(finished: int) -> bool:
            flips = _flips(reference, data, answers, taken[finished - 1])
            return flips is not None and decide(compare(flips), tolerance) is not None

        return Plan(stages, enough)

    return plan


def judge_paired(
    reference: Reference, data: DataSet, answers: Answers, tolerance: Decimal
) -> PairedVerdict:
    """The verdict by the first look that decides.

    Args:
        reference: What the answers are compared with; `require_same` has let it through.
        data: The questions.
        answers: All answers that there are.
        tolerance: Percent points.
    """
    sizes = _sizes(data)
    last: tuple[int, Mapping[str, Flips], Paired] | None = None
    for number, look in enumerate(looks(sizes), start=1):
        flips = _flips(reference, data, answers, selected(sizes, look))
        if flips is None:
            break
        paired = compare(flips)
        last = number, flips, paired
        if (result := decide(paired, tolerance)) is not None:
            reason = "NotInferior" if result == "Passed" else "Inferior"
            message = _message(paired, tolerance)
            return PairedVerdict(result, reason, message, _figures(reference, *last, tolerance))
    if last is None:
        message = "the questions of the first look are not all answered"
        return PairedVerdict("Inconclusive", "Undecided", message, {})
    message = f"{_message(last[2], tolerance)}; more questions are needed, and not all are answered"
    return PairedVerdict(
        "Inconclusive", "Undecided", message, _figures(reference, *last, tolerance)
    )


def decide(paired: Paired, tolerance: Decimal) -> Literal["Passed", "Failed"] | None:
    """Non-inferiority: whether the difference is certainly above, or below, minus the tolerance.

    With all questions asked the difference is exact, and decides as it is written: to two decimals,
    Passed iff delta >= -tolerance, as without a reference.

    Returns:
        None where more questions are needed.
    """
    if paired.exact:
        return "Passed" if paired.written_delta >= -tolerance else "Failed"
    lower, upper = paired.bounds
    if Decimal(lower) > -tolerance:
        return "Passed"
    return "Failed" if Decimal(upper) < -tolerance else None


def _flips(
    reference: Reference, data: DataSet, answers: Answers, look: Mapping[str, list[int]]
) -> dict[str, Flips] | None:
    """The flips among a look's questions; None where one of them is not answered."""
    if any(not answers.has(subject, i) for subject, indices in look.items() for i in indices):
        return None
    before = reference.right(data)
    found = {}
    for subject, indices in look.items():
        rows, given = data.test[subject], answers.letters[subject]
        found[subject] = count_flips(
            [before[subject][i] for i in indices],
            [given[i] == rows[i].answer for i in indices],
            len(rows),
        )
    return found


def _figures(
    reference: Reference,
    number: int,
    flips: Mapping[str, Flips],
    paired: Paired,
    tolerance: Decimal,
) -> dict[str, object]:
    about = {"referenceHash": reference.digest, "looks": number, "seed": SEED}
    figures: dict[str, object] = {"paired": about | paired.to_json(), "tolerance": float(tolerance)}
    if beyond := shifted(flips):
        figures["shiftedSubjects"] = beyond
    return figures


def _message(paired: Paired, tolerance: Decimal) -> str:
    lower, upper = paired.bounds
    reach = "" if paired.exact else f", bounds {lower:+.3f} and {upper:+.3f}"
    return (
        f"{paired.written_delta:+.2f} points against the reference on the same {paired.asked} "
        f"questions{reach}, tolerance {tolerance}; {paired.worse} answers turned wrong, "
        f"{paired.better} right (McNemar p {paired.p_value:.2g})"
    )


def _sizes(data: DataSet) -> dict[str, int]:
    return {subject: len(rows) for subject, rows in data.test.items()}
