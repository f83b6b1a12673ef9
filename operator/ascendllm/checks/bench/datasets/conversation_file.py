"""Reads a file of conversations without holding it: the public one has 670 MB.

Shape (ShareGPT_V3): one JSON list of `{"conversations": [{"from": …, "value": …}, …], …}`. As
`vllm bench serve` does (vLLM 0.18.0, benchmarks/datasets.py, ShareGPTDataset), the first turn is
the prompt and the second its answer; entries of fewer than two turns are left out.

One pass over the bytes finds where each usable entry is and hashes the file; entries are read again
when they are drawn. For finding them bytes are read as Latin-1, which keeps positions and leaves
JSON's own characters alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from ascendllm.exceptions import SpecError

__all__ = ["Conversation", "ConversationFile", "find_file", "open_conversations"]

CHUNK_BYTES = 1024 * 1024
ENTRY_BYTES = 32 * 1024 * 1024
FILE_BYTES = 16 * 1024**3
MOST_ENTRIES = 5_000_000
_SPACE = re.compile(r"[ \t\r\n]*")
_MARK = b"\xef\xbb\xbf"
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Conversation:
    """The first two turns of an entry."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class ConversationFile:
    """Where the usable entries of a file are.

    Args:
        path: The file.
        digest: `sha256:…` of its bytes.
        starts: The first byte of each usable entry.
        ends: The byte behind each.
    """

    path: Path
    digest: str
    starts: array[int]
    ends: array[int]

    def __len__(self) -> int:
        return len(self.starts)

    def read(self, index: int) -> Conversation:
        """Read an entry.

        Raises:
            SpecError: `DataUnreadable` or `BadData`.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.starts[index])
                raw = file.read(self.ends[index] - self.starts[index])
            turns = json.loads(raw.decode("utf-8"))["conversations"]
            return Conversation(turns[0]["value"], turns[1]["value"])
        except OSError as error:
            raise _unreadable(self.path, error) from None
        except (ValueError, RecursionError, LookupError, TypeError) as error:
            where = f"byte {self.starts[index]}"
            raise _bad(self.path, f"the entry at {where} can't be read: {error}") from None


def find_file(path: Path) -> Path:
    """The file itself, or the only `.json` in a folder.

    Raises:
        SpecError: `DataUnreadable`.
    """
    try:
        if not path.is_dir():
            return path
        found = sorted(child for child in path.iterdir() if child.suffix.lower() == ".json")
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(found) == 1:
        return found[0]
    names = ", ".join(child.name for child in found[:5]) or "none"
    raise SpecError(
        "DataUnreadable",
        f"--data {path}: a folder must hold exactly one .json file of conversations, it has "
        f"{len(found)} ({names}); name the file",
    )


def open_conversations(path: Path) -> ConversationFile:
    """Look through the whole file, once as long as it doesn't change.

    Raises:
        SpecError: `DataUnreadable`; `BadData`, naming the entry (from 0) and what is wrong.
    """
    path = find_file(path)
    try:
        facts = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return _looked_through(path, (facts.st_ino, facts.st_size, facts.st_mtime_ns))


@lru_cache(maxsize=1)
def _looked_through(path: Path, _version: tuple[int, int, int]) -> ConversationFile:
    starts, ends = array("q"), array("q")
    hashed = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for number, (start, end, entry) in enumerate(_entries(path, file, hashed.update)):
                if number >= MOST_ENTRIES:
                    raise _bad(path, f"it has more than {MOST_ENTRIES} entries")
                if _usable(path, number, entry):
                    starts.append(start)
                    ends.append(end)
    except OSError as error:
        raise _unreadable(path, error) from None
    return ConversationFile(path, f"sha256:{hashed.hexdigest()}", starts, ends)


class _Window:
    """The part of the file that is looked at, as Latin-1."""

    def __init__(self, path: Path, file: BinaryIO, seen: Callable[[bytes], object]) -> None:
        self._path = path
        self._file = file
        self._seen = seen
        self.text = ""
        self.offset = 0
        """Where in the file the text begins."""
        self.at = 0
        """Where in the text we are."""

    def more(self) -> bool:
        """Read on; False at the file's end."""
        part = self._file.read(CHUNK_BYTES)
        self._seen(part)
        self.text = self.text[self.at :] + part.decode("latin-1")
        self.offset, self.at = self.offset + self.at, 0
        if self.offset + len(self.text) > FILE_BYTES:
            raise _bad(self._path, f"it is longer than {FILE_BYTES} bytes")
        return bool(part)

    def peek(self) -> str:
        """The next character that is no space, or nothing at the file's end."""
        while True:
            matched = _SPACE.match(self.text, self.at)
            self.at = matched.end() if matched else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""


def _entries(
    path: Path, file: BinaryIO, seen: Callable[[bytes], object]
) -> Iterator[tuple[int, int, object]]:
    """First byte, byte behind, and value (as Latin-1) of each item of the file's list."""
    window = _Window(path, file, seen)
    window.more()
    if window.text.startswith(_MARK.decode("latin-1")):
        window.at = len(_MARK)
    if window.peek() != "[":
        raise _bad(path, "it must be one JSON list of conversations, as ShareGPT_V3 is")
    window.at += 1
    number = 0
    if window.peek() == "]":
        window.at += 1
    else:
        while True:
            yield _entry(path, window, number)
            number += 1
            mark = window.peek()
            window.at += 1
            if mark == "]":
                break
            if mark != ",":
                what = repr(mark) if mark else "the file's end"
                raise _bad(path, f"behind entry {number - 1} comes {what}, not ',' or ']'")
            window.peek()
    if trailing := window.peek():
        raise _bad(path, f"behind the list comes {trailing!r}")


def _entry(path: Path, window: _Window, number: int) -> tuple[int, int, object]:
    window.peek()
    while True:
        try:
            value, end = _DECODER.raw_decode(window.text, window.at)
        except RecursionError:
            raise _bad(path, f"entry {number} is nested too deeply") from None
        except ValueError as error:
            if len(window.text) - window.at > ENTRY_BYTES:
                raise _bad(path, f"entry {number} is longer than {ENTRY_BYTES} bytes") from None
            if _whole_in_sight(error, window) or not window.more():
                start = window.offset + window.at
                raise _bad(path, f"entry {number} (byte {start}) is no JSON: {error}") from None
        else:
            start, window.at = window.at, end
            return window.offset + start, window.offset + end, value


def _whole_in_sight(error: ValueError, window: _Window) -> bool:
    """Whether a mistake is in what was read, far from where more could mend it."""
    position = error.pos if isinstance(error, json.JSONDecodeError) else window.at
    unfinished = "Unterminated string" in str(error)
    return not unfinished and len(window.text) - position > 16


def _usable(path: Path, number: int, entry: object) -> bool:
    """Whether an entry has a prompt and an answer.

    Raises:
        SpecError: `BadData`: it has another shape than a conversation's.
    """
    if not isinstance(entry, dict):
        raise _bad(path, f"entry {number} is {_kind(entry)}, not an object with conversations")
    turns = entry.get("conversations")
    if turns is None:
        return False
    if not isinstance(turns, list):
        raise _bad(path, f"entry {number}: conversations is {_kind(turns)}, not a list")
    for place, turn in enumerate(turns[:2]):
        if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
            raise _bad(path, f"entry {number}: turn {place} has no text under value")
    return len(turns) >= 2


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return names.get(type(value), "null" if value is None else "a number")


def _bad(path: Path, why: str) -> SpecError:
    return SpecError("BadData", f"--data {path}: {why}")


def _unreadable(path: Path, error: OSError) -> SpecError:
    return SpecError("DataUnreadable", f"--data {path}: can't be read: {error.strerror or error}")
