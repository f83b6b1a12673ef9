"""What the shards of a load write into the run's ConfigMap, as text."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any, cast

from ascendllm.checks.bench.measured import Measured
from ascendllm.checks.result import compact_json
from ascendllm.exceptions import CheckError

__all__ = ["packed", "read_record", "unpacked"]

UNPACKED_BYTES = 256 * 1024 * 1024


def read_record(number: int, text: str) -> dict[str, Any]:
    """A shard's record.

    Raises:
        CheckError: `ShardUnreadable`.
    """
    try:
        record = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise CheckError("ShardUnreadable", f"the record of shard {number} is no JSON object")
    return cast("dict[str, Any]", record)


def packed(loads: Sequence[Measured], limit: int, with_rows: bool) -> str:
    """Loads as text, short enough for a ConfigMap.

    Args:
        loads: What was measured.
        limit: The most bytes.
        with_rows: Whether each request's latencies are wanted.

    Raises:
        CheckError: `ShareTooLong`.
    """
    without: dict[str, object] = {"details": []} if with_rows else {"details": [], "rows": []}
    plain = compact_json([load.to_json() | without for load in loads]).encode()
    text = base64.b64encode(zlib.compress(plain, 9)).decode("ascii")
    if len(text) > limit:
        raise CheckError(
            "ShareTooLong",
            f"what this shard measured takes {len(text)} bytes, and {limit} is its part of the "
            "run's ConfigMap: ask for fewer requests, points of a sweep, or shards",
        )
    return text


def unpacked(number: int, text: object) -> list[Measured]:
    """What `packed` made.

    Raises:
        CheckError: `ShardUnreadable`.
    """
    try:
        inflate = zlib.decompressobj()
        plain = inflate.decompress(base64.b64decode(str(text), validate=True), UNPACKED_BYTES)
        if not inflate.eof:
            raise ValueError("cut")
        data = json.loads(plain)
    except (ValueError, zlib.error, RecursionError):
        data = None
    if not isinstance(data, list):
        raise CheckError("ShardUnreadable", f"what shard {number} measured can't be read")
    return [Measured.from_json(load) for load in data]
