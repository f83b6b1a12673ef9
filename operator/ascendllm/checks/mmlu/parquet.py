"""The questions of cais/mmlu's parquet files.

Layout: `all/{dev,test}-00000-of-00001.parquet` with every subject, or a folder a subject; columns
question (text), subject (text), choices (a list of four texts), answer (0 to 3). Read with DuckDB,
imported only here: one thread, bounded memory, no extensions, no network.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ascendllm.checks.mmlu.rows import LETTERS, Question
from ascendllm.exceptions import CheckError, SpecError

if TYPE_CHECKING:
    import duckdb

__all__ = ["MAX_ROWS", "parquet_splits"]

WHOLE = "all"
"""The folder that holds all subjects."""

MAX_ROWS = 200_000
BATCH = 512
MEMORY = "512MB"

_NAME = re.compile(r"(dev|test)(?:-(\d{5})-of-(\d{5}))?\.parquet")
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "question": ("VARCHAR",),
    "choices": ("VARCHAR[]",),
    "answer": ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UTINYINT", "UINTEGER", "UBIGINT"),
    "subject": ("VARCHAR",),
}
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")

Splits = dict[str, dict[str, tuple[Question, ...]]]


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of a split."""

    name: str
    group: str
    split: str
    number: int
    of: int
    raw: bytes


def parquet_splits(files: Iterable[tuple[str, bytes]], shown: str) -> Splits:
    """The questions by split and subject, from the names and bytes of parquet files.

    Where there is a folder `all`, it is read and the others are not: they hold the same again.

    Raises:
        SpecError: `BadData`, naming the file and the row.
        CheckError: `NoParquet`: the library is not installed.
    """
    parts = [_part(name, raw) for name, raw in files]
    if any(part.group == WHOLE for part in parts):
        parts = [part for part in parts if part.group == WHOLE]
    _require_all_parts(parts, shown)
    found: dict[str, dict[str, list[Question]]] = {"dev": {}, "test": {}}
    rows = 0
    several = len({part.group for part in parts}) > 1
    for part in sorted(parts, key=lambda part: (part.group, part.split, part.number)):
        for subject, question in _questions(part, several, shown):
            rows += 1
            if rows > MAX_ROWS:
                raise SpecError("BadData", f"{shown}: more than {MAX_ROWS} questions")
            found[part.split].setdefault(subject, []).append(question)
    return {
        split: {subject: tuple(rows) for subject, rows in subjects.items()}
        for split, subjects in found.items()
    }


def _part(name: str, raw: bytes) -> _Part:
    place = PurePosixPath(name)
    matched = _NAME.fullmatch(place.name)
    assert matched is not None, "only data files come here"  # noqa: S101
    split, number, of = matched.groups()
    return _Part(name, place.parent.name, split, int(number or 0), int(of or 1), raw)


def _require_all_parts(parts: list[_Part], shown: str) -> None:
    """Refuse a split of which a part is missing, or there twice."""
    by_split: dict[tuple[str, str], list[_Part]] = {}
    for part in parts:
        by_split.setdefault((part.group, part.split), []).append(part)
    for (group, split), given in by_split.items():
        numbers = sorted(part.number for part in given)
        if numbers != list(range(given[0].of)) or len({part.of for part in given}) != 1:
            names = ", ".join(sorted(part.name for part in given)[:5])
            raise SpecError(
                "BadData",
                f"{shown}: the parts of {split} in {group or 'the top folder'} are {names}; give "
                "each of them, and each once",
            )


def _questions(part: _Part, by_folder: bool, shown: str) -> Iterator[tuple[str, Question]]:
    """Subject and question of each row; `by_folder`: each subject has a folder of its name."""
    where = f"{shown}: {part.name}"
    for number, row in enumerate(_rows(part.raw, where), start=1):
        subject, question = _question(row, part.group, f"{where}, row {number}")
        if by_folder and subject != part.group:
            raise SpecError(
                "BadData",
                f"{where}, row {number}: a question of {subject[:80]!r} in another's folder",
            )
        yield subject, question


def _rows(raw: bytes, where: str) -> Iterator[tuple[Any, ...]]:
    """The rows as (question, choices, answer, subject or None)."""
    library = _library()
    config: dict[str, Any] = {
        "threads": 1,
        "memory_limit": MEMORY,
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    # A file of our own: DuckDB takes a name with `*` or `[` in it for a pattern.
    with tempfile.TemporaryDirectory(prefix="ascendllm-parquet-") as folder:
        file = Path(folder) / "rows.parquet"
        file.write_bytes(raw)
        try:
            with library.connect(":memory:", config=config) as connection:
                types = _types(connection, file, where)
                subject = "subject" if "subject" in types else "NULL"
                query = f"SELECT question, choices, answer, {subject} FROM read_parquet(?)"  # noqa: S608
                rows = connection.execute(query, [str(file)])
                while batch := rows.fetchmany(BATCH):
                    yield from batch
        except (library.Error, UnicodeDecodeError, MemoryError) as error:
            cause = str(error).partition("\n")[0].replace(str(file), "the file")[:300]
            raise SpecError("BadData", f"{where}: no sound parquet file: {cause}") from None


def _types(connection: duckdb.DuckDBPyConnection, file: Path, where: str) -> dict[str, str]:
    """Each column's type, held against what cais/mmlu has."""
    described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(file)]).fetchall()
    types = {str(row[0]): str(row[1]) for row in described}
    for column, wanted in _COLUMNS.items():
        have = types.get(column)
        if have is None and column == "subject":
            continue
        if have not in wanted:
            raise SpecError(
                "BadData",
                f"{where}: column {column} is {have or 'missing'}, not {wanted[0]}; it must be "
                "cais/mmlu's layout: question, subject, choices, answer",
            )
    return types


def _question(row: tuple[Any, ...], group: str, where: str) -> tuple[str, Question]:
    question, choices, answer, subject = row
    if subject is None:
        subject = group
    if not _SUBJECT.fullmatch(subject) or subject == WHOLE:
        raise SpecError("BadData", f"{where}: the subject is {subject[:80]!r}, which is none")
    if question is None or choices is None or answer is None:
        raise SpecError("BadData", f"{where}: question, choices or answer is null")
    if len(choices) != 4:
        raise SpecError("BadData", f"{where}: {len(choices)} choices, not four")
    if None in choices:
        letter = LETTERS[choices.index(None)]
        raise SpecError(
            "BadData",
            f"{where}: choice {letter} is null; whatever made the file took a text such as NA or "
            "None for nothing: take the published file",
        )
    if not 0 <= answer < len(LETTERS):
        raise SpecError("BadData", f"{where}: the answer is {answer}, not 0, 1, 2 or 3")
    a, b, c, d = choices
    return subject, Question(question, (a, b, c, d), LETTERS[answer])


def _library() -> Any:
    try:
        import duckdb
    except ImportError:
        raise CheckError(
            "NoParquet",
            "reading parquet needs the Python package duckdb, which is not installed: install "
            "ascendllm[checks], or give MMLU's csv files",
        ) from None
    return duckdb
