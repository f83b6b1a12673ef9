"""Our bench and `vllm bench serve`, each against a server of exactly known timing.

The server (`bench_server`) tells what it really did, from the moment at which it had read a
request, and that is what both are held to. Counted from the request's arrival at its socket the
truth holds the server's own lateness too: where the two differ, or a write of its is late or long,
the machine was busy with other things. The load: 128 tokens in and out, three waves, all starting
at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import bench_server
from bench.figures import Figure, MeasureError
from bench.machine import cores, peak_megabytes
from vllm.engine import command_environment, make_model
from vllm.environment import environment_folder

__all__ = ["measure"]

_STREAMS = (4, 64, 256, 512)
_WAVES = 3
_TOKENS = 128
_TTFT_MS = 50.0
_CORES = 2
_RUN_TIMEOUT = 300.0
_LOOK_AGAIN = 0.1

_TTFT_LIMITS = {4: 1.0, 64: 2.0, 256: 5.0, 512: 5.0}
"""By how many ms the reported mean TTFT may differ from the server's."""

_TPOT_LIMIT = 0.5
_MEMORY_LIMIT = 150.0


@dataclass(frozen=True)
class _Run:
    """What a client reported, and what it took."""

    ttft: float
    tpot: float
    duration: float
    wall: float
    memory: float


def measure() -> list[Figure]:
    """How far each client's figures are from the truth, and what it takes."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, cores(_CORES), _server() as url:
        theirs = _vllm(Path(folder))
        for streams in _STREAMS:
            figures += _compared(url, Path(folder), streams, theirs)
    return figures


def _compared(
    url: str, folder: Path, streams: int, theirs: Mapping[str, str] | None
) -> Iterator[Figure]:
    itl = 40.0 if streams >= 512 else 20.0
    due = _WAVES * (_TTFT_MS + (_TOKENS - 1) * itl) / 1000
    _call(url, "/reset", {"ttftMs": _TTFT_MS, "itlMs": itl})
    run, truth = _ours(url, streams, folder), _truth(url, streams)
    at = f"{streams} streams"
    yield Figure(f"{at}: the server's mean TTFT", truth["meanTtftMs"], "ms")
    yield Figure(f"{at}: the server's latest write", truth["maxLateMs"], "ms")
    yield Figure(f"{at}: the server's longest write", truth["maxWriteMs"], "ms")
    yield Figure(f"{at}: our mean TTFT", run.ttft, "ms")
    far = abs(run.ttft - truth["meanTtftMs"])
    yield Figure(f"{at}: our TTFT from the truth", far, "ms", _TTFT_LIMITS[streams])
    far = abs(run.ttft - truth["meanTtftFromArrivalMs"])
    yield Figure(f"{at}: the same, counted from the requests' arrival", far, "ms")
    far = 100 * abs(run.tpot / truth["meanTpotMs"] - 1)
    yield Figure(f"{at}: our TPOT from the truth", far, "%", _TPOT_LIMIT)
    yield Figure(f"{at}: our load ({due:.2f} s due)", run.duration, "s", 1.1 * due + 1)
    yield Figure(f"{at}: our command, prompts and all", run.wall, "s")
    yield Figure(f"{at}: our largest process", run.memory, "MB", _MEMORY_LIMIT)
    if theirs is None:
        return
    _call(url, "/reset", {"ttftMs": _TTFT_MS, "itlMs": itl})
    run, truth = _vllm_run(url, streams, folder, theirs), _truth(url, streams)
    yield Figure(f"{at}: vllm bench serve, mean TTFT", run.ttft, "ms")
    far = abs(run.ttft - truth["meanTtftMs"])
    yield Figure(f"{at}: vllm bench serve, TTFT from the truth", far, "ms")
    far = 100 * abs(run.tpot / truth["meanTpotMs"] - 1)
    yield Figure(f"{at}: vllm bench serve, TPOT from the truth", far, "%")
    yield Figure(f"{at}: vllm bench serve, load", run.duration, "s")
    yield Figure(f"{at}: vllm bench serve, command", run.wall, "s")
    yield Figure(f"{at}: vllm bench serve, largest process", run.memory, "MB")


def _ours(url: str, streams: int, folder: Path) -> _Run:
    command = [
        *(sys.executable, "-m", "ascendllm", "validate", "bench", f"--base-url={url}"),
        *(f"--model={bench_server.MODEL}", f"--input-tokens={_TOKENS}"),
        *(f"--output-tokens={_TOKENS}", f"--concurrency={streams}"),
        f"--requests={_WAVES * streams}",
    ]
    output = folder / "ours.json"
    wall, memory = _watched(command, output, None)
    result = json.loads(output.read_bytes())
    if result["result"] != "Passed":
        raise MeasureError(f"{streams} streams: {result['reason']}: {result['message']}")
    found = (result["meanTtftMs"], result["meanTpotMs"], result["duration"])
    return _Run(*found, wall, memory)


def _vllm(folder: Path) -> Mapping[str, str] | None:
    """The process environment for `vllm bench serve`; None where it isn't installed."""
    environment = environment_folder()
    if not (environment / ".complete").exists():
        print(
            "bench: without vllm bench serve, which `python tests/vllm install` installs",
            file=sys.stderr,
        )
        return None
    make_model(folder / "model")
    return command_environment(environment)


def _vllm_run(url: str, streams: int, folder: Path, environment: Mapping[str, str]) -> _Run:
    saved = folder / "vllm.json"
    command = [
        *("vllm", "bench", "serve", "--backend=openai", f"--base-url={url}"),
        *(f"--model={bench_server.MODEL}", f"--tokenizer={folder / 'model'}"),
        *("--dataset-name=random", f"--random-input-len={_TOKENS}"),
        *(f"--random-output-len={_TOKENS}", f"--num-prompts={_WAVES * streams}"),
        *(f"--max-concurrency={streams}", "--disable-tqdm", "--save-result"),
        *(f"--result-dir={folder}", f"--result-filename={saved.name}"),
    ]
    wall, memory = _watched(command, folder / "vllm.log", environment)
    result = json.loads(saved.read_bytes())
    if result["completed"] != _WAVES * streams:
        raise MeasureError(f"vllm bench serve completed {result['completed']} requests")
    found = (result["mean_ttft_ms"], result["mean_tpot_ms"], result["duration"])
    return _Run(*found, wall, memory)


def _watched(
    command: Sequence[str], output: Path, environment: Mapping[str, str] | None
) -> tuple[float, float]:
    """Run a command; returns its seconds and the most MB that one of its processes held."""
    peak = 0.0
    began = time.monotonic()
    errors = output.with_suffix(".errors")
    with (
        output.open("wb") as out,
        errors.open("wb") as err,
        subprocess.Popen(command, stdout=out, stderr=err, env=environment) as process,
    ):
        while process.poll() is None:
            for pid in (process.pid, *_children(process.pid)):
                peak = max(peak, peak_megabytes(pid) or 0.0)
            if time.monotonic() - began > _RUN_TIMEOUT:
                process.kill()
                raise MeasureError(f"{command[0]} took more than {_RUN_TIMEOUT:g} s")
            time.sleep(_LOOK_AGAIN)
        seconds = time.monotonic() - began
    if process.returncode:
        said = errors.read_text(errors="replace") + output.read_text(errors="replace")
        raise MeasureError(f"{command[0]} ended with {process.returncode}: {said[-2000:]}")
    return seconds, peak


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def _truth(url: str, streams: int) -> dict[str, float]:
    truth: dict[str, float] = _call(url, "/truth", None)
    if truth["requests"] < _WAVES * streams:
        raise MeasureError(f"the server has seen {truth['requests']} requests only")
    return truth


def _call(url: str, path: str, payload: Mapping[str, Any] | None) -> Any:
    data = None if payload is None else json.dumps(payload).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data), timeout=30) as answer:
        return json.load(answer)


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, os.fspath(Path(bench_server.__file__))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()
