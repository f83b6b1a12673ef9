"""`ascendllm download` against servers on loopback: whole or not at all, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from unit.checks.s3_server import KEYS, S3Server
from unit.download.hub_server import HubServer
from unit.download.models import ADAPTER_WANTED, WANTED, adapter, model, safetensors

SHARD = "model-00001-of-00002.safetensors"
HUBS = ("hf", "ms")


@dataclass
class Came:
    """What a call of the command came to."""

    code: int
    result: dict[str, Any]
    stderr: str


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return kept | {"NO_PROXY": "*", "COVERAGE_CORE": ""} | more


def call(source: str, root: Path, endpoint: str, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "ascendllm", "download", source, f"--to={root}",
        f"--endpoint={endpoint}", *options,
    ]  # fmt: skip


def download(source: str, root: Path, endpoint: str, *options: str, **env: str) -> Came:
    done = subprocess.run(
        call(source, root, endpoint, *options),
        capture_output=True,
        text=True,
        env=environment(**env),
        timeout=60,
    )
    assert done.stdout, done.stderr
    return Came(done.returncode, json.loads(done.stdout), done.stderr)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def assert_whole(root: Path, wanted: dict[str, bytes]) -> None:
    assert files(root / "model") == WANTED
    for path in WANTED:
        assert (root / "model" / path).read_bytes() == wanted[path], path
    assert not (root / "partial").exists()
    assert (root / "model" / SHARD).stat().st_mode & 0o444 == 0o444


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer({"org/llama": dict(model())}).serving() as server:
        yield server


@pytest.fixture(params=HUBS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_vllm_reads_comes_whole_and_verified(
    hub: HubServer, kind: str, tmp_path: Path
) -> None:
    root = tmp_path / "m"
    came = download(f"{kind}://org/llama", root, hub.url)
    assert came.code == 0
    assert_whole(root, model())
    assert came.result["result"] == "Complete"
    assert came.result["files"] == len(WANTED)
    assert came.result["bytes"] == sum(len(model()[path]) for path in WANTED)
    assert came.result["weightBytes"] == 2 * len(model()[SHARD])
    assert came.result["config"]["num_key_value_heads"] == 2
    assert came.result["verified"] >= 3
    if kind == "hf":
        assert came.result["revision"] == hub.commit("org/llama")


def test_a_second_call_fetches_and_asks_nothing(hub: HubServer, kind: str, tmp_path: Path) -> None:
    root = tmp_path / "m"
    first = download(f"{kind}://org/llama", root, hub.url)
    hub.commits["org/llama"] = "f" * 40
    asked = len(hub.asked)
    again = download(f"{kind}://org/llama", root, hub.url)
    assert again.code == 0
    assert again.result["fetchedBytes"] == 0
    assert again.result["revision"] == first.result["revision"], "a branch that moved on is no news"
    assert len(hub.asked) == asked


def test_without_weights(hub: HubServer, kind: str, tmp_path: Path) -> None:
    came = download(f"{kind}://org/llama", tmp_path / "m", hub.url, "--no-weights")
    assert came.code == 0
    assert came.result["weightBytes"] == 0
    assert SHARD not in files(tmp_path / "m" / "model")
    assert "tokenizer.json" in files(tmp_path / "m" / "model")


def test_cut_connections_are_gone_on_with(hub: HubServer, kind: str, tmp_path: Path) -> None:
    hub.repos["org/llama"] = dict(model(8_000_000))
    hub.cut = [None, 3_000_000, 3_000_000, 3_000_000]
    came = download(f"{kind}://org/llama", tmp_path / "m", hub.url)
    assert came.code == 0
    assert_whole(tmp_path / "m", model(8_000_000))


def test_killed_in_the_middle_it_goes_on_from_there(
    hub: HubServer, kind: str, tmp_path: Path
) -> None:
    wanted = model(30_000_000)
    hub.repos["org/llama"] = dict(wanted)
    hub.rate = 12_000_000.0
    process = subprocess.Popen(
        call(f"{kind}://org/llama", tmp_path / "m", hub.url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    # Both shards are on their way: enough that a client has written some of it.
    while sum(count for path, count in hub.sent.items() if "safetensors" in path) < 40_000_000:
        hub.moved.clear()
        assert hub.moved.wait(20), "nothing comes any more"
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    root = tmp_path / "m"
    assert not (root / "model").exists(), "a half-filled folder never bears the name"
    there = sum(path.stat().st_size for path in (root / "partial").rglob("model-0*"))
    assert there > 10_000_000
    hub.rate = None
    hub.sent.clear()
    came = download(f"{kind}://org/llama", root, hub.url)
    assert came.code == 0
    assert_whole(root, wanted)
    resent = sum(count for path, count in hub.sent.items() if path.endswith(".safetensors"))
    total = sum(len(wanted[path]) for path in WANTED if path.endswith(".safetensors"))
    assert resent == total - there
    assert came.result["fetchedBytes"] < total


def test_wrong_bytes_are_never_a_model(hub: HubServer, kind: str, tmp_path: Path) -> None:
    hub.wrong = {SHARD}
    root = tmp_path / "m"
    process = subprocess.Popen(
        call(f"{kind}://org/llama", root, hub.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    once = len(model()[SHARD])
    while hub.sent.get(SHARD, 0) < 2 * once:
        hub.moved.clear()
        assert hub.moved.wait(20), "it was not fetched anew"
    assert not (root / "model").exists()
    hub.wrong = set()
    out, _ = process.communicate(timeout=60)
    assert json.loads(out)["result"] == "Complete"
    assert_whole(root, model())


REFUSALS = [
    ({"token": "right"}, {}, "AccessDenied|SourceNotFound", "tokenSecret"),
    ({"gated": True}, {}, "AccessDenied", "tokenSecret"),
    ({}, {"revision": "v9"}, "RevisionNotFound", "v9"),
    ({}, {"repo": "org/nope"}, "SourceNotFound", "org/nope"),
]


@pytest.mark.parametrize(("server", "asked", "reason", "told"), REFUSALS)
def test_a_refusal_has_its_reason_and_leaves_nothing(
    hub: HubServer,
    kind: str,
    tmp_path: Path,
    server: dict[str, Any],
    asked: dict[str, str],
    reason: str,
    told: str,
) -> None:
    for name, value in server.items():
        setattr(hub, name, value)
    options = [f"--revision={asked['revision']}"] if "revision" in asked else []
    repo = asked.get("repo", "org/llama")
    came = download(f"{kind}://{repo}", tmp_path / "m", hub.url, *options)
    assert came.code == 1, "trying again would not help"
    assert came.result["reason"] in reason.split("|")
    assert told in came.result["message"]
    assert not (tmp_path / "m").exists()


def test_a_token_opens_and_is_shown_nowhere(hub: HubServer, kind: str, tmp_path: Path) -> None:
    hub.token = "very-secret-token"
    tokens = {"HF_TOKEN": hub.token, "MODELSCOPE_API_TOKEN": hub.token}
    came = download(f"{kind}://org/llama", tmp_path / "m", hub.url, **tokens)
    assert came.code == 0
    assert hub.tokens == {"very-secret-token"}
    hub.repos.clear()
    refused = download(f"{kind}://org/llama", tmp_path / "n", hub.url, **tokens)
    assert refused.code == 1
    for shown in (came.stderr, str(came.result), refused.stderr, str(refused.result)):
        assert "very-secret" not in shown
    for path in (tmp_path / "m").rglob("*"):
        assert not path.is_file() or b"very-secret" not in path.read_bytes()


def test_a_server_that_is_not_there_may_be_tried_again(kind: str, tmp_path: Path) -> None:
    env = {"MODELSCOPE_HUB_API_MAX_RETRIES": "1"}
    came = download(f"{kind}://org/llama", tmp_path / "m", "http://127.0.0.1:9", **env)
    assert came.code == 2
    assert (came.result["reason"], came.result["again"]) == ("SourceUnreachable", True)
    assert not (tmp_path / "m").exists()


def test_a_folder_without_a_config_is_no_model(hub: HubServer, kind: str, tmp_path: Path) -> None:
    hub.repos["org/llama"] = {"README.md": b"data", "a.safetensors": safetensors("t", 2000)}
    came = download(f"{kind}://org/llama", tmp_path / "m", hub.url)
    assert (came.code, came.result["reason"]) == (1, "NotAModel")


def test_a_source_that_was_filled_half_way_is_told(
    hub: HubServer, kind: str, tmp_path: Path
) -> None:
    half = {path: content for path, content in model().items() if path != SHARD}
    hub.repos["org/llama"] = dict(half)
    root = tmp_path / "m"
    came = download(f"{kind}://org/llama", root, hub.url)
    assert (came.code, came.result["reason"]) == (1, "BrokenModel")
    assert SHARD in came.result["message"]
    assert not (root / "model").exists()
    hub.repos["org/llama"] = dict(model())
    hub.sent.clear()
    assert download(f"{kind}://org/llama", root, hub.url).code == 0
    assert_whole(root, model())
    assert "model-00002-of-00002.safetensors" not in hub.sent, "what had come is kept"


def test_a_file_that_lies_about_its_length_is_told(hub: HubServer, tmp_path: Path) -> None:
    cut = model()[SHARD][:-1000]
    hub.repos["org/llama"] = {**model(), SHARD: cut}
    came = download("hf://org/llama", tmp_path / "m", hub.url)
    assert (came.code, came.result["reason"]) == (1, "BrokenModel")
    assert f"has {len(cut)} bytes" in came.result["message"]


def test_of_an_adapter_what_vllm_reads(hub: HubServer, kind: str, tmp_path: Path) -> None:
    hub.repos["org/legal"] = dict(adapter())
    root = tmp_path / "a"
    came = download(f"{kind}://org/legal", root, hub.url, "--adapter")
    assert came.code == 0
    assert files(root / "model") == ADAPTER_WANTED
    for path in ADAPTER_WANTED:
        assert (root / "model" / path).read_bytes() == adapter()[path]
    assert came.result["weightBytes"] == len(adapter()["adapter_model.safetensors"])
    assert came.result["config"] == {"r": 16}
    assert download(f"{kind}://org/legal", root, hub.url, "--adapter").result["fetchedBytes"] == 0


def test_an_adapters_older_forms_are_taken_where_there_is_no_other(
    hub: HubServer, tmp_path: Path
) -> None:
    left = {p: c for p, c in adapter().items() if p != "adapter_model.safetensors"}
    hub.repos["org/legal"] = dict(left)
    assert download("hf://org/legal", tmp_path / "a", hub.url, "--adapter").code == 0
    assert files(tmp_path / "a" / "model") == {
        "README.md",
        "adapter_config.json",
        "adapter_model.bin",
    }


def test_a_model_is_no_adapter_and_an_adapter_no_model(
    hub: HubServer, kind: str, tmp_path: Path
) -> None:
    came = download(f"{kind}://org/llama", tmp_path / "a", hub.url, "--adapter")
    assert (came.code, came.result["reason"]) == (1, "NotAnAdapter")
    assert "there is no adapter_config.json" in came.result["message"]
    assert not any("safetensors" in path and "index" not in path for path in hub.sent), (
        "no weights are fetched to find that out"
    )
    hub.repos["org/legal"] = dict(adapter())
    came = download(f"{kind}://org/legal", tmp_path / "b", hub.url)
    assert (came.code, came.result["reason"]) == (1, "NotAModel")


@pytest.mark.parametrize(
    ("weights", "told"),
    [(None, "none of adapter_model.safetensors"), (30_000, "bytes, by its own header")],
)
def test_an_adapter_without_its_weights_is_told(
    hub: HubServer, tmp_path: Path, weights: int | None, told: str
) -> None:
    there = {path: content for path, content in adapter().items() if "adapter_model" not in path}
    if weights is not None:
        there["adapter_model.safetensors"] = safetensors("lora_A", weights)[:-1000]
    hub.repos["org/legal"] = dict(there)
    came = download("hf://org/legal", tmp_path / "a", hub.url, "--adapter")
    assert (came.code, came.result["reason"]) == (1, "BrokenAdapter")
    assert told in came.result["message"]
    assert not (tmp_path / "a" / "model").exists()


def test_an_adapters_refusal_names_the_adapters_field(
    hub: HubServer, kind: str, tmp_path: Path
) -> None:
    came = download(f"{kind}://org/nope", tmp_path / "a", hub.url, "--adapter")
    assert came.result["reason"] == "SourceNotFound"
    assert "spec.engine.loras[].source" in came.result["message"]
    assert "spec.model" not in came.result["message"]


@pytest.mark.parametrize("path", ["../evil", "/evil", "a/../../evil", "a//b", "a\\b", "x" * 300])
def test_a_server_does_not_choose_where_its_bytes_go(
    hub: HubServer, tmp_path: Path, path: str
) -> None:
    hub.repos["org/llama"] = {**model(), path: b"evil"}
    came = download("hf://org/llama", tmp_path / "m", hub.url)
    assert (came.code, came.result["reason"]) == (1, "BadListing")
    assert not list(tmp_path.rglob("*evil*"))


def test_a_full_volume_says_how_much_is_missing(hub: HubServer, tmp_path: Path) -> None:
    huge = 1 << 45
    hub.repos["org/llama"] = dict(model())
    original = hub._entry

    def entry(path: str, content: bytes | Path) -> dict[str, Any]:
        told = original(path, content)
        return told | {"size": huge, "lfs": told["lfs"] | {"size": huge}} if path == SHARD else told

    hub._entry = entry  # type: ignore[method-assign]
    came = download("hf://org/llama", tmp_path / "m", hub.url)
    assert (came.code, came.result["reason"]) == (1, "VolumeFull")
    assert "GB more are needed" in came.result["message"]
    assert "spec.model.cache.size" in came.result["message"]
    assert not (tmp_path / "m").exists()


def test_two_at_once_are_kept_apart(hub: HubServer, tmp_path: Path) -> None:
    hub.rate = 600_000.0
    root = tmp_path / "m"
    processes = [
        subprocess.Popen(
            call("hf://org/llama", root, hub.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        for _ in range(2)
    ]
    results = [json.loads(process.communicate(timeout=90)[0]) for process in processes]
    assert sorted(result["fetchedBytes"] > 0 for result in results) == [False, True]
    assert_whole(root, model())


def test_what_was_copied_is_looked_at_and_named(tmp_path: Path) -> None:
    root = tmp_path / "m"
    for path in WANTED:
        (root / "partial" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "partial" / path).write_bytes(model()[path])
    came = download("copied", root, "http://unused")
    assert came.code == 0
    assert_whole(root, model())


def test_a_copied_adapter_is_looked_at_too(tmp_path: Path) -> None:
    for name, path in (("good", "adapter_config.json"), ("bad", "config.json")):
        (tmp_path / name / "partial").mkdir(parents=True)
        (tmp_path / name / "partial" / path).write_text("{}")
        (tmp_path / name / "partial" / "adapter_model.bin").write_bytes(b"b")
    assert download("copied", tmp_path / "good", "http://unused", "--adapter").code == 0
    came = download("copied", tmp_path / "bad", "http://unused", "--adapter")
    assert (came.code, came.result["reason"]) == (1, "NotAnAdapter")


def test_what_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    for source in ("org/llama", "hf://llama", "http://a/b", "s3://"):
        done = subprocess.run(
            call(source, tmp_path / "m", "http://unused"),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 2
        assert "write hf://owner/name" in done.stderr
    command = call("hf://org/legal", tmp_path / "m", "http://unused", "--adapter", "--no-weights")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--no-weights belongs to a model" in done.stderr
    assert not (tmp_path / "m").exists()


async def run_s3(server: S3Server, root: Path, **env: str) -> Came:
    import asyncio

    uri = "s3://data-bucket/llama/"
    region = "--region=cn-north-4"
    return await asyncio.to_thread(download, uri, root, server.url, region, **env)


async def test_s3_below_a_prefix(tmp_path: Path) -> None:
    objects = {f"llama/{path}": content for path, content in model().items()}
    async with S3Server(objects | {"other/config.json": b"{}"}).serve() as server:
        came = await run_s3(server, tmp_path / "m", **KEYS)
        assert came.code == 0, came.result
        assert_whole(tmp_path / "m", model())
        refused = await run_s3(server, tmp_path / "n")
    assert (refused.code, refused.result["reason"]) == (1, "AccessDenied")
    assert "spec.model.source.s3" in refused.result["message"]
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in came.stderr + refused.stderr


async def test_s3_cut_goes_on(tmp_path: Path) -> None:
    objects = {f"llama/{path}": content for path, content in model(3_000_000).items()}
    async with S3Server(objects, cut=[1_000_000] * 4).serve() as server:
        came = await run_s3(server, tmp_path / "m", **KEYS)
    assert came.code == 0, came.result
    assert_whole(tmp_path / "m", model(3_000_000))


async def test_s3_without_such_a_prefix(tmp_path: Path) -> None:
    async with S3Server({"other/config.json": b"{}"}).serve() as server:
        came = await run_s3(server, tmp_path / "m", **KEYS)
    assert (came.code, came.result["reason"]) == (1, "SourceNotFound")
    assert not (tmp_path / "m").exists()
