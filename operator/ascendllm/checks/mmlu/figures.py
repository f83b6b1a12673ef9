"""Accuracies and their standard errors, exact until they are written.

micro = right answers / questions; macro = mean of the subjects' accuracies. Standard errors are
of sampling questions: micro sqrt(p(1-p)/(n-1)) as lm-eval prints it; macro
sqrt(sum over subjects of p_s(1-p_s)/(n_s-1)) / S. Both in percent points. They say how far new
questions would move the figure; they are shown and never added to the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ascendllm.checks.result import rounded

__all__ = ["Score", "averages", "subject_table", "worst"]

WORST = 5


@dataclass(frozen=True, slots=True)
class Score:
    """A subject's score."""

    correct: int
    questions: int

    @property
    def accuracy(self) -> Fraction:
        """From 0 to 1."""
        return Fraction(self.correct, self.questions)


def averages(scores: Mapping[str, Score]) -> dict[str, object]:
    """The figures of a whole run.

    Args:
        scores: At least one subject, each with at least one question.
    """
    correct = sum(score.correct for score in scores.values())
    questions = sum(score.questions for score in scores.values())
    macro = sum((score.accuracy for score in scores.values()), Fraction()) / len(scores)
    variances = [_variance(score) for score in scores.values()]
    return {
        "macroAverage": rounded(100 * macro),
        "microAverage": rounded(100 * Fraction(correct, questions)),
        "standardErrors": {
            "macro": rounded(100 * math.sqrt(sum(variances)) / len(scores)),
            "micro": rounded(100 * math.sqrt(_variance(Score(correct, questions)))),
        },
        "correct": correct,
        "questions": questions,
        "subjectCount": len(scores),
        "worstSubjects": [
            f"{name} {rounded(100 * scores[name].accuracy):.2f} "
            f"({scores[name].correct}/{scores[name].questions})"
            for name in worst(scores)
        ],
        "subjects": {
            name: {"correct": score.correct, "questions": score.questions}
            for name, score in scores.items()
        },
    }


def worst(scores: Mapping[str, Score], most: int = WORST) -> Sequence[str]:
    """The subjects of the lowest accuracy, lowest first, then by name."""
    return sorted(scores, key=lambda name: (scores[name].accuracy, name))[:most]


def subject_table(scores: Mapping[str, Score]) -> str:
    """A plain table for people, one line a subject, and the averages."""
    width = max(len("micro average"), *(len(name) for name in scores))
    total = averages(scores)
    lines = [f"{'SUBJECT':<{width}}  {'ACCURACY':>8}  {'CORRECT':>7}  {'QUESTIONS':>9}"]
    lines += [
        f"{name:<{width}}  {rounded(100 * score.accuracy):>8.2f}  {score.correct:>7}  "
        f"{score.questions:>9}"
        for name, score in scores.items()
    ]
    lines += [
        f"{name + ' average':<{width}}  {total[f'{name}Average']:>8.2f}"
        for name in ("macro", "micro")
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _variance(score: Score) -> float:
    """The variance of the mean of `questions` right-or-wrong answers."""
    p = float(score.accuracy)
    return p * (1 - p) / max(1, score.questions - 1)
