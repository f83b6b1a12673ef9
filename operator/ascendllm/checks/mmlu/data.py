"""The questions: hendrycks' layout, as a folder or as an archive.

Layout: `{dev,test}/<subject>_{dev,test}.csv`, at the top or below one folder `data`; no header;
columns question, A, B, C, D, letter; fields may be quoted and hold newlines. Read with the `csv`
module and never interpreted: the choices `NA` and `None` are text.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ascendllm.exceptions import SpecError

__all__ = ["CANONICAL", "LETTERS", "Counts", "DataSet", "Question", "load", "require_canonical"]

LETTERS = "ABCD"
FILE_BYTES = 16 * 1024 * 1024
MAX_SUBJECTS = 1000
MAX_QUESTIONS = 200_000
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,99})_(dev|test)\.csv")


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its four choices and the right letter, to the letter as in the file."""

    question: str
    choices: tuple[str, str, str, str]
    answer: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How big a data set is."""

    subjects: int
    shots: int
    questions: int


CANONICAL = Counts(subjects=57, shots=285, questions=14_042)
"""The published MMLU: 57 subjects, 5 solved examples each, 14,042 test questions."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """The questions by subject.

    Args:
        dev: The solved examples, in file order.
        test: The questions; the same subjects, sorted by name.
        digest: `sha256:…` over the normalised rows, the same whatever held them.
    """

    dev: Mapping[str, tuple[Question, ...]]
    test: Mapping[str, tuple[Question, ...]]
    digest: str

    @property
    def counts(self) -> Counts:
        """How big it is."""
        return Counts(
            len(self.test),
            sum(len(rows) for rows in self.dev.values()),
            sum(len(rows) for rows in self.test.values()),
        )


def load(path: Path) -> DataSet:
    """Read a data set.

    Args:
        path: A folder, or a tar archive (also compressed).

    Raises:
        SpecError: `BadData`, naming the file and the row.
    """
    splits: dict[str, dict[str, tuple[Question, ...]]] = {"dev": {}, "test": {}}
    for name, raw in _files(path):
        matched = _NAME.fullmatch(PurePosixPath(name).name)
        if matched is None:
            continue
        subject, split = matched.groups()
        if subject in splits[split]:
            raise _bad(path, f"{split} of {subject} is there twice ({name})")
        splits[split][subject] = tuple(_rows(raw, f"{path}: {name}"))
        if len(splits[split]) > MAX_SUBJECTS:
            raise _bad(path, f"more than {MAX_SUBJECTS} subjects")
    dev, test = (dict(sorted(splits[split].items())) for split in ("dev", "test"))
    if not test:
        raise _bad(
            path, "no test/<subject>_test.csv in it: it must be the folder or archive of MMLU's csv"
        )
    if hollow := [subject for subject, rows in test.items() if not rows]:
        raise _bad(path, f"no question in test/{hollow[0]}_test.csv")
    if dev and dev.keys() != test.keys():
        odd = ", ".join(sorted(dev.keys() ^ test.keys())[:5])
        raise _bad(path, f"dev and test hold different subjects: {odd}")
    if sum(len(rows) for rows in test.values()) > MAX_QUESTIONS:
        raise _bad(path, f"more than {MAX_QUESTIONS} questions")
    return DataSet(dev, test, digest(dev, test))


def require_canonical(data: DataSet, custom: bool) -> None:
    """Refuse counts other than the published ones unless that was asked for.

    Raises:
        SpecError: `NotCanonical`.
    """
    if data.counts != CANONICAL and not custom:
        raise SpecError(
            "NotCanonical",
            f"the data has {_counts(data.counts)}, MMLU has {_counts(CANONICAL)}: give the whole "
            "set, or say --custom-data (custom: true), and every verdict will say so",
        )


def digest(
    dev: Mapping[str, tuple[Question, ...]], test: Mapping[str, tuple[Question, ...]]
) -> str:
    """One hash over all rows: JSON lines [split, subject, index, question, choices, letter]."""
    total = hashlib.sha256()
    for split, subjects in (("dev", dev), ("test", test)):
        for subject in sorted(subjects):
            for index, row in enumerate(subjects[subject]):
                fields = [split, subject, index, row.question, list(row.choices), row.answer]
                text = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
                total.update(text.encode() + b"\n")
    return f"sha256:{total.hexdigest()}"


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each file that may be a part of the set."""
    try:
        if path.is_dir():
            yield from _folder_files(path)
        elif path.is_file():
            yield from _archive_files(path)
        else:
            raise _bad(path, "there is no such folder or file")
    except (OSError, tarfile.TarError, EOFError) as error:
        raise _bad(path, f"can't be read: {error}") from None


def _folder_files(path: Path) -> Iterator[tuple[str, bytes]]:
    root = path / "data" if not (path / "test").is_dir() and (path / "data").is_dir() else path
    for split in ("dev", "test"):
        if not (root / split).is_dir():
            continue
        for file in sorted((root / split).iterdir()):
            if _NAME.fullmatch(file.name):
                with file.open("rb") as opened:
                    yield f"{split}/{file.name}", _within(opened.read(FILE_BYTES + 1), path)


def _archive_files(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            place = PurePosixPath(member.name)
            if member.isfile() and place.parent.name in ("dev", "test") and _NAME.match(place.name):
                opened = archive.extractfile(member)
                if opened is not None:
                    yield member.name, _within(opened.read(FILE_BYTES + 1), path)


def _within(raw: bytes, path: Path) -> bytes:
    if len(raw) > FILE_BYTES:
        raise _bad(path, f"a file is longer than {FILE_BYTES} bytes")
    return raw


def _rows(raw: bytes, where: str) -> Iterator[Question]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError("BadData", f"{where}: not UTF-8: {error}") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for number, row in enumerate(reader, start=1):
            if not row:
                continue
            if len(row) != 6:
                raise SpecError(
                    "BadData",
                    f"{where}: row {number} has {len(row)} columns, not question, A, B, C, D, "
                    "letter; is a quote left open?",
                )
            question, a, b, c, d, answer = row
            if len(answer) != 1 or answer not in LETTERS:
                raise SpecError(
                    "BadData",
                    f"{where}: row {number}: the answer is {answer[:20]!r}, not A, B, C or D",
                )
            yield Question(question, (a, b, c, d), answer)
    except csv.Error as error:
        raise SpecError("BadData", f"{where}: {error}") from None


def _counts(counts: Counts) -> str:
    return (
        f"{counts.subjects} subjects, {counts.shots} dev questions, "
        f"{counts.questions} test questions"
    )


def _bad(path: Path, why: str) -> SpecError:
    return SpecError("BadData", f"--data {path}: {why}")
