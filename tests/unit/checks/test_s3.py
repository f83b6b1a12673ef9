"""Data out of S3: addresses, signatures, and every way in which a server can fail."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ascendllm.checks.data_source import at_hand, parse_source
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.s3.address import S3Source, parse_uri
from ascendllm.checks.s3.credentials import Credentials
from ascendllm.checks.s3.fetch import Limits, fetch
from ascendllm.exceptions import CheckError, SpecError
from cluster.pki import Authority
from unit.checks.s3_server import KEYS, REGION, S3Server, contents, failure, listing

QUICK = RetryPolicy(attempts=3, first=0.01, longest=0.02)
LONG = random.Random(5).randbytes(9 * 1024 * 1024)
ODD = "mmlu/test/a b+c&d=é%#?_test.csv"
OBJECTS = {
    "mmlu/": b"",
    "mmlu/dev/": b"",
    "mmlu/dev/x_dev.csv": b"dev",
    "mmlu/test/x_test.csv": b"test",
    "mmlu/test/none_test.csv": b"",
    ODD: b"odd",
    "mmlu/note.txt": b"",
    "mmlu.tar": LONG,
}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("no_proxy", raising=False)


async def fetched(
    server: S3Server, uri: str, environment: dict[str, str] | None = None, **limits: Any
) -> dict[str, bytes]:
    """What comes of an address, by relative name."""
    source = parse_source(uri, server.url, REGION)
    if server.virtual:
        assert isinstance(source, S3Source)
        source = S3Source(source.bucket, source.key, server.url, REGION)
    chosen = Limits(**{"retry": QUICK} | limits)
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
        ("s3://bucket//key", None, None, "a name that is not"),
        ("s3://bucket/a/../key", None, None, "a name that is not"),
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


@pytest.mark.parametrize("virtual", [False, True])
async def test_an_object_and_a_prefix(virtual: bool) -> None:
    async with S3Server(OBJECTS, virtual=virtual).serve() as server:
        assert await fetched(server, "s3://data-bucket/mmlu.tar") == {"mmlu.tar": LONG}
        assert len(server.seen) == 2, "two ranges"
        below = {"dev/x_dev.csv": b"dev", "test/x_test.csv": b"test", ODD[5:]: b"odd"}
        below["test/none_test.csv"] = b""
        assert await fetched(server, "s3://data-bucket/mmlu") == below
        assert await fetched(server, "s3://data-bucket/mmlu/") == below
        assert await fetched(server, f"s3://data-bucket/{ODD}") == {ODD[10:]: b"odd"}
        assert await fetched(server, "s3://data-bucket/mmlu/note.txt") == {"note.txt": b""}
        assert len(await fetched(server, "s3://data-bucket")) == 5


async def test_a_prefix_of_any_name() -> None:
    async with S3Server({"sets/data/a.csv": b"a"}).serve() as server:
        assert await fetched(server, "s3://data-bucket/sets/data") == {"a.csv": b"a"}


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


async def test_throttling_is_tried_again_and_a_cut_body_goes_on_where_it_was_cut() -> None:
    server = S3Server(OBJECTS, cut=[1_000_000, 2_000_000, 10, 5])
    server.faults = [lambda _: failure(503, "SlowDown"), lambda _: failure(429, "TooMany")]
    many = RetryPolicy(attempts=8, first=0.01, longest=0.02)
    async with server.serve():
        assert await fetched(server, "s3://data-bucket/mmlu.tar", retry=many) == {"mmlu.tar": LONG}
    starts = [int(line.split("bytes=")[1].split("-")[0]) for line in server.seen]
    assert starts[:3] == [0, 0, 0]
    assert starts[3] == 1_000_000, "it goes on from where it was cut"
    assert sorted(starts) == starts


async def test_a_body_that_is_always_cut_is_an_error() -> None:
    async with S3Server(OBJECTS, cut=[1000] * 3).serve() as server:
        with pytest.raises(CheckError, match=r"body error.*; look at --data-endpoint") as caught:
            await fetched(server, "s3://data-bucket/mmlu.tar")
    assert caught.value.reason == "DataUnreachable"


@pytest.mark.parametrize(
    ("body", "told"), [(b"short", "sent those up to 5"), (b"x" * 11, "sent more")]
)
async def test_another_length_than_announced_is_an_error(body: bytes, told: str) -> None:
    def fault(_: web.Request) -> web.Response:
        return web.Response(body=body, status=206, headers={"Content-Range": "bytes 0-9/10"})

    async with S3Server(OBJECTS, faults=[fault]).serve() as server:
        with pytest.raises(CheckError, match=f"up to 10 and {told}") as caught:
            await fetched(server, "s3://data-bucket/x")
    assert caught.value.reason == "DataRefused"


@pytest.mark.parametrize("size", [2, 4])
async def test_another_length_than_listed_is_an_error(size: int) -> None:
    def fault(_: web.Request) -> web.Response:
        return listing(contents("mmlu/dev/x_dev.csv", size) + "<IsTruncated>false</IsTruncated>")

    async with S3Server(OBJECTS, faults=[fault]).serve() as server:
        with pytest.raises(CheckError, match=f"3 bytes came, {size} were listed") as caught:
            await fetched(server, "s3://data-bucket/mmlu/")
    assert caught.value.reason == "DataChanged"


@pytest.mark.parametrize("more", [False, True])
async def test_a_full_page_that_names_no_next_one(more: bool) -> None:
    """As of a server that knows the first version of ListObjects only."""

    def page(_: web.Request) -> web.Response:
        items = "".join(contents(f"mmlu/{number:04}.txt", 1) for number in range(1000))
        return listing(f"{items}<IsTruncated>{str(more).lower()}</IsTruncated>")

    def after(_: web.Request) -> web.Response:
        return page(_) if more else listing("<IsTruncated>false</IsTruncated>")

    async with S3Server(OBJECTS, faults=[page, after]).serve() as server:
        with pytest.raises((CheckError, SpecError)) as caught:
            await fetched(server, "s3://data-bucket/mmlu/")
    told = "is cut short with no way to go on" if more else "no file of the data below it"
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("uri", "fault", "told"),
    [
        ("s3://data-bucket/x", lambda _: failure(503, "SlowDown"), "HTTP 503 SlowDown, 3 times"),
        ("s3://data-bucket/", lambda _: failure(500, "InternalError"), "HTTP 500"),
        ("s3://data-bucket/x", lambda _: failure(403, "AccessDenied"), "look at the keys"),
        (
            "s3://data-bucket/x",
            lambda _: web.Response(status=301, headers={"x-amz-bucket-region": "eu-west-1"}),
            "look at the bucket's name, --data-endpoint and --data-region",
        ),
        ("s3://data-bucket/x", lambda _: failure(400, "InvalidArgument"), "look at the bucket"),
        ("s3://data-bucket/x", lambda _: web.Response(text="", status=206), "no S3 server"),
        ("s3://data-bucket/x", lambda _: web.Response(text="whole"), "no S3 server"),
        (
            "s3://data-bucket/x",
            lambda _: web.Response(
                body=b"abc", status=206, headers={"Content-Range": "bytes 5-7/8"}
            ),
            "no S3 server",
        ),
        ("s3://data-bucket/", lambda _: web.Response(text="<html>"), "no S3 server"),
        (
            "s3://data-bucket/a/",
            lambda _: listing(contents("b/x", 1)),
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


async def test_a_file_where_a_folder_is_needed() -> None:
    async with S3Server({"mmlu/a": b"file", "mmlu/a/b": b"below it"}).serve() as server:
        with pytest.raises(CheckError, match="can't be written"):
            await fetched(server, "s3://data-bucket/mmlu")


async def test_a_private_authority_is_known_by_ssl_cert_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    pair = authority.server("s3", ["127.0.0.1"])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)
    uri = "s3://data-bucket/mmlu/dev/x_dev.csv"
    async with S3Server(OBJECTS).serve(tls) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        assert await fetched(server, uri) == {"x_dev.csv": b"dev"}
        other = Authority(tmp_path / "other").certificate
        monkeypatch.setenv("SSL_CERT_FILE", str(other))
        with pytest.raises(CheckError, match=r"BadSignature, 3 times; .*SSL_CERT_FILE"):
            await fetched(server, uri)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
        with pytest.raises(CheckError, match="let SSL_CERT_FILE name"):
            await fetched(server, uri)


async def test_no_other_variable_says_where_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_REGION", "elsewhere")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "false")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    async with S3Server(OBJECTS).serve() as server:
        assert await fetched(server, "s3://data-bucket/mmlu/dev/x_dev.csv")


async def test_nothing_is_asked_after_a_cancellation() -> None:
    asked, go = asyncio.Event(), asyncio.Event()
    server = S3Server(OBJECTS, hold=(asked, go))
    async with server.serve():
        task = asyncio.create_task(fetched(server, "s3://data-bucket/mmlu.tar"))
        async with asyncio.timeout(30):
            await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        await asyncio.get_running_loop().shutdown_default_executor()
    assert len(server.seen) == 1, "the first range of two"


def test_obstore_is_loaded_only_where_it_is_needed() -> None:
    code = (
        "import sys; from ascendllm.checks.data_source import parse_source; "
        "parse_source('s3://bucket/key'); assert 'obstore' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)


async def test_obstore_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    async with S3Server(OBJECTS).serve() as server:
        with pytest.raises(CheckError, match=r"ascendllm\[checks\]") as caught:
            await fetched(server, "s3://data-bucket/mmlu.tar")
    assert caught.value.reason == "NoS3"


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
            with pytest.raises(CheckError, match="look at the keys") as caught:
                await fetched(server, "s3://data-bucket/mmlu.tar", keys)
            messages += [repr(caught.value), *traceback.format_exception(caught.value)]
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
