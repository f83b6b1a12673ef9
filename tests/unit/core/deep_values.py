"""Decodes and walks deeper values than the API server admits; each supported Python runs it.

A program, since an overflow of the C stack ends the interpreter. It needs the operator's packages.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from ascendllm.api.parse import parse_spec
from ascendllm.desired import names
from ascendllm.exceptions import SpecError
from ascendllm.kube.compare import differs, leftover
from ascendllm.kube.decoding import decode, decode_in_turn
from ascendllm.runtime.watch_response import reduced_line
from ascendllm.state.observed import Observed
from ascendllm.state.revisions import Revision
from ascendllm.status.build import refused_status

LEVELS = (1, 31, 100, 199, 200, 201, 985, 1_500, 2_900, 9_990, 100_000)
SMALL_STACK = 256 * 1024
"""Bytes; musl gives a thread 128 KiB, and CPython itself needs some."""


def resource(levels: int) -> bytes:
    deep = '{"a":' * levels + "1" + "}" * levels
    lists = "[" * levels + "]" * levels
    return (
        '{"apiVersion":"ascendllm.io/v1alpha1","kind":"AscendLLM","metadata":{"name":"deep",'
        '"namespace":"default","uid":"u","generation":3,"managedFields":[{"manager":"ascendllm",'
        f'"operation":"Apply","fieldsV1":{deep}}}]}},"spec":{{"model":{{"source":{{"hostPath":"/m"}}}},'
        f'"engine":{{"additionalConfig":{deep},"config":{{"x":{lists}}}}}}},"data":{deep},'
        '"status":{"phase":"Ready"}}'
    ).encode()


def walk(levels: int) -> None:
    """All that the operator does with an object of somebody else's."""
    text = resource(levels)
    item: dict[str, Any] = decode(text)
    assert item["metadata"]["name"] == "deep"
    assert item["status"] == {"phase": "Ready"}
    event = b'{"type":"MODIFIED","object":' + text + b"}"
    reduced = reduced_line(event)
    assert reduced is not None
    assert json.loads(reduced)["object"]["metadata"]["name"] == "deep"
    refused = refusal(item)
    assert (refused is None) == (levels <= 31)
    if refused is not None:
        assert "spec.engine.additionalConfig is nested more than 32 levels" in refused.message
        status = refused_status(Observed(item, datetime.now(UTC)), refused)
        assert status["conditions"][0]["reason"] == "InvalidEngine"
    desired = {"metadata": {"name": "deep"}, "data": {"b": 1}, "spec": item["spec"]}
    assert differs(desired, item)
    assert differs({"data": item["data"]}, decode(text)) in (True, False)
    leftover({"data": {"a": [1]}}, item)
    assert len(names.digest(item)) == 10
    record = {**item, "data": {key: item["data"] for key in ("inputs", "resolved", "template")}}
    revision = names.digest(item["data"])
    record["metadata"] = {"labels": {names.REVISION: revision}, "name": f"deep-{revision}"}
    assert Revision.read(record) is not None


def refusal(item: dict[str, Any]) -> SpecError | None:
    try:
        parse_spec(item)
    except SpecError as problem:
        return problem
    return None


def walk_all() -> None:
    for levels in LEVELS:
        walk(levels)


async def beside_a_busy_loop() -> None:
    """As a large text is decoded: by a thread, while the event loop goes on."""
    text = resource(100_000)
    found, _ = await asyncio.gather(decode_in_turn(text), asyncio.sleep(0))
    assert found["metadata"]["name"] == "deep"


def main() -> None:
    walk_all()
    asyncio.run(beside_a_busy_loop())
    failures: list[BaseException] = []

    def in_thread() -> None:
        try:
            for levels in LEVELS:
                text = resource(levels)
                assert decode(text)["metadata"]["name"] == "deep"
                assert reduced_line(b'{"type":"ADDED","object":' + text + b"}") is not None
        except BaseException as error:
            failures.append(error)

    threading.stack_size(SMALL_STACK)
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    threading.stack_size(0)
    if failures:
        raise failures[0]
    # As kopf's thread, with the stack that threads have by default.
    threads = [threading.Thread(target=in_thread) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if failures:
        raise failures[0]
    sys.stdout.write("walked\n")


if __name__ == "__main__":
    main()
