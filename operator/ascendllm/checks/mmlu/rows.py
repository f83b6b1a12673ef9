"""A question, and the questions of one csv file.

Columns question, A, B, C, D, letter; no header; fields may be quoted and hold newlines. Read with
the `csv` module and never interpreted: the choices `NA` and `None` are text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from ascendllm.exceptions import SpecError

__all__ = ["LETTERS", "Question", "csv_rows"]

LETTERS = "ABCD"


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its four choices and the right letter, to the letter as in the file."""

    question: str
    choices: tuple[str, str, str, str]
    answer: str


def csv_rows(raw: bytes, where: str) -> Iterator[Question]:
    """The questions of one csv file.

    Args:
        raw: The file.
        where: Its name, for messages.

    Raises:
        SpecError: `BadData`, naming the file, the row and its first line.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError(
            "BadData", f"{where}, line {line}: not UTF-8 ({error.reason}); save it as UTF-8"
        ) from None
    reader = csv.reader(io.StringIO(text, newline=""))
    number, line = 0, 1
    try:
        for row in reader:
            number += 1
            if row:
                yield _question(row, f"{where}, row {number} (line {line})")
            line = reader.line_num + 1
    except csv.Error as error:
        raise SpecError(
            "BadData", f"{where}, row {number + 1} (line {line}): {error}; is a quote left open?"
        ) from None


def _question(row: list[str], where: str) -> Question:
    if len(row) != 6:
        raise SpecError(
            "BadData",
            f"{where}: {len(row)} columns, not the six question, A, B, C, D, letter; is a quote "
            "left open, or a comma not quoted?",
        )
    question, a, b, c, d, answer = row
    if len(answer) != 1 or answer not in LETTERS:
        raise SpecError("BadData", f"{where}: the answer is {answer[:20]!r}, not A, B, C or D")
    return Question(question, (a, b, c, d), answer)
