"""Accuracies and their standard errors, exact until they are written.

micro = right answers / questions; macro = mean of the subjects' accuracies. Standard errors are
of sampling questions: micro sqrt(p(1-p)/(n-1)) as lm-eval prints it; macro
sqrt(sum over subjects of p_s(1-p_s)/(n_s-1)) / S. Both in percent points. They say how far new
questions would move the figure; they are shown and never added to the tolerance.

Where a run with a reference asked as many questions of each subject, micro is an estimate: each
subject's accuracy with the weight w_s = N_s / sum N_s of all its questions, and its standard error
sqrt(sum w_s^2 p_s(1-p_s)/(n_s-1)). With all questions asked that is right answers / questions.
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


def averages(
    scores: Mapping[str, Score], sizes: Mapping[str, int] | None = None
) -> dict[str, object]:
    """The figures of a run.

    Args:
        scores: At least one subject, each with at least one question.
        sizes: Questions by subject in all, where only a part was asked.
    """
    sizes = sizes or {name: score.questions for name, score in scores.items()}
    correct = sum(score.correct for score in scores.values())
    questions = sum(score.questions for score in scores.values())
    macro = sum((score.accuracy for score in scores.values()), Fraction()) / len(scores)
    variances = [_variance(score) for score in scores.values()]
    return {
        "macroAverage": rounded(100 * macro),
        "microAverage": rounded(100 * _micro(scores, sizes)),
        "standardErrors": {
            "macro": rounded(100 * math.sqrt(sum(variances)) / len(scores)),
            "micro": rounded(100 * math.sqrt(_micro_variance(scores, sizes))),
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


def subject_table(scores: Mapping[str, Score], sizes: Mapping[str, int] | None = None) -> str:
    """A plain table for people, one line a subject, and the averages; arguments of `averages`."""
    width = max(len("micro average"), *(len(name) for name in scores))
    total = averages(scores, sizes)
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


def _micro(scores: Mapping[str, Score], sizes: Mapping[str, int]) -> Fraction:
    """The accuracy over all questions, estimated where a subject was asked in part."""
    total = sum(sizes[name] for name in scores)
    return sum((score.accuracy * sizes[name] for name, score in scores.items()), Fraction()) / total


def _micro_variance(scores: Mapping[str, Score], sizes: Mapping[str, int]) -> float:
    """Of the one sample that all questions are, or of the strata where a part was asked."""
    if all(score.questions == sizes[name] for name, score in scores.items()):
        correct = sum(score.correct for score in scores.values())
        return _variance(Score(correct, sum(score.questions for score in scores.values())))
    total = sum(sizes[name] for name in scores)
    return sum((sizes[name] / total) ** 2 * _variance(score) for name, score in scores.items())


def _variance(score: Score) -> float:
    """The variance of the mean of `questions` right-or-wrong answers."""
    p = float(score.accuracy)
    return p * (1 - p) / max(1, score.questions - 1)
