"""The questions: hendrycks' csv files or cais/mmlu's parquet, and one hash over them.

Layouts, at the top of a folder or archive or up to two folders below it:
`{dev,test}/<subject>_{dev,test}.csv` (the authors' archive, OpenCompass' too), or
`{all,<subject>}/{dev,test}-00000-of-00001.parquet` (cais/mmlu).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ascendllm.checks.mmlu.containers import named_files
from ascendllm.checks.mmlu.rows import LETTERS, Question, csv_rows
from ascendllm.exceptions import SpecError

__all__ = [
    "CANONICAL",
    "LETTERS",
    "MAX_QUESTIONS",
    "Counts",
    "DataSet",
    "Question",
    "load",
    "require_canonical",
    "require_hash",
]

MAX_SUBJECTS = 1000
MAX_QUESTIONS = 200_000
_SUM = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)

Splits = dict[str, dict[str, tuple[Question, ...]]]


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


def load(path: Path, shown: str | None = None) -> DataSet:
    """Read a data set.

    Args:
        path: A folder, a tar archive (also compressed) or a zip archive. An archive with a file
            `NAME.sha256` beside it (as `sha256sum` writes it) is held against that.
        shown: How messages name it; unset: `--data PATH`.

    Raises:
        SpecError: `BadData`, naming the file and the row; `WrongHash`.
        CheckError: `NoParquet`: parquet can't be read here.
    """
    shown = shown or f"--data {path}"
    _require_sum(path, shown)
    splits = _splits(path, shown)
    dev, test = (dict(sorted(splits[split].items())) for split in ("dev", "test"))
    if not test:
        raise _bad(
            shown,
            "no test/<subject>_test.csv and no test parquet in it: it must be the folder or "
            "archive of MMLU's csv files, or the folder of cais/mmlu's parquet files",
        )
    if len(test) > MAX_SUBJECTS or sum(len(rows) for rows in test.values()) > MAX_QUESTIONS:
        raise _bad(shown, f"more than {MAX_SUBJECTS} subjects or {MAX_QUESTIONS} questions")
    if hollow := [subject for subject, rows in test.items() if not rows]:
        raise _bad(shown, f"no question in test/{hollow[0]}_test.csv; give the whole file")
    if dev and dev.keys() != test.keys():
        odd = ", ".join(sorted(dev.keys() ^ test.keys())[:5])
        raise _bad(shown, f"dev and test hold different subjects: {odd}; give both of each")
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


def require_hash(data: DataSet, wanted: str | None) -> None:
    """Hold the data against the hash that it must have.

    Args:
        data: The data set.
        wanted: A `datasetHash`, with or without `sha256:`; None for any.

    Raises:
        SpecError: `WrongHash`.
    """
    if wanted is None:
        return
    matched = _SUM.fullmatch(wanted.strip())
    if matched is None:
        raise SpecError(
            "WrongHash", f"--data-hash {wanted[:100]!r}: write sha256: and 64 hexadecimal digits"
        )
    if data.digest != f"sha256:{matched.group(1).lower()}":
        raise SpecError(
            "WrongHash",
            f"the data's hash is {data.digest}, not {wanted.strip()}: it is another data set, or "
            "was changed; give the right one, or leave --data-hash out",
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


def _splits(path: Path, shown: str) -> Splits:
    """The questions by split and subject."""
    splits: Splits = {"dev": {}, "test": {}}
    root: PurePosixPath | None = None
    tables: list[tuple[str, bytes]] = []
    for name, raw in named_files(path, shown):
        place = PurePosixPath(name)
        if place.suffix == ".parquet":
            tables.append((name, raw))
            continue
        if root not in (None, place.parent.parent):
            raise _bad(
                shown, f"two sets in it, in {root} and {place.parent.parent}; name one of them"
            )
        root = place.parent.parent
        subject, _, split = place.stem.rpartition("_")
        if subject in splits[split]:
            raise _bad(shown, f"{split} of {subject} is there twice ({name}); leave one out")
        splits[split][subject] = tuple(csv_rows(raw, f"{shown}: {name}"))
    if not tables:
        return splits
    if root is not None:
        raise _bad(shown, "csv and parquet files in it; name the folder of one of them")
    from ascendllm.checks.mmlu.parquet import parquet_splits

    return parquet_splits(tables, shown)


def _require_sum(path: Path, shown: str) -> None:
    """Hold an archive against the `NAME.sha256` beside it, where there is one."""
    beside = path.with_name(f"{path.name}.sha256") if path.name else path
    if not path.is_file() or not beside.is_file():
        return
    try:
        with beside.open("rb") as file:
            matched = _SUM.match(file.read(4096).decode("utf-8", "replace").strip())
        if matched is None:
            raise SpecError("WrongHash", f"{beside}: no SHA-256 in it; write it with sha256sum")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _bad(shown, f"can't be read: {error}") from None
    if found != matched.group(1).lower():
        raise SpecError(
            "WrongHash",
            f"{shown}: its SHA-256 is {found}, {beside.name} says {matched.group(1).lower()}: it "
            "is another archive, or was changed on its way; fetch it again",
        )


def _counts(counts: Counts) -> str:
    return (
        f"{counts.subjects} subjects, {counts.shots} dev questions, "
        f"{counts.questions} test questions"
    )


def _bad(shown: str, why: str) -> SpecError:
    return SpecError("BadData", f"{shown}: {why}")
