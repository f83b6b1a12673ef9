"""Data out of S3: addresses, signatures, and every way in which a server can fail."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ascendllm.checks.data_source import at_hand, parse_source
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.s3.address import S3Source, parse_uri
from ascendllm.checks.s3.fetch import Limits, fetch
from ascendllm.checks.s3.signature import Credentials, canonical_query, signed_headers
from ascendllm.exceptions import CheckError, SpecError
from unit.checks.s3_server import KEYS, REGION, S3Server, failure, listing

QUICK = RetryPolicy(attempts=3, first=0.01, longest=0.02)
LONG = random.Random(5).randbytes(9 * 1024 * 1024)
ODD = "mmlu/test/a b+c&d=é%#?_test.csv"
OBJECTS = {
    "mmlu/": b"",
    "mmlu/dev/x_dev.csv": b"dev",
    "mmlu/test/x_test.csv": b"test",
    ODD: b"odd",
    "mmlu/note.txt": b"",
    "mmlu.tar": LONG,
}


async def fetched(
    server: S3Server, uri: str, environment: dict[str, str] | None = None, **limits: Any
) -> dict[str, bytes]:
    """What comes of an address, by relative name."""
    source = parse_source(uri, server.url, REGION)
    if server.virtual:
        assert isinstance(source, S3Source)
        source = S3Source(source.bucket, source.key, server.url, REGION)
    chosen = Limits(retry=QUICK, **limits)
    keys = KEYS if environment is None else environment
    async with at_hand(source, lambda name: not name.endswith(".txt"), chosen, keys) as path:
        if path.is_file():
            return {path.name: path.read_bytes()}
        files = [file for file in path.rglob("*") if file.is_file()]
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


@pytest.mark.parametrize(
    ("endpoint", "region", "bucket", "root"),
    [
        (None, None, "b1x", "https://b1x.s3.us-east-1.amazonaws.com"),
        (None, "eu-west-1", "b1x", "https://b1x.s3.eu-west-1.amazonaws.com"),
        (None, None, "a.dot", "https://s3.us-east-1.amazonaws.com/a.dot"),
        (
            "https://obs.cn-north-4.myhuaweicloud.com/",
            "cn-north-4",
            "b1x",
            "https://b1x.obs.cn-north-4.myhuaweicloud.com",
        ),
        ("http://minio.minio.svc:9000", None, "b1x", "http://minio.minio.svc:9000/b1x"),
        ("http://10.0.0.1:9000", None, "b1x", "http://10.0.0.1:9000/b1x"),
        ("http://10.0.0.1:9000", None, "10.0", "http://10.0.0.1:9000/10.0"),
        ("https://b1x.obs.example.com", None, "b1x", "https://b1x.obs.example.com"),
        ("https://s3.example.com/base", None, "b1x", "https://s3.example.com/base/b1x"),
    ],
)
def test_the_host_decides_how_a_bucket_is_addressed(
    endpoint: str | None, region: str | None, bucket: str, root: str
) -> None:
    source = parse_uri(f"s3://{bucket}/a/b.tar", endpoint, region)
    assert (source.root, source.key) == (root, "a/b.tar")
    assert str(source) == f"s3://{bucket}/a/b.tar"


@pytest.mark.parametrize(
    ("text", "endpoint", "region", "told"),
    [
        ("s3:///key", None, None, "no bucket's name"),
        ("s3://Upper/key", None, None, "no bucket's name"),
        ("s3://bucket/a\nb", None, None, "printable"),
        ("s3://bucket/" + "k" * 1025, None, None, "at most 1024"),
        ("s3://bucket/key", "minio:9000", None, "needs http:// or https://"),
        ("s3://bucket/key", "http://h:port", None, "--data-endpoint"),
        ("s3://bucket/key", "http://h/?q", None, "no query"),
        ("s3://bucket/key", None, "eu west", "region's name"),
        ("https://h/x", None, None, "or s3://bucket/key"),
        ("/data", "http://h", None, "leave them out"),
        ("", None, None, "give a path"),
        ("/data\0", None, None, "give a path"),
    ],
)
def test_addresses_that_are_none(
    text: str, endpoint: str | None, region: str | None, told: str
) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        parse_source(text, endpoint, region)
    assert caught.value.reason == "BadData"


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(SpecError, match="no credentials") as caught:
        parse_source("s3://bucket/key", "http://user:hunter2@h")
    assert "hunter2" not in caught.value.message


def test_a_signature_is_that_of_the_worked_example() -> None:
    """Amazon S3 API reference, Signature Version 4: the examples "GET Object" and "Get Bucket"."""
    keys = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    when = datetime(2013, 5, 24, tzinfo=UTC)
    host = "examplebucket.s3.amazonaws.com"
    get = signed_headers(keys, "us-east-1", host, "/test.txt", "", {"range": "bytes=0-9"}, when)
    wanted = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert get["authorization"].endswith(f"Signature={wanted}")
    query = canonical_query({"prefix": "J", "max-keys": "2"})
    bucket = signed_headers(keys, "us-east-1", host, "/", query, {}, when)
    wanted = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    assert bucket["authorization"].endswith(f"Signature={wanted}")


@pytest.mark.parametrize("virtual", [False, True])
async def test_an_object_and_a_prefix(virtual: bool) -> None:
    async with S3Server(OBJECTS, virtual=virtual).serve() as server:
        assert await fetched(server, "s3://data-bucket/mmlu.tar") == {"mmlu.tar": LONG}
        assert len(server.seen) == 2, "two ranges"
        below = {"dev/x_dev.csv": b"dev", "test/x_test.csv": b"test", ODD[5:]: b"odd"}
        assert await fetched(server, "s3://data-bucket/mmlu") == below
        assert await fetched(server, "s3://data-bucket/mmlu/") == below
        assert await fetched(server, f"s3://data-bucket/{ODD}") == {ODD[10:]: b"odd"}
        assert await fetched(server, "s3://data-bucket/mmlu/note.txt") == {"note.txt": b""}
        assert len(await fetched(server, "s3://data-bucket")) == 4


async def test_what_was_fetched_is_gone_afterwards(tmp_path: Path) -> None:
    async with S3Server(OBJECTS).serve() as server:
        source = parse_source("s3://data-bucket/mmlu.tar", server.url, REGION)
        async with at_hand(source, environment=KEYS) as path:
            assert path.is_file()
    folders = [path.parent, tmp_path]
    async with at_hand(tmp_path) as path:
        assert path == tmp_path
    assert [folder.exists() for folder in folders] == [False, True]


async def test_keys_of_a_session_and_none_at_all() -> None:
    async with S3Server(OBJECTS, token="temporary").serve() as server:
        keys = KEYS | {"AWS_SESSION_TOKEN": "temporary"}
        assert await fetched(server, "s3://data-bucket/mmlu/dev/x_dev.csv", keys)
    async with S3Server(OBJECTS, keys=None).serve() as server:
        assert await fetched(server, "s3://data-bucket/mmlu/dev/x_dev.csv", {})


@pytest.mark.parametrize("missing", list(KEYS))
async def test_half_a_key_pair_is_refused(missing: str) -> None:
    keys = {name: value for name, value in KEYS.items() if name != missing}
    async with S3Server(OBJECTS).serve() as server:
        with pytest.raises(SpecError, match=f"{missing} is not set"):
            await fetched(server, "s3://data-bucket/mmlu.tar", keys)


async def test_throttling_and_lost_connections_are_tried_again() -> None:
    server = S3Server(OBJECTS, cut=[1_000_000, 2_000_000, 10, 5])
    server.faults = [lambda _: failure(503, "SlowDown"), lambda _: failure(429, "TooMany")]
    async with server.serve():
        assert await fetched(server, "s3://data-bucket/mmlu.tar") == {"mmlu.tar": LONG}
    starts = [int(line.split("bytes=")[1].split("-")[0]) for line in server.seen]
    assert starts[:3] == [0, 0, 0]
    assert starts[3] > 0, "it goes on from where it was lost"
    assert sorted(starts) == starts


@pytest.mark.parametrize(
    ("uri", "fault", "told"),
    [
        ("s3://data-bucket/x", lambda _: failure(503, "SlowDown"), "HTTP 503 SlowDown, 3 times"),
        ("s3://data-bucket/", lambda _: failure(500, "InternalError"), "HTTP 500"),
        ("s3://data-bucket/x", lambda _: failure(403, "AccessDenied"), "look at the keys"),
        (
            "s3://data-bucket/x",
            lambda _: web.Response(status=301, headers={"x-amz-bucket-region": "eu-west-1"}),
            "bucket is in region 'eu-west-1'",
        ),
        ("s3://data-bucket/x", lambda _: failure(400, "InvalidArgument"), "look at the bucket"),
        ("s3://data-bucket/x", lambda _: web.Response(text="", status=206), "no fitting length"),
        (
            "s3://data-bucket/x",
            lambda _: web.Response(
                body=b"abc", status=206, headers={"Content-Range": "bytes 5-7/8"}
            ),
            "no fitting length",
        ),
        ("s3://data-bucket/", lambda _: web.Response(text="<html>"), "is no XML"),
        ("s3://data-bucket/", lambda _: web.Response(text="<html/>"), "is a 'html'"),
        (
            "s3://data-bucket/",
            lambda _: web.Response(text="<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult/>"),
            "document type",
        ),
        (
            "s3://data-bucket/",
            lambda _: listing("<IsTruncated>true</IsTruncated>"),
            "no way to go on",
        ),
        (
            "s3://data-bucket/a/",
            lambda _: listing("<Contents><Key>b/x</Key><Size>1</Size></Contents>"),
            "was not asked for",
        ),
    ],
)
async def test_what_a_server_can_answer_instead(uri: str, fault: Any, told: str) -> None:
    async with S3Server(OBJECTS, faults=[fault] * 3).serve() as server:
        with pytest.raises(CheckError, match=told) as caught:
            await fetched(server, uri)
    assert "data-bucket" in caught.value.message


async def test_an_object_that_changes_while_it_is_read() -> None:
    server = S3Server({"x.tar": LONG}, then={"x.tar": LONG[::-1]})
    async with server.serve():
        with pytest.raises(CheckError) as caught:
            await fetched(server, "s3://data-bucket/x.tar")
    assert caught.value.reason == "DataChanged"


async def test_a_server_that_is_not_there() -> None:
    async with S3Server(OBJECTS).serve() as server:
        url = server.url
    source = parse_source("s3://data-bucket/x", url, REGION)
    with pytest.raises(CheckError, match="3 times; look at --data-endpoint") as caught:
        async with at_hand(source, limits=Limits(retry=QUICK), environment=KEYS):
            pass
    assert caught.value.reason == "DataUnreachable"


@pytest.mark.parametrize(
    ("uri", "limits", "told"),
    [
        ("s3://data-bucket/none", {}, "no such object"),
        ("s3://data-bucket/mmlu.tar", {"object_bytes": 100}, "9437184 bytes, at most 100"),
        ("s3://data-bucket", {"objects": 3}, "more than 3 objects"),
        ("s3://data-bucket", {"total_bytes": 3}, "at most 3 are read"),
    ],
)
async def test_what_is_not_there_or_too_much(uri: str, limits: dict[str, int], told: str) -> None:
    async with S3Server(OBJECTS).serve() as server:
        with pytest.raises(SpecError, match=told) as caught:
            await fetched(server, uri, **limits)
    assert caught.value.reason == "BadData"


@pytest.mark.parametrize("key", ["a/../../x", "a//x", "a/./x", "a/b\\c", "a/" + "x" * 201])
async def test_a_name_leads_nowhere_else(key: str) -> None:
    async with S3Server({key: b"x"}).serve() as server:
        with pytest.raises(SpecError, match="no file's name"):
            await fetched(server, "s3://data-bucket/")


async def test_a_place_that_can_t_be_written(tmp_path: Path) -> None:
    source = parse_source("s3://data-bucket/mmlu.tar", "http://127.0.0.1:1", REGION)
    assert isinstance(source, S3Source)
    with pytest.raises(CheckError, match="is there room"):
        await fetch(source, tmp_path / "none", lambda _: True, Limits(retry=QUICK), KEYS)


async def test_no_bucket() -> None:
    async with S3Server(OBJECTS).serve() as server:
        with pytest.raises(CheckError, match="NoSuchBucket"):
            await fetched(server, "s3://other-bucket/x")


async def test_no_key_is_ever_shown(capfd: pytest.CaptureFixture[str]) -> None:
    secret = {"AWS_ACCESS_KEY_ID": "AKIDOTHER", "AWS_SECRET_ACCESS_KEY": "hush"}
    secret["AWS_SESSION_TOKEN"] = "whisper"
    messages = []
    async with S3Server(OBJECTS, token="whisper").serve() as server:
        for keys in (secret, secret | {"AWS_ACCESS_KEY_ID": KEYS["AWS_ACCESS_KEY_ID"]}):
            with pytest.raises(CheckError, match="SignatureDoesNotMatch") as caught:
                await fetched(server, "s3://data-bucket/mmlu.tar", keys)
            messages.append(f"{caught.value!r} {caught.value}")
    credentials = Credentials("AKIDOTHER", "hush", "whisper")
    messages += [repr(credentials), "".join(capfd.readouterr())]
    for text in messages:
        assert not any(value in text for value in secret.values()), text
    assert credentials.redacted("hush, AKIDOTHER whisper") == "***, *** ***"


async def test_keys_with_a_line_break_are_refused_without_showing_them() -> None:
    keys = KEYS | {"AWS_SECRET_ACCESS_KEY": "a\nb"}
    async with S3Server(OBJECTS).serve() as server:
        with pytest.raises(SpecError, match="AWS_SECRET_ACCESS_KEY holds") as caught:
            await fetched(server, "s3://data-bucket/mmlu.tar", keys)
    assert "a\nb" not in caught.value.message


async def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert "AWS_SESSION_TOKEN" not in os.environ
    async with S3Server(OBJECTS).serve() as server:
        source = parse_source("s3://data-bucket/mmlu/dev/x_dev.csv", server.url, REGION)
        async with at_hand(source) as path:
            assert path.read_bytes() == b"dev"
