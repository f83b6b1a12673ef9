"""The same rows in every container that MMLU comes in."""

from __future__ import annotations

import csv
import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

Row = tuple[str, tuple[str, str, str, str], str]
Splits = Mapping[str, Mapping[str, Sequence[Row]]]

AWKWARD: dict[str, dict[str, list[Row]]] = {
    "dev": {
        "abstract_algebra": [("dev?", ("1", "2", "3", "4"), "A")],
        "odd_subject": [("ein \u00dc? \u4e8c", ("None", "NA", "nan", ""), "D")],
    },
    "test": {
        "odd_subject": [
            ('He said "no".\nThen, what?  ', ("NA", "None", "nan", "null"), "C"),
            ("  leading, trailing  ", (" 1", "2 ", "a, b", 'q"q'), "A"),
            ("\u4e2d\u6587 \u00e9\u00e8 \U0001f600", ("\u03b1", "\u03b2", "N/A", "#N/A"), "B"),
            ("crlf\r\nin it", ("true", "1e5", "007", "-"), "D"),
        ],
        "abstract_algebra": [(f"{n}?", ("a", "b", "c", "d"), "ABCD"[n % 4]) for n in range(7)],
    },
}


def csv_text(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([q, *choices, a] for q, choices, a in rows)
    return text.getvalue()


def csv_files(splits: Splits = AWKWARD) -> dict[str, bytes]:
    return {
        f"{split}/{subject}_{split}.csv": csv_text(rows).encode()
        for split, subjects in splits.items()
        for subject, rows in subjects.items()
    }


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, raw in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    return folder


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w", top: str = "data/") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, raw in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    return path


def write_zip(path: Path, files: Mapping[str, bytes], top: str = "mmlu/") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(top + name, raw)
    return path


def write_parquet(
    path: Path, rows: Sequence[Sequence[Any]], columns: str = "", compression: str = "snappy"
) -> Path:
    """Rows of question, subject, choices, answer; or of the columns named."""
    columns = columns or "question VARCHAR, subject VARCHAR, choices VARCHAR[], answer BIGINT"
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE rows ({columns})")
        for row in rows:
            connection.execute(f"INSERT INTO rows VALUES ({', '.join('?' * len(row))})", list(row))
        target = str(path).replace("'", "''")
        connection.execute(f"COPY rows TO '{target}' (FORMAT parquet, COMPRESSION {compression})")
    return path


def parquet_rows(splits: Splits, split: str) -> list[tuple[str, str, list[str], int]]:
    return [
        (question, subject, list(choices), "ABCD".index(answer))
        for subject, rows in splits[split].items()
        for question, choices, answer in rows
    ]


def write_all_parquet(folder: Path, splits: Splits = AWKWARD) -> Path:
    """`all/{dev,test}-00000-of-00001.parquet`, and what else cais/mmlu has there."""
    for split in ("dev", "test"):
        name = f"all/{split}-00000-of-00001.parquet"
        write_parquet(folder / name, parquet_rows(splits, split))
    (folder / "all" / "validation-00000-of-00001.parquet").write_bytes(b"not read")
    (folder / "README.md").write_text("not read")
    return folder


def write_subject_parquet(folder: Path, splits: Splits = AWKWARD) -> Path:
    """A folder a subject."""
    for split, subjects in splits.items():
        for subject, rows in subjects.items():
            name = f"{subject}/{split}-00000-of-00001.parquet"
            write_parquet(folder / name, parquet_rows({split: {subject: rows}}, split))
    (folder / "auxiliary_train").mkdir()
    (folder / "auxiliary_train" / "train-00000-of-00001.parquet").write_bytes(b"not read")
    return folder
