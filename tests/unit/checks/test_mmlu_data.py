from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from ascendllm.checks.mmlu.data import CANONICAL, Counts, load, require_canonical
from ascendllm.exceptions import SpecError
from unit.checks.mmlu_set import write_set

AWKWARD = (
    '"He said ""no"".\nThen, what?  ",NA,None,nan,"a, b",C\r\n'
    "  leading and trailing  ,1,2,3, 4 ,A\n"
)


def one(folder: Path, text: str | bytes, name: str = "odd_test.csv") -> Path:
    (folder / "test").mkdir(parents=True, exist_ok=True)
    raw = text.encode() if isinstance(text, str) else text
    (folder / "test" / name).write_bytes(raw)
    return folder


def test_fields_are_kept_to_the_letter(tmp_path: Path) -> None:
    first, second = load(one(tmp_path, AWKWARD)).test["odd"]
    assert first.question == 'He said "no".\nThen, what?  '
    assert first.choices == ("NA", "None", "nan", "a, b")
    assert first.answer == "C"
    assert second.question == "  leading and trailing  "
    assert second.choices == ("1", "2", "3", " 4 ")


def archive(folder: Path, target: Path, mode: str) -> Path:
    with tarfile.open(target, mode) as tar:  # type: ignore[call-overload]
        tar.add(folder, arcname="data")
        extra = tarfile.TarInfo("data/auxiliary_train/broken_test.csv")
        extra.size = 3
        tar.addfile(extra, io.BytesIO(b'"x\n'))
    return target


@pytest.mark.parametrize(("name", "mode"), [("d.tar", "w"), ("d.tgz", "w:gz")])
def test_folder_and_archive_have_one_hash(tmp_path: Path, name: str, mode: str) -> None:
    folder = write_set(tmp_path / "here" / "data")
    expected = load(folder)
    assert load(folder.parent).digest == expected.digest
    from_archive = load(archive(folder, tmp_path / name, mode))
    assert from_archive == expected
    assert expected.counts == Counts(2, 10, 10)


def test_the_hash_follows_every_field_and_the_order(tmp_path: Path) -> None:
    rows = ["q,1,2,3,4,A\n", "r,1,2,3,4,A\n"]
    variants = [
        "".join(rows),
        "".join(reversed(rows)),
        "q,1,2,3,4,B\nr,1,2,3,4,A\n",
        "q,1,2,3,5,A\nr,1,2,3,4,A\n",
        "q ,1,2,3,4,A\nr,1,2,3,4,A\n",
    ]
    digests = {load(one(tmp_path / str(i), text)).digest for i, text in enumerate(variants)}
    assert len(digests) == len(variants)
    crlf = one(tmp_path / "crlf", "".join(rows).replace("\n", "\r\n"))
    assert load(crlf).digest in digests, "how lines end is the container's business"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("q,1,2,3,A\n", "5 columns"),
        ("q,1,2,3,4,A,\n", "7 columns"),
        ('"q,1,2,3,4,A\nr,1,2,3,4,B\n', "is a quote left open"),
        ("q,1,2,3,4,E\n", "not A, B, C or D"),
        ("q,1,2,3,4,a\n", "not A, B, C or D"),
        ("q,1,2,3,4,\n", "not A, B, C or D"),
        ("q,1,2,3,4,AB\n", "not A, B, C or D"),
        (b"q\xff,1,2,3,4,A\n", "not UTF-8"),
        ('"' + "x" * 200_000 + '",1,2,3,4,A\n', "field larger"),
    ],
)
def test_broken_files_name_the_file_and_the_row(
    tmp_path: Path, text: str | bytes, told: str
) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        load(one(tmp_path, text))
    assert caught.value.reason == "BadData"
    assert "odd_test.csv" in caught.value.message


def test_places_that_hold_no_data(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    for path, told in (
        (tmp_path / "missing", "no such"),
        (tmp_path, "no test/"),
        (tmp_path / "note.txt", "can't be read"),
    ):
        with pytest.raises(SpecError, match=told):
            load(path)


def test_empty_test_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no question"):
        load(one(tmp_path, ""))


def test_dev_and_test_must_match(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "d")
    (folder / "dev" / "us_foreign_policy_dev.csv").unlink()
    with pytest.raises(SpecError, match="us_foreign_policy"):
        load(folder)


def test_only_the_published_counts_go_without_saying(tmp_path: Path) -> None:
    data = load(write_set(tmp_path / "d"))
    require_canonical(data, custom=True)
    with pytest.raises(SpecError, match="14042 test questions") as caught:
        require_canonical(data, custom=False)
    assert caught.value.reason == "NotCanonical"
    whole = write_set(tmp_path / "whole", {f"s{n}": 246 if n else 266 for n in range(57)})
    assert load(whole).counts == CANONICAL
    require_canonical(load(whole), custom=False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"two\nlines",1,2,3,4,A\nq,1,2,3,A\n', "odd_test.csv, row 2 (line 3): 5 columns"),
        ("q,1,2,3,4,A\n\nr,1,2,3,4,X\n", "odd_test.csv, row 3 (line 3): the answer is 'X'"),
        (b"q,1,2,3,4,A\nq\xff,1,2,3,4,A\n", "odd_test.csv, line 2: not UTF-8"),
        (f'q,1,2,3,4,A\n"{"x" * 200_000}",1,2,3,4,A\n', "odd_test.csv, row 2 (line 2): field"),
    ],
)
def test_the_line_is_named(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(one(tmp_path, text))
    assert told in caught.value.message
