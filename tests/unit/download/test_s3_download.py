"""`ascendllm download` from a real S3 store: what the protocol itself decides."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ascendllm.download.source import Source
from ascendllm.download.sources.s3_store import S3Store
from s3.store import REGION, Store, serving
from unit.download.models import WANTED, model
from unit.download.test_download import Came, assert_whole, call, download, environment, files

BUCKET = "models"
IN_REGION = f"--region={REGION}"
SHARDS = tuple(sorted(path for path in WANTED if path.endswith(".safetensors")))
SHARD_BYTES = 40_000_000
ODD = {
    "a b+c&d=é%#?.json": b"{}",
    "chat templates/~tool's (1),*!@$;:.jinja": b"{{ messages }}",
    "模型/说明.md": "模型".encode(),
    "code/nested/deep/er.py": b"pass\n",
    "code/__init__.py": b"",
}
"""Keys that a signature, a listing and a path write differently, and an empty object."""

NOT_MODEL = {"": b"", "code/": b"", "code/nested/": b""}
"""Markers of folders, as a console makes them."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One whose listings take several pages."""
    with serving(tmp_path_factory.mktemp("store"), page=5) as running:
        running.make_bucket(BUCKET)
        yield running


@pytest.fixture
def prefix(store: Store, tmp_path: Path) -> str:
    """Of a small model, with a neighbour whose name begins alike."""
    name = tmp_path.name
    put(store, f"{name}/", model(), tmp_path)
    put(store, f"{name}-2/", {"config.json": b"of another model"}, tmp_path)
    return name


def put(store: Store, below: str, objects: dict[str, bytes], scratch: Path) -> None:
    store.put(BUCKET, {f"{below}{key}": body for key, body in objects.items()}, scratch / "body")


def fetch(store: Store, prefix: str, root: Path, **keys: str) -> Came:
    return download(f"s3://{BUCKET}/{prefix}", root, store.url, IN_REGION, **keys)


def cut_in_the_middle(store: Store, prefix: str, root: Path) -> dict[str, int]:
    """Begin a download and kill it; the bytes that came of each shard."""
    process = subprocess.Popen(
        call(f"s3://{BUCKET}/{prefix}", root, store.url, IN_REGION),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(**store.keys),
    )
    parts = {path: root / "partial" / f"{path}.part" for path in SHARDS}
    while not all(part.exists() and part.stat().st_size for part in parts.values()):
        assert process.poll() is None, "it ended before it could be killed"
    # Nothing more comes, however long this process has to wait for its turn.
    store.process.send_signal(signal.SIGSTOP)
    try:
        process.kill()
        process.wait(20)
    finally:
        store.process.send_signal(signal.SIGCONT)
    assert not (root / "model").exists()
    return {path: part.stat().st_size for path, part in parts.items()}


def test_every_kind_of_object_comes_as_it_is(store: Store, tmp_path: Path) -> None:
    objects = model(SHARD_BYTES) | ODD
    put(store, "all/", objects | NOT_MODEL, tmp_path)
    put(store, "all-2/", {"config.json": b"of another model"}, tmp_path)
    tag = store.call("s3", "head_object", Bucket=BUCKET, Key=f"all/{SHARDS[0]}")["ETag"]
    root = tmp_path / "m"
    with store.recorded() as asked:
        came = fetch(store, "all", root, **store.keys)
    assert came.code == 0, came.result
    wanted = WANTED | ODD.keys()
    assert files(root / "model") == wanted
    for path in wanted:
        assert (root / "model" / path).read_bytes() == objects[path], path
    assert came.result["bytes"] == sum(len(objects[path]) for path in wanted)
    kept = {
        path: told for path, _, told in json.loads((root / "manifest.json").read_text())["files"]
    }
    assert kept[SHARDS[0]] == tag
    assert "-5" in tag, "of five parts: no MD5 of the whole"
    assert len([request for request in asked if request.path == f"/{BUCKET}"]) > 2, "pages"
    ranges = [request for request in asked if request.path == f"/{BUCKET}/all/{SHARDS[0]}"]
    starts = [request.first for request in ranges]
    assert starts == list(range(0, SHARD_BYTES, 8 * 1024 * 1024))
    assert {request.tag for request in ranges} == {tag}


def test_killed_in_the_middle_it_goes_on_from_there(store: Store, tmp_path: Path) -> None:
    objects = model(SHARD_BYTES)
    put(store, "killed/", objects, tmp_path)
    root = tmp_path / "m"
    there = cut_in_the_middle(store, "killed", root)
    assert all(0 < count < len(objects[path]) for path, count in there.items())
    with store.recorded() as asked:
        came = fetch(store, "killed", root, **store.keys)
    assert came.code == 0, came.result
    assert_whole(root, objects)
    for path, count in there.items():
        starts = [one.first for one in asked if one.path == f"/{BUCKET}/killed/{path}"]
        assert starts[0] == count
        assert starts == sorted(starts)
    assert f"/{BUCKET}" not in {one.path for one in asked}, "it was listed once"
    total = sum(len(objects[path]) for path in WANTED)
    assert came.result["fetchedBytes"] <= total - sum(there.values())


def test_an_object_that_changes_in_the_middle_is_fetched_anew(store: Store, tmp_path: Path) -> None:
    before, after = model(SHARD_BYTES), model(SHARD_BYTES)
    after[SHARDS[0]] = before[SHARDS[0]][:-1] + b"\xff"
    put(store, "changed/", before, tmp_path)
    root = tmp_path / "m"
    there = cut_in_the_middle(store, "changed", root)
    put(store, "changed/", {SHARDS[0]: after[SHARDS[0]]}, tmp_path)
    with store.recorded() as asked:
        came = fetch(store, "changed", root, **store.keys)
    assert came.code == 0, came.result
    assert_whole(root, after)
    of_changed, of_same = (
        [one.first for one in asked if one.path == f"/{BUCKET}/changed/{path}"] for path in SHARDS
    )
    assert of_changed[0] == there[SHARDS[0]], "gone on with, and refused by its ETag"
    assert 0 in of_changed
    assert 0 not in of_same, "what did not change is kept"
    assert of_same == sorted(set(of_same)), "one worker a file, before and after it was listed anew"


def test_it_is_listed_as_it_is_at_amazon(tmp_path: Path) -> None:
    """1000 objects a page: one that is full and the last, and one that is full and not."""
    with serving(tmp_path) as store, store.for_anyone():
        store.make_bucket(BUCKET)
        for number in range(1001):
            store.call("s3", "put_object", Bucket=BUCKET, Key=f"many/{number:04}.txt", Body="x")
        remote = S3Store(Source("s3", f"s3://{BUCKET}/many", "", store.url, REGION), store.keys)
        assert [file.path for file in remote.listing().files] == [
            f"{n:04}.txt" for n in range(1001)
        ]
        store.call("s3", "delete_object", Bucket=BUCKET, Key="many/0500.txt")
        assert len(remote.listing().files) == 1000


def test_the_keys_count(store: Store, prefix: str, tmp_path: Path) -> None:
    wrong = [
        store.keys | {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"},
        store.keys | {"AWS_SECRET_ACCESS_KEY": "wrong/secret+" + "x" * 27},
        store.keys | {"AWS_SESSION_TOKEN": "of-no-session"},
    ]
    for keys in wrong:
        came = fetch(store, prefix, tmp_path / "m", **keys)
        assert (came.code, came.result["reason"]) == (1, "AccessDenied")
        assert "spec.model.source.s3" in came.result["message"]
        assert not any(value in came.stderr + str(came.result) for value in keys.values())
        assert not (tmp_path / "m").exists()
    assert fetch(store, prefix, tmp_path / "m", **store.keys).code == 0


@pytest.mark.parametrize("allowed", [["s3:ListBucket"], ["s3:GetObject"]])
def test_keys_need_the_right_to_list_and_to_get(
    store: Store, prefix: str, tmp_path: Path, allowed: list[str]
) -> None:
    keys = store.user(f"u{prefix}", {"Effect": "Allow", "Action": allowed, "Resource": "*"})
    came = fetch(store, prefix, tmp_path / "m", **keys)
    assert (came.code, came.result["reason"]) == (1, "AccessDenied")
    assert "their right to list and get" in came.result["message"]
    assert not (tmp_path / "m" / "model").exists()


def test_keys_of_a_session(store: Store, prefix: str, tmp_path: Path) -> None:
    trust: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "sts:AssumeRole",
    }
    reads = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": "*"}
    policies = [json.dumps({"Version": "2012-10-17", "Statement": [one]}) for one in (trust, reads)]
    role = store.call(
        "iam", "create_role", RoleName="reader", AssumeRolePolicyDocument=policies[0]
    )["Role"]
    store.call(
        "iam", "put_role_policy", RoleName="reader", PolicyName="all", PolicyDocument=policies[1]
    )
    session = store.call("sts", "assume_role", RoleArn=role["Arn"], RoleSessionName="download")
    given = session["Credentials"]
    keys = {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
    }
    token = given["SessionToken"]
    assert fetch(store, prefix, tmp_path / "n", **keys).result["reason"] == "AccessDenied"
    assert fetch(store, prefix, tmp_path / "m", **keys, AWS_SESSION_TOKEN=token).code == 0
    assert_whole(tmp_path / "m", model())


def test_without_keys_comes_what_anyone_may_read(store: Store, prefix: str, tmp_path: Path) -> None:
    store.make_bucket("open")
    store.put("open", {f"llama/{path}": body for path, body in model().items()}, tmp_path / "body")
    read = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
    statement = read | {"Resource": "arn:aws:s3:::open/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    store.call("s3", "put_bucket_policy", Bucket="open", Policy=policy)
    with store.for_anyone():
        came = download("s3://open/llama", tmp_path / "m", store.url, IN_REGION)
        refused = fetch(store, prefix, tmp_path / "n")
    assert came.code == 0, came.result
    assert_whole(tmp_path / "m", model())
    assert (refused.code, refused.result["reason"]) == (1, "AccessDenied")
    assert "no key is set" in refused.result["message"]


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        (f"s3://{BUCKET}/none", "no object below none/"),
        (f"s3://{BUCKET}/test_what_is_not_there/config.json", "no object below"),
        ("s3://no-such-bucket/llama", "HTTP 404 NoSuchBucket; look at the bucket's name"),
    ],
)
def test_what_is_not_there(store: Store, tmp_path: Path, uri: str, told: str) -> None:
    put(store, "test_what_is_not_there/", {"config.json": b"{}"}, tmp_path)
    came = download(uri, tmp_path / "m", store.url, IN_REGION, **store.keys)
    assert (came.code, came.result["reason"]) == (1, "SourceNotFound")
    assert told in came.result["message"]
    assert not (tmp_path / "m").exists()
