"""The answers that kopf gets from the API server, reduced to what the handlers read.

By itself, kopf lists and watches whole objects and decodes them by `json`, which fails on an object
that is nested deeply enough, and its memory follows what tenants store. Through a session of ours
("Custom HTTP sessions" in kopf's documentation) it asks for metadata alone, and each object is
reduced to its identity, labels and owners before kopf sees it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from ascendllm.api.crd import KIND
from ascendllm.kube.decoding import LIST_LEVELS, WATCH_LEVELS, decode, decode_in_turn

__all__ = ["reduce_answers", "reduced_answer", "reduced_line"]

logger = logging.getLogger(__name__)

_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
# Discovery has no metadata.
_LIST_OF_METADATA = (
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json"
)

_KEPT = ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp")
_OWNERS = 32
"""Resources that one event wakes: each costs a request. Of a cache that more of them share, the
rest are looked at when their own objects change, and with the next resync."""
_LINE_BYTES = 16 * 1024 * 1024


async def reduce_answers(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A client middleware: asks for metadata, and reduces the objects of the answer."""
    request.headers["Accept"] = _METADATA if "watch" in request.url.query else _LIST_OF_METADATA
    response = await send(request)
    if response.status == 200:
        response.content = _ReducedStream(response.content)  # type: ignore[assignment]
    return response


class _ReducedStream:
    """The body of an answer: one JSON value, or the lines of a watch."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def read(self) -> bytes:
        """The body as a whole.

        Raises:
            aiohttp.ClientPayloadError: It is not JSON, such as the page of a proxy; kopf then lists
                again.
        """
        text = await self._stream.read()
        try:
            return json.dumps(reduced_answer(await decode_in_turn(text, LIST_LEVELS))).encode()
        except ValueError as error:
            raise aiohttp.ClientPayloadError(f"the answer is not JSON: {error}") from None

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """The body by lines.

        Raises:
            aiohttp.ClientPayloadError: A line has no end; kopf then lists and watches again.
        """
        rest = bytearray()
        async for chunk in self._stream.iter_chunked(size):
            rest += chunk
            *lines, tail = rest.split(b"\n")
            rest = bytearray(tail)
            if len(rest) > _LINE_BYTES:
                raise aiohttp.ClientPayloadError(f"a line has more than {_LINE_BYTES} bytes")
            for line in lines:
                reduced = reduced_line(bytes(line))
                if reduced is not None:
                    yield reduced


def reduced_answer(value: Any) -> Any:
    """A list with reduced items; anything else as it is.

    Args:
        value: A decoded answer.
    """
    if not isinstance(value, dict) or "items" not in value:
        return value
    # A list of metadata without objects has null there.
    items = [item for item in value["items"] or [] if isinstance(item, dict)]
    return {**value, "items": [_reduced(item) for item in items]}


def reduced_line(line: bytes) -> bytes | None:
    """A watch event with its object reduced; None for a line that is not an event.

    What such a line would have said is found by the next resync.
    """
    try:
        event = decode(line, WATCH_LEVELS) if line.strip() else None
    except ValueError as error:
        logger.warning("a watch event cannot be read: %s", error)
        return None
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
        return None
    if event.get("type") != "ERROR":
        event = {"type": event.get("type"), "object": _reduced(event["object"])}
    return json.dumps(event).encode() + b"\n"


def _reduced(item: Mapping[str, Any]) -> dict[str, Any]:
    metadata = item.get("metadata") or {}
    references = metadata.get("ownerReferences") or []
    owners = [reference for reference in references if reference.get("kind") == KIND]
    return {
        "metadata": {
            **{key: metadata[key] for key in _KEPT if key in metadata},
            "labels": metadata.get("labels") or {},
            "ownerReferences": [
                {"kind": KIND, "name": owner.get("name")} for owner in owners[:_OWNERS]
            ],
        }
    }
