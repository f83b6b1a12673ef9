"""The runner of MMLU's questions against a server that takes no time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ascendllm_simulator import dataset
from bench.figures import Figure, MeasureError
from bench.machine import cores, peak_megabytes
from cluster.processes import free_ports

__all__ = ["measure"]

_QUESTIONS = 200
"""In each of the 57 subjects: 11,400; MMLU has 14,042."""

_MODEL = "bench"
_ACCURACY = 66.3
_BEHAVIOUR = {"loadSeconds": 0, "ttftMs": 0, "itlMs": 0, "accuracy": _ACCURACY}
_CORES = 2
_START_TIMEOUT = 30.0
_RUN_TIMEOUT = 300.0
_LOOK_AGAIN = 0.02
_RATE_LIMIT = 1000.0
_MEMORY_LIMIT = 150.0


@dataclass(frozen=True)
class _Run:
    seconds: float
    peak: float
    result: dict[str, Any]


def measure() -> list[Figure]:
    """Questions a second over the process's whole life, and the most that it held."""
    with tempfile.TemporaryDirectory() as folder, cores(_CORES):
        questions = dataset.write(Path(folder), _QUESTIONS)
        with _simulator(folder) as url:
            run = _validate(url, folder)
    counted = run.result["questions"] - run.result["unanswered"]
    asked = run.result["requests"]
    if run.result["result"] != "Passed" or counted != questions or asked < questions:
        raise MeasureError(f"the check did not do its work: {run.result}")
    shown = f"questions a second, {questions} of them, start and end included"
    return [
        Figure(shown, questions / run.seconds, "/s", _RATE_LIMIT, at_least=True),
        Figure("peak resident of the runner", run.peak, "MB", _MEMORY_LIMIT),
    ]


@contextmanager
def _simulator(folder: str) -> Iterator[str]:
    [port] = free_ports(1)
    command = [
        *("setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "ascendllm_simulator"),
        *("made-up/model", "--host=127.0.0.1", f"--port={port}", f"--served-model-name={_MODEL}"),
    ]
    url = f"http://127.0.0.1:{port}"
    env = {**os.environ, "ASCENDLLM_SIMULATE": json.dumps(_BEHAVIOUR)}
    with (
        Path(folder, "simulator.log").open("w+b") as log,
        subprocess.Popen(command, env=env, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for(f"{url}/health", process)
            yield url
        finally:
            process.kill()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_LOOK_AGAIN)
    raise MeasureError(f"the simulator does not answer on {url}")


def _validate(url: str, folder: str) -> _Run:
    command = [
        *(sys.executable, "-m", "ascendllm", "validate", "mmlu", f"--base-url={url}"),
        *(f"--model={_MODEL}", "--shots=5", f"--data={folder}", "--custom-data"),
        *("--concurrency=16", f"--timeout={_RUN_TIMEOUT}"),
    ]
    output, errors = Path(folder, "result.json"), Path(folder, "validator.log")
    peak = 0.0
    began = time.monotonic()
    with (
        output.open("w+b") as out,
        errors.open("w+b") as err,
        subprocess.Popen(command, stdout=out, stderr=err) as process,
    ):
        while process.poll() is None:
            # Not by its resource usage at the end: that counts what this process held when forking.
            peak = max(peak, peak_megabytes(process.pid) or 0.0)
            time.sleep(_LOOK_AGAIN)
        seconds = time.monotonic() - began
    try:
        return _Run(seconds, peak, json.loads(output.read_bytes()))
    except ValueError as error:
        said = errors.read_text(errors="replace")[-2000:]
        raise MeasureError(f"the check ended with {process.returncode}: {said}") from error
