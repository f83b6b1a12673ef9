"""What kopf gets to see of the API server's answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from ascendllm.runtime.process import _restarted
from ascendllm.runtime.watch_response import reduce_answers, reduced_answer, reduced_line

DEEP = '{"a":' * 5_000 + "1" + "}" * 5_000

ITEM: dict[str, Any] = {
    "metadata": {
        "name": "llama",
        "namespace": "default",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"ascendllm.io/name": "llama"},
        "annotations": {"a": "x"},
        "ownerReferences": [
            {"kind": "AscendLLM", "name": "llama", "uid": "v"},
            {"kind": "ReplicaSet", "name": "other", "uid": "w"},
        ],
        "managedFields": [{"manager": "x"}],
    },
    "spec": {"a": 1},
}
REDUCED = {
    "metadata": {
        "name": "llama",
        "namespace": "default",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"ascendllm.io/name": "llama"},
        "ownerReferences": [{"kind": "AscendLLM", "name": "llama"}],
    }
}


def test_a_list_keeps_its_own_metadata() -> None:
    listed = {"kind": "List", "metadata": {"continue": "c"}, "items": [ITEM]}
    assert reduced_answer(listed) == {**listed, "items": [REDUCED]}
    assert reduced_answer({"items": None}) == {"items": []}
    discovery = {"resources": [{"name": "pods"}]}
    assert reduced_answer(discovery) == discovery


def test_an_event_is_reduced_and_an_error_is_not() -> None:
    line = reduced_line(json.dumps({"type": "ADDED", "object": ITEM}).encode())
    assert line is not None
    assert json.loads(line) == {"type": "ADDED", "object": REDUCED}
    expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}
    line = reduced_line(json.dumps(expired).encode())
    assert line is not None
    assert json.loads(line) == expired


@pytest.mark.parametrize("line", [b"", b"  ", b"<html>", b"[]", b'{"type":"ADDED"}', b'{"type":'])
def test_a_line_that_is_not_an_event_is_left_out(line: bytes) -> None:
    assert reduced_line(line) is None


def test_an_object_of_many_owners_wakes_a_bounded_number() -> None:
    owners = [{"kind": "AscendLLM", "name": f"model-{number}"} for number in range(10_000)]
    item = {"metadata": {"name": "a", "ownerReferences": owners}}
    line = reduced_line(json.dumps({"type": "ADDED", "object": item}).encode())
    assert line is not None
    assert len(json.loads(line)["object"]["metadata"]["ownerReferences"]) == 32


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """An API server with one deep object, which it has both listed and watched."""
    deep = f'{{"metadata":{{"name":"deep","managedFields":[{{"fieldsV1":{DEEP}}}]}}}}'

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/html":
            return web.Response(text="<html>")
        if "watch" not in request.query:
            assert "PartialObjectMetadataList" in request.headers["Accept"]
            return web.Response(text=f'{{"items":[{deep},{json.dumps(ITEM)}]}}')
        assert "PartialObjectMetadata;" in request.headers["Accept"]
        response = web.StreamResponse()
        await response.prepare(request)
        for item in (deep, json.dumps(ITEM)):
            text = f'{{"type":"ADDED","object":{item}}}\n'.encode()
            half = len(text) // 2
            await response.write(text[:half])
            await response.write(text[half:])
        await response.write(b"not an event\n")
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield site.name.replace("0.0.0.0", "127.0.0.1")
    await runner.cleanup()


async def test_a_session_reads_what_kopf_could_not(server: str) -> None:
    port = server.rsplit(":", 1)[1]
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(middlewares=(reduce_answers,)) as session:
        async with session.get(f"{url}/list") as response:
            listed = await response.json(content_type=None)
        assert [item["metadata"]["name"] for item in listed["items"]] == ["deep", "llama"]
        async with session.get(f"{url}/list?watch=true") as response:
            lines = [line async for line in response.content.iter_chunked(1024)]
        assert [json.loads(line)["object"]["metadata"]["name"] for line in lines] == [
            "deep",
            "llama",
        ]
        async with session.get(f"{url}/html") as response:
            with pytest.raises(aiohttp.ClientPayloadError, match="not JSON"):
                await response.json(content_type=None)


async def test_a_background_task_that_fails_is_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ascendllm.runtime.process._FIRST_PAUSE", 0.001)
    monkeypatch.setattr("ascendllm.runtime.process._LONGEST_PAUSE", 0.002)
    failures: list[Exception] = [
        RecursionError("deep"),
        MemoryError(),
        KeyError("metadata"),
        ExceptionGroup("workers", [ValueError("one")]),
    ]
    count = len(failures)

    async def run() -> None:
        if failures:
            raise failures.pop()

    await _restarted("resync", run)
    assert [record.message for record in caplog.records] == [
        "background task failed: resync"
    ] * count
