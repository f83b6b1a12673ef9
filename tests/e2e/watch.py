"""What happens to objects, as the API server tells it: tests wait for events, never for time."""

from __future__ import annotations

import codecs
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

__all__ = ["Event", "Object", "Watch"]

Object = Mapping[str, Any]

_CHUNK = 65536


class Event(NamedTuple):
    """One event: `ADDED`, `MODIFIED` or `DELETED`, and the object then."""

    type: str
    item: Object

    @property
    def name(self) -> str:
        return str(self.item["metadata"]["name"])


class Watch:
    """A `kubectl get --watch`, with everything that it has told.

    Before its first event it knows of no object: what waits for an absence waits for the presence
    first.

    Args:
        command: The kubectl command line, without options for output.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.events: list[Event] = []
        """All events so far, in order; the first ones are of the objects that were there."""
        self._there: dict[str, Object] = {}
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [*command, "--watch", "--output=json", "--output-watch-events"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def until(
        self, fits: Callable[[Mapping[str, Object]], bool], what: str, seconds: float = 120
    ) -> Mapping[str, Object]:
        """Wait until the objects that are there fit.

        Args:
            fits: Is given the objects by name.
            what: What is waited for, for the message.
            seconds: How long.

        Returns:
            The objects that fitted.
        """
        deadline = time.monotonic() + seconds
        with self._news:
            while not fits(self._there):
                left = deadline - time.monotonic()
                assert left > 0, f"not within {seconds:.0f} s: {what}; there is {self._shown()}"
                assert self._reader.is_alive(), f"the watch ended while waiting for: {what}"
                self._news.wait(min(left, 5.0))
            return dict(self._there)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for document in _documents(self._process.stdout.fileno()):
            event = Event(document["type"], document["object"])
            with self._news:
                self.events.append(event)
                if event.type == "DELETED":
                    self._there.pop(event.name, None)
                else:
                    self._there[event.name] = event.item
                self._news.notify_all()

    def _shown(self) -> str:
        return json.dumps(
            {name: item.get("status") or item.get("data") for name, item in self._there.items()}
        )[:4000]


def _documents(file: int) -> Iterator[dict[str, Any]]:
    """The JSON documents of a stream, one after the other."""
    characters = codecs.getincrementaldecoder("utf-8")()
    decoder = json.JSONDecoder()
    text = ""
    while chunk := os.read(file, _CHUNK):
        text = (text + characters.decode(chunk)).lstrip()
        while text:
            try:
                document, end = decoder.raw_decode(text)
            except ValueError:
                break  # the rest of it is still to come
            yield document
            text = text[end:].lstrip()
