"""Data out of a real S3 store; and our stand-in, which answers as that does."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ascendllm.checks.data_source import at_hand, parse_source
from ascendllm.checks.mmlu.verdict import Baseline
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.s3.address import parse_uri
from ascendllm.checks.s3.bucket import Bucket, open_bucket
from ascendllm.checks.s3.credentials import read_credentials
from ascendllm.checks.s3.fetch import Limits
from ascendllm.checks.s3.refusal import Missing
from ascendllm.exceptions import CheckError
from s3.store import REGION, Store, serving
from unit.checks import s3_server
from unit.checks.fake_server import FakeServer
from unit.checks.mmlu_set import right_letter, write_set
from unit.checks.s3_server import S3Server
from unit.checks.test_mmlu_run import run_mmlu

BUCKET = "data-bucket"
QUICK = RetryPolicy(attempts=2, first=0.01, longest=0.02)
LONG = random.Random(7).randbytes(9 * 1024 * 1024)
ODD = "set/nested/a b+c&d=é%#?~'(1),*!@$;:.csv"
OBJECTS = {
    "set/": b"",
    "set/nested/": b"",
    "set/a.csv": b"one,two\n",
    "set/empty.csv": b"",
    "set/long.bin": LONG,
    ODD: b"odd",
    "set-2/a.csv": b"of another set",
}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("no_proxy", raising=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    with serving(folder, page=s3_server.PAGE) as running:
        running.make_bucket(BUCKET)
        running.put(BUCKET, OBJECTS, folder / "body")
        yield running


@dataclass
class Place:
    """A server, and who may ask it."""

    url: str
    region: str
    keys: Mapping[str, str]

    def bucket(self, name: str = BUCKET, **changes: str) -> Bucket:
        address = parse_uri(f"s3://{name}/set", self.url, self.region)
        return open_bucket(address, read_credentials({**self.keys, **changes}), QUICK)


def whole(bucket: Bucket, key: str, limit: int = 1 << 30, **options: Any) -> bytes:
    return b"".join(bytes(block) for block in bucket.read(key, limit, **options))


def with_its_tag(place: Place) -> bytes:
    bucket = place.bucket()
    [listed] = [item for item in bucket.listing("set/", 100) if item.name == "long.bin"]
    assert listed.tag
    return whole(bucket, "set/long.bin", start=8_500_000, tag=listed.tag)


ASKED: dict[str, tuple[Callable[[Place], object], object]] = {
    "a prefix, in pages": (
        lambda place: sorted((one.name, one.size) for one in place.bucket().listing("set/", 100)),
        sorted(
            (key.removeprefix("set/").rstrip("/"), len(body))
            for key, body in OBJECTS.items()
            if key.startswith("set/") and key != "set/"
        ),
    ),
    "a prefix of nothing": (lambda place: place.bucket().listing("none/", 100), []),
    "an object": (lambda place: whole(place.bucket(), ODD), b"odd"),
    "an empty object": (lambda place: whole(place.bucket(), "set/empty.csv"), b""),
    "an object in ranges": (lambda place: whole(place.bucket(), "set/long.bin"), LONG),
    "the rest of an object": (
        lambda place: whole(place.bucket(), "set/long.bin", start=8_500_000),
        LONG[8_500_000:],
    ),
    "an object as it was listed": (with_its_tag, LONG[8_500_000:]),
    "an object that was another": (
        lambda place: whole(place.bucket(), "set/a.csv", tag='"0123"'),
        ("DataChanged", 412, "PreconditionFailed"),
    ),
    "behind an object's end": (
        lambda place: whole(place.bucket(), "set/a.csv", start=8),
        ("DataRefused", 416, "InvalidRange"),
    ),
    "no object": (lambda place: whole(place.bucket(), "set/none"), ("Missing", 404, "NoSuchKey")),
    "no bucket": (
        lambda place: place.bucket("no-such-bucket").listing("set/", 100),
        ("DataRefused", 404, "NoSuchBucket"),
    ),
    "an unknown key": (
        lambda place: place.bucket(AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE").listing("", 100),
        ("DataRefused", 403, "InvalidAccessKeyId"),
    ),
    "a wrong key": (
        lambda place: whole(place.bucket(AWS_SECRET_ACCESS_KEY="w/r+ng"), "set/a.csv"),
        ("DataRefused", 403, "SignatureDoesNotMatch"),
    ),
    "a token of no session": (
        lambda place: whole(place.bucket(AWS_SESSION_TOKEN="none"), "set/a.csv"),
        ("DataRefused", 400, "InvalidToken"),
    ),
}


def outcome(ask: Callable[[Place], object], place: Place) -> object:
    """What came, or the reason and the server's own answer."""
    try:
        return ask(place)
    except (CheckError, Missing) as error:
        reason = error.reason if isinstance(error, CheckError) else "Missing"
        told = re.search(r": HTTP (\d{3}) ([A-Za-z0-9.]+)", str(error))
        return (reason, int(told.group(1)), told.group(2)) if told else (reason,)


@pytest.mark.parametrize("asked", ASKED)
async def test_the_store_and_the_stand_in_answer_alike(store: Store, asked: str) -> None:
    ask, wanted = ASKED[asked]
    there = Place(store.url, REGION, store.keys)
    assert await asyncio.to_thread(outcome, ask, there) == wanted
    async with S3Server(dict(OBJECTS)).serve() as server:
        here = Place(server.url, s3_server.REGION, s3_server.KEYS)
        assert await asyncio.to_thread(outcome, ask, here) == wanted


def test_an_object_that_changes_between_two_ranges(store: Store, tmp_path: Path) -> None:
    store.put(BUCKET, {"changing.bin": LONG}, tmp_path / "body")
    coming = Place(store.url, REGION, store.keys).bucket().read("changing.bin", 1 << 30)
    assert LONG.startswith(next(coming))
    store.put(BUCKET, {"changing.bin": LONG[:-1] + b"x"}, tmp_path / "body")
    with pytest.raises(CheckError, match="changed while it was read") as caught:
        list(coming)
    assert caught.value.reason == "DataChanged"


async def test_without_keys_an_object_is_anyone_s_or_refused(store: Store) -> None:
    async def came(key: str) -> bytes:
        source = parse_source(f"s3://{BUCKET}/{key}", store.url, REGION)
        async with at_hand(source, limits=Limits(retry=QUICK), environment={}) as path:
            return path.read_bytes()

    with store.for_anyone():
        with pytest.raises(CheckError, match=r"HTTP 403.*no key is set"):
            await came("set/a.csv")
        store.call("s3", "put_object_acl", Bucket=BUCKET, Key="set/a.csv", ACL="public-read")
        assert await came("set/a.csv") == OBJECTS["set/a.csv"]


async def test_mmlu_out_of_the_store(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_set(tmp_path / "mmlu")
    paths = [path for path in data.rglob("*") if path.is_file()]
    objects = {f"mmlu/{path.relative_to(data).as_posix()}": path.read_bytes() for path in paths}
    store.put(BUCKET, {"mmlu/": b"", "mmlu/dev/": b""} | objects, tmp_path / "body")
    for name, value in store.keys.items():
        monkeypatch.setenv(name, value)
    baseline = Baseline(Decimal("99.9"))
    local = await run_mmlu(FakeServer(letter=right_letter), data, baseline=baseline)
    source = parse_source(f"s3://{BUCKET}/mmlu", store.url, REGION)
    stored = await run_mmlu(FakeServer(letter=right_letter), source, baseline=baseline)
    assert (stored.result, stored.reason) == ("Passed", "WithinTolerance")
    assert stored.figures["datasetHash"] == local.figures["datasetHash"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(CheckError, match="SignatureDoesNotMatch"):
        await run_mmlu(FakeServer(letter=right_letter), source, baseline=baseline)
