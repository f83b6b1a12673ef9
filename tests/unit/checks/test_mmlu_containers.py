"""One set in every container: the same rows, one hash, and no container that does harm."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ascendllm.checks.mmlu import containers
from ascendllm.checks.mmlu.data import Question, load, require_hash
from ascendllm.exceptions import SpecError
from unit.checks.mmlu_containers import (
    AWKWARD,
    csv_files,
    parquet_rows,
    write_all_parquet,
    write_files,
    write_parquet,
    write_subject_parquet,
    write_tar,
    write_zip,
)
from unit.checks.mmlu_set import write_set

FILES = csv_files()
RESOURCE_FORKS = {f"__MACOSX/{name.replace('/', '/._')}": b"\0fork" for name in FILES}
OTHERS = {
    "val/odd_subject_val.csv": b'"x',
    "auxiliary_train/odd_test.csv": b'"x',
    "README.txt": b"",
}

WAYS: dict[str, Callable[[Path], Path]] = {
    "folder": lambda at: write_files(at / "f", FILES | OTHERS),
    "folder below a folder": lambda at: write_files(at / "f" / "data", FILES).parent,
    "tar": lambda at: write_tar(at / "data.tar", FILES | OTHERS),
    "tar without a top": lambda at: write_tar(at / "data.tar", FILES, top="./"),
    "tar.gz": lambda at: write_tar(at / "data.tar.gz", FILES, "w:gz"),
    "tgz": lambda at: write_tar(at / "data.tgz", FILES, "w:gz"),
    "tar.bz2": lambda at: write_tar(at / "data.tar.bz2", FILES, "w:bz2"),
    "tar.xz": lambda at: write_tar(at / "data.tar.xz", FILES, "w:xz"),
    "zip": lambda at: write_zip(at / "mmlu.zip", FILES | OTHERS | RESOURCE_FORKS),
    "any name": lambda at: write_zip(at / "blob", FILES),
    "parquet, all": lambda at: write_all_parquet(at / "p"),
    "parquet, the folder all itself": lambda at: write_all_parquet(at / "p") / "all",
    "parquet, a folder a subject": lambda at: write_subject_parquet(at / "p"),
    "parquet, both": lambda at: write_all_parquet(write_subject_parquet(at / "p")),
    "parquet in a tar": lambda at: packed(write_all_parquet(at / "p"), at / "p.tar"),
    "parquet, parts": lambda at: in_parts(at / "p"),
    "parquet, an odd path": lambda at: write_all_parquet(at / "p[1]*'x"),
    "parquet, zstd and int32": lambda at: otherwise_written(at / "p"),
}


def packed(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        tar.add(folder, arcname="mmlu")
    return path


def in_parts(folder: Path) -> Path:
    write_all_parquet(folder)
    (folder / "all" / "test-00000-of-00001.parquet").unlink()
    rows = parquet_rows(AWKWARD, "test")
    for number, part in enumerate((rows[:3], rows[3:5], rows[5:])):
        write_parquet(folder / "all" / f"test-0000{number}-of-00003.parquet", part)
    return folder


def otherwise_written(folder: Path) -> Path:
    columns = "answer INTEGER, choices VARCHAR[], extra VARCHAR, subject VARCHAR, question VARCHAR"
    for split in ("dev", "test"):
        rows = [(a, c, None, s, q) for q, s, c, a in parquet_rows(AWKWARD, split)]
        write_parquet(folder / "all" / f"{split}.parquet", rows, columns, "zstd")
    return folder


@pytest.mark.parametrize("way", list(WAYS))
def test_every_container_gives_the_same_rows_and_hash(tmp_path: Path, way: str) -> None:
    found = load(WAYS[way](tmp_path))
    for split, subjects in (("dev", found.dev), ("test", found.test)):
        wanted = {s: tuple(Question(*row) for row in rows) for s, rows in AWKWARD[split].items()}
        assert subjects == wanted
        assert list(subjects) == sorted(wanted)
    assert found.digest == (
        "sha256:0bf5544106761c6cd0c841a41004f3b66d5b4a485bb2b12431ab912199c9e953"
    )


def test_the_hash_of_verdicts_that_are_stored_already_stays(tmp_path: Path) -> None:
    digest = load(write_set(tmp_path / "d")).digest
    assert digest == "sha256:fd1c4025573ae2954fff323fcf7b67b6840eb500f99a04b51be77d56de3f7c9c"
    require_hash(load(tmp_path / "d"), digest)
    require_hash(load(tmp_path / "d"), digest.removeprefix("sha256:").upper())
    require_hash(load(tmp_path / "d"), None)
    for wrong, told in ((digest[:-1] + "x", "64 hexadecimal"), ("sha256:" + 64 * "0", "another")):
        with pytest.raises(SpecError, match=told) as caught:
            require_hash(load(tmp_path / "d"), wrong)
        assert caught.value.reason == "WrongHash"


def refused(path: Path, told: str, reason: str = "BadData") -> str:
    with pytest.raises(SpecError, match=told) as caught:
        load(path)
    assert caught.value.reason == reason
    assert path.name in caught.value.message
    return caught.value.message


def test_a_checksum_beside_an_archive_is_held_to(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "data.tar", FILES)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    beside = tmp_path / "data.tar.sha256"
    beside.write_text(f"{digest}  data.tar\n")
    load(path)
    beside.write_text(f"{'0' * 64}  data.tar\n")
    assert digest in refused(path, "fetch it again", "WrongHash")
    beside.write_text("nothing\n")
    with pytest.raises(SpecError, match="no SHA-256 in it"):
        load(path)


def test_no_name_in_an_archive_leads_anywhere(tmp_path: Path) -> None:
    (tmp_path / "secret_test.csv").write_bytes(FILES["test/odd_subject_test.csv"])
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo("data/test/secret_test.csv")
            link.type, link.linkname = kind, str(tmp_path / "secret_test.csv")
            tar.addfile(link)
        device = tarfile.TarInfo("data/test/zero_test.csv")
        device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 5
        tar.addfile(device)
        member = tarfile.TarInfo("data/../../../test/out_test.csv")
        tar.addfile(member)
    before = sorted(tmp_path.iterdir())
    refused(path, "no test/<subject>_test.csv")
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_s_pipe_is_not_waited_for(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "f", FILES)
    os.mkfifo(folder / "test" / "pipe_test.csv")
    assert "pipe" not in load(folder).test


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    write_files(tmp_path / "f" / "..2026_11_21", FILES)
    for split in ("dev", "test"):
        (tmp_path / "f" / split).symlink_to(f"..2026_11_21/{split}")
    assert load(tmp_path / "f").counts.questions == 11


def lowered(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(containers, name, value)


def test_an_archive_s_size_is_bounded_before_and_after_decompression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = write_tar(tmp_path / "bomb.tgz", FILES | {"big.bin": b"\0" * 8_000_000}, "w:gz")
    assert bomb.stat().st_size < 100_000
    load(bomb)
    lowered(monkeypatch, ARCHIVE_BYTES=1_000_000)
    refused(bomb, "holds more than 1000000 bytes")
    lowered(monkeypatch, ARCHIVE_BYTES=1000)
    refused(bomb, "longer than 1000 bytes")


def test_each_file_and_all_together_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = FILES | {"test/long_test.csv": b"x" * 5000}
    lowered(monkeypatch, FILE_BYTES=4999)
    for path in (
        write_tar(tmp_path / "l.tar", long),
        write_zip(tmp_path / "l.zip", long),
        write_files(tmp_path / "l", long),
    ):
        refused(path, "long_test.csv is longer than 4999 bytes")
    lowered(monkeypatch, TOTAL_BYTES=200)
    refused(write_zip(tmp_path / "t.zip", FILES), "more than 200 bytes")


def test_the_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = FILES | {f"x{n}": b"" for n in range(30)}
    lowered(monkeypatch, MEMBERS=30)
    for path in (
        write_tar(tmp_path / "m.tar", many),
        write_zip(tmp_path / "m.zip", many),
        write_files(tmp_path / "m", many),
    ):
        refused(path, "more than 30 files")


def test_an_endless_header_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "h.tar"
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 3_000_000_000
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 4096)
    refused(path, "extended header of 3000000000 bytes")


def test_a_sparse_file_s_holes_are_not_read(tmp_path: Path) -> None:
    """They are no bytes of the archive, so no bound on it would see them."""
    member = tarfile.TarInfo("data/test/holes_test.csv")
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"00000000000\0" * 2  # the first chunk: nothing, at 0
    header[483:495] = b"00004000000\0"  # the size that it unpacks to
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "s.tar"
    path.write_bytes(bytes(header) + b"\0" * 1024)
    with tarfile.open(path) as archive:
        [found] = archive.getmembers()
        assert (found.issparse(), found.size) == (True, 1 << 20)
    refused(path, "no test/<subject>_test.csv")


def test_an_encrypted_zip_is_told_so(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "e.zip", FILES)
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        names = len(archive.infolist())
    start = raw.find(b"PK\1\2")
    for _ in range(names):
        raw[start + 8] |= 1
        start = raw.find(b"PK\1\2", start + 4)
    path.write_bytes(raw)
    refused(path, "without a password")


@pytest.mark.parametrize("way", ["tar", "tar.gz", "tar.xz", "zip", "tar.bz2"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_a_cut_archive_is_no_smaller_set(tmp_path: Path, way: str, kept: float) -> None:
    path = WAYS[way](tmp_path)
    raw = path.read_bytes()
    end = raw.rstrip(b"\0")
    path.write_bytes(raw[: int(len(end) * kept)])
    with pytest.raises(SpecError) as caught:
        load(path)
    assert caught.value.reason == "BadData"


def test_two_sets_in_one_place_are_not_mixed(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "f", FILES)
    write_files(folder / "other", csv_files({"test": {"more": AWKWARD["test"]["odd_subject"]}}))
    refused(folder, "two sets in it")
    both = write_all_parquet(write_files(tmp_path / "b", FILES))
    refused(both, "csv and parquet")
    twice = tmp_path / "twice.tar"
    with tarfile.open(twice, "w") as tar:
        for _ in range(2):
            member = tarfile.TarInfo("test/odd_test.csv")
            member.size = 12
            tar.addfile(member, io.BytesIO(b"q,a,b,c,d,A\n"))
    refused(twice, "test of odd is there twice")


GOOD = ("q", "s", ["a", "b", "c", "d"], 0)
SOME = "question VARCHAR, subject VARCHAR, choices VARCHAR[], answer BIGINT"


@pytest.mark.parametrize(
    ("rows", "columns", "told"),
    [
        ([GOOD, ("q", "s", ["a", None, "c", "d"], 0)], SOME, "row 2: choice B is null"),
        ([("q", "s", ["a", "b", "c"], 0)], SOME, "row 1: 3 choices, not four"),
        ([("q", "s", ["a", "b", "c", "d", "e"], 0)], SOME, "5 choices"),
        ([("q", "s", ["a", "b", "c", "d"], 4)], SOME, "the answer is 4, not 0, 1, 2 or 3"),
        ([("q", "s", ["a", "b", "c", "d"], -1)], SOME, "the answer is -1"),
        ([("q", "s", ["a", "b", "c", "d"], None)], SOME, "answer is null"),
        ([(None, "s", ["a", "b", "c", "d"], 0)], SOME, "question, choices or answer is null"),
        ([("q", "s", None, 0)], SOME, "is null"),
        ([("q", "../s", ["a", "b", "c", "d"], 0)], SOME, "'../s', which is none"),
        ([("q", None, ["a", "b", "c", "d"], 0)], SOME, "'all', which is none"),
        ([("q", ["a"], 0)], "question VARCHAR, choices VARCHAR[], answer INT", "'all'"),
        ([("q", "s", "abcd", 0)], SOME.replace("[]", ""), "column choices is VARCHAR, not"),
        ([("q", "s", ["a"], "A")], SOME.replace("BIGINT", "VARCHAR"), "column answer is VARCHAR"),
        ([("q", "s", ["a"])], SOME.rpartition(",")[0], "column answer is missing"),
        ([(b"q", "s", ["a"], 0)], SOME.replace("n VARCHAR", "n BLOB"), "column question is BLOB"),
    ],
)
def test_rows_that_are_none_of_mmlu(
    tmp_path: Path, rows: list[Any], columns: str, told: str
) -> None:
    write_parquet(tmp_path / "p" / "all" / "test-00000-of-00001.parquet", rows, columns)
    with pytest.raises(SpecError, match=told) as caught:
        load(tmp_path / "p")
    assert caught.value.reason == "BadData"
    assert "all/test-00000-of-00001.parquet" in caught.value.message


def test_parts_that_are_missing_or_in_another_s_folder(tmp_path: Path) -> None:
    folder = in_parts(tmp_path / "p")
    (folder / "all" / "test-00001-of-00003.parquet").unlink()
    refused(folder, "give each of them")
    folder = write_subject_parquet(tmp_path / "q")
    (folder / "abstract_algebra").rename(folder / "anatomy")
    refused(folder, "in another's folder")


def test_what_is_no_parquet_is_told_so(tmp_path: Path) -> None:
    folder = write_all_parquet(tmp_path / "p")
    file = folder / "all" / "test-00000-of-00001.parquet"
    whole = file.read_bytes()
    for raw in (
        b"",
        b"PAR1",
        whole[:-9],
        whole[:100] + b"\xff" * 60 + whole[160:],
        gzip.compress(whole),
    ):
        file.write_bytes(raw)
        message = refused(folder, "no sound parquet file")
        assert str(tmp_path) not in message.partition("no sound")[2], "no temporary name"
