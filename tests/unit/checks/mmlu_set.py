"""A tiny data set in hendrycks' layout."""

from __future__ import annotations

import csv
from pathlib import Path

SUBJECTS = {"abstract_algebra": 4, "us_foreign_policy": 6}


def row(subject: str, split: str, number: int) -> list[str]:
    right = "ABCD"[number % 4]
    return [f"{subject} {split} {number}?", "one", "two", "NA", "None", right]


def write_set(folder: Path, subjects: dict[str, int] | None = None, shots: int = 5) -> Path:
    """`{dev,test}/<subject>_{dev,test}.csv`; the right letter is ABCD in turn."""
    for split in ("dev", "test"):
        (folder / split).mkdir(parents=True)
    for subject, questions in (subjects or SUBJECTS).items():
        for split, count in (("dev", shots), ("test", questions)):
            path = folder / split / f"{subject}_{split}.csv"
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(row(subject, split, n) for n in range(count))
    return folder


def right_letter(prompt: str) -> str:
    """The right letter of the question that a prompt ends in."""
    question = prompt.rsplit("?\n", 1)[0]
    return "ABCD"[int(question.rsplit(" ", 1)[1]) % 4]
