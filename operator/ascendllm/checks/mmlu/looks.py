"""The looks of a run with a reference: which questions are asked before which decision.

Source: the sequential plan of four spent looks and the whole set: 10, 20, 40 and 80 questions a
subject, then all, each held to z = 2.50 (a one-sided 2.5 % over four looks, Bonferroni). A subject
smaller than a look is asked whole. Questions are drawn at random without replacement, by an order
that a fixed seed gives, so that every run asks the same ones and any of them can be done again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import pairwise

__all__ = ["LOOKS", "SEED", "Z", "looks", "order", "selected"]

LOOKS = (10, 20, 40, 80)
"""Questions a subject at each look; the last look, at all of them, comes after."""

Z = 2.5
"""Standard errors between the difference and each bound: the normal quantile of 0.025 / 4."""

SEED = 20260401
"""Of the order of the questions. Another one would make a run ask others: it stays."""


def order(subject: str, questions: int, seed: int = SEED) -> list[int]:
    """A subject's questions in the order in which the looks take them.

    Sorted by a hash of seed, subject and index: a random order that no version of Python changes.
    """

    def rank(index: int) -> bytes:
        return hashlib.sha256(f"{seed}\n{subject}\n{index}".encode()).digest()

    return sorted(range(questions), key=rank)


def looks(sizes: Mapping[str, int]) -> list[dict[str, int]]:
    """How many questions of each subject each look takes, the last one all of them.

    Args:
        sizes: Questions by subject.

    Returns:
        At least one look; a look that would take no more than the one before it is left out.
    """
    whole = dict(sizes)
    planned = [{s: min(m, n) for s, n in sizes.items()} for m in LOOKS] + [whole]
    return planned[:1] + [after for before, after in pairwise(planned) if after != before]


def selected(sizes: Mapping[str, int], taken: Mapping[str, int]) -> dict[str, list[int]]:
    """The questions of a look, by subject, in the data's order.

    Args:
        sizes: Questions by subject.
        taken: How many of each; of `looks`.
    """
    return {s: sorted(order(s, sizes[s])[: taken[s]]) for s in sizes}
