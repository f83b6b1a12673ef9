"""What a run's figures come to when a person or a job asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ascendllm.checks.judging.judgement import Judgement
from ascendllm.checks.judging.mmlu import Average, judge_mmlu
from ascendllm.checks.mmlu.sequential import PairedVerdict

__all__ = ["Baseline", "judge"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a run is held against.

    Args:
        value: Percent.
        average: Which average it is.
        protocol: Whose figure it is; None: the run's own.
        shots: With how many solved examples; None: the run's own.
        across_protocols: Judge even where it is another protocol's, or of other shots.
    """

    value: Decimal
    average: Average = "macro"
    protocol: str | None = None
    shots: int | None = None
    across_protocols: bool = False

    def to_json(self) -> dict[str, object]:
        """As a resource has it."""
        return {
            "value": self.value,
            "average": self.average,
            "protocol": self.protocol,
            "shots": self.shots,
            "acrossProtocols": self.across_protocols,
        }


def judge(
    figures: Mapping[str, object],
    baseline: Baseline | None,
    tolerance: Decimal,
    paired: PairedVerdict | None = None,
) -> Judgement:
    """Judge a run by its figures, or by its comparison with a reference.

    Args:
        figures: The measured ones, with questions, protocol, shots and customData.
        baseline: None: reaching the figures is enough. With a comparison it is shown only.
        tolerance: Percent points.
        paired: What the comparison came to; None without a reference.

    Returns:
        The judgement; its figures include the comparison's.
    """
    against = None if baseline is None else baseline.to_json()
    if paired is None:
        return judge_mmlu(figures, against, tolerance)
    custom = "; custom data, not the published MMLU" if figures.get("customData") else ""
    reached = {
        "result": paired.result,
        "reason": paired.reason,
        "message": paired.message + custom,
    }
    judgement = judge_mmlu({**figures, **paired.figures, **reached}, against, tolerance)
    return Judgement(
        judgement.result,
        judgement.reason,
        judgement.message,
        {**paired.figures, **judgement.figures},
    )
