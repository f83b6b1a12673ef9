"""A load process: `python -m ascendllm.checks.bench.load.worker`, driven over its stdin and stdout.

It ends with its parent: stdin closes. What it says is in `frames`.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ascendllm.checks.bench.load.frames import HEADER, Plan, pack, size_of, unpack
from ascendllm.checks.bench.load.loop import Load
from ascendllm.exceptions import CheckError

__all__ = ["main"]

PARENT_GONE = 3
_SCHEDSTAT = Path("/proc/self/schedstat")
_OUT = 1


def main() -> None:
    """Run one share of a load."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent ends us
    channel = _Channel(sys.stdin.fileno())
    load = Load(
        Plan.from_json(channel.read()),
        lambda done: _say({"done": done}),
        channel.number,
        channel.take,
    )
    try:
        _say({"measured": _run(load, channel)})
    except CheckError as error:
        told = {"reason": error.reason, "message": error.message}
        _say({"error": told, "failed": load.failed})
    finally:
        load.close()


def _run(load: Load, channel: _Channel) -> dict[str, object]:
    load.prepare()
    _say({"ready": True})
    load.wait(lambda: bool(channel.messages))
    start = float(channel.messages.pop(0)["start"])
    gc.collect()
    gc.freeze()
    gc.disable()
    before = _waited()
    measured = load.run(start)
    measured.run_delay = _waited() - before
    gc.enable()
    return measured.to_json()


class _Channel:
    """Messages from the parent.

    Args:
        number: The file descriptor.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.messages: list[dict[str, Any]] = []
        self._rest = bytearray()

    def read(self) -> dict[str, Any]:
        """Wait for the next message."""
        while not self.messages:
            self.take()
        return self.messages.pop(0)

    def take(self) -> None:
        """Take what is there; the process ends where the parent is gone."""
        data = os.read(self.number, 1024 * 1024)
        if not data:
            _end()
        self._rest += data
        while len(self._rest) >= HEADER.size:
            end = HEADER.size + size_of(bytes(self._rest[: HEADER.size]))
            if len(self._rest) < end:
                return
            self.messages.append(unpack(bytes(self._rest[HEADER.size : end])))
            del self._rest[:end]


def _say(message: Mapping[str, object]) -> None:
    data = memoryview(pack(message))
    try:
        while data:
            data = data[os.write(_OUT, data) :]
    except BrokenPipeError:
        _end()


def _waited() -> float:
    """Seconds for which this process could have run and was not let (Linux; else 0)."""
    try:
        return int(_SCHEDSTAT.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _end() -> NoReturn:
    os._exit(PARENT_GONE)


if __name__ == "__main__":
    main()
