"""Decodes what the API server sends, whatever a tenant stored in it.

The API server admits objects of 1.5 MB that are nested 10,000 levels deep: in fields without a
schema, such as `additionalConfig`, and in `metadata.managedFields` of any object. Python's `json`
fails on them at a depth that differs by release and by the stack of the thread, and whatever walks
such a value afterwards fails too. So nothing that is decoded here is deeper than 200 levels, and
what cannot be decoded as it is comes with null for each container below `MAX_LEVELS`. No field that
the operator reads is nearly as deep.
"""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic_core import from_json

__all__ = ["LIST_LEVELS", "MAX_LEVELS", "WATCH_LEVELS", "cut_levels", "decode", "decode_in_turn"]

MAX_LEVELS = 100

LIST_LEVELS = 6
"""Of a list of metadata: as deep as the owner references of its items. What `fieldsV1` of
managedFields holds, which is as much as all of an object, is deeper."""

WATCH_LEVELS = 5
"""Of a watch event of metadata, in the same way."""

_NEXT_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+[\[\]{}]', re.DOTALL)
"""Up to the next bracket outside of a string; possessive, so that it never goes back."""

_LONG_NUMBER = 400
"""Digits. Python refuses to read more than 4,300, and no number of Kubernetes has more than 20."""

_LARGE = 128 * 1024
"""Bytes. A larger text is decoded outside of the event loop, which it could block for 0.3 s."""

_decoder = ThreadPoolExecutor(1, "decoder")
"""One thread: a value takes up to 25 times the memory of its text, so large texts take turns."""


def decode(text: bytes, levels: int | None = None) -> Any:
    """Decodes JSON; of a text that is too deep, containers below `MAX_LEVELS` become null.

    Args:
        text: What a server sent.
        levels: How many levels of it are wanted; what is deeper becomes null in any case.

    Raises:
        ValueError: The text is not JSON.
    """
    if levels is not None:
        text = cut_levels(text, levels)
    try:
        # It counts levels itself, up to 200, and needs no Python stack.
        return from_json(text, cache_strings="keys")
    except ValueError:
        # Too deep, or raw JSON that only Go takes: half a surrogate pair, a number of any length.
        shallow = cut_levels(text, MAX_LEVELS)
        return json.loads(shallow, parse_int=_integer)


async def decode_in_turn(text: bytes, levels: int | None = None) -> Any:
    """Decodes like `decode`, without blocking the event loop, and one large text at a time.

    Raises:
        ValueError: The text is not JSON.
    """
    if len(text) <= _LARGE:
        return decode(text, levels)
    return await asyncio.get_running_loop().run_in_executor(_decoder, decode, text, levels)


def cut_levels(text: bytes, levels: int) -> bytes:
    """Replaces each container that is nested deeper than `levels` by null, without recursion.

    A text that is not JSON stays so.
    """
    parts: list[bytes] = []
    depth = position = kept_to = 0
    while (found := _NEXT_BRACKET.match(text, position)) is not None:
        position = found.end()
        if text[position - 1] in b"[{":
            depth += 1
            if depth == levels + 1:
                parts += text[kept_to : position - 1], b"null"
        else:
            depth -= 1
            if depth == levels:
                kept_to = position
    if depth > levels:
        raise ValueError("a bracket is not closed")
    return b"".join([*parts, text[kept_to:]])


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _LONG_NUMBER else None
