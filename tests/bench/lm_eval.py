"""MMLU of ours against lm-eval's, on the same server of the real vLLM, over the same questions.

lm-eval runs as in `vllm/test_mmlu.py`: `local-completions` in its best settings. Both kinds of
request are made once before, since a fresh engine takes many seconds for its first ones; ours goes
first, so that nothing is in the prefix cache that it didn't put there itself. The time of asking is
the server's: from the first request that it has done to the last.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from ascendllm_simulator import dataset
from bench.figures import Figure, MeasureError
from cluster.paths import REPOSITORY
from vllm.engine import Engine, command_environment, make_model, serving
from vllm.environment import environment_folder

__all__ = ["measure"]

_SUBJECTS = (
    "abstract_algebra",
    "anatomy",
    "college_medicine",
    "high_school_us_history",
    "moral_scenarios",
    "professional_law",
    "us_foreign_policy",
    "world_religions",
)
_QUESTIONS = 25
_IN_FLIGHT = 16
_LOOK_AGAIN = 0.02
_TIMEOUT = 900.0
_REQUESTS_LIMIT = 1 / 4
_TIME_LIMIT = 1 / 3
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_FINISHED = re.compile(r"^vllm:request_success_total\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class _Run:
    """One harness' run.

    Attributes:
        requests: That the engine has finished for it.
        asking: Seconds from the first of them to the last.
        whole: Seconds of the whole process.
    """

    requests: int
    asking: float
    whole: float


@dataclass
class _Watch:
    """Looks at the engine's count of finished requests until left."""

    url: str
    seen: list[tuple[float, int]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> _Watch:
        self.seen.append((time.monotonic(), _finished(self.url)))
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self.seen.append((time.monotonic(), _finished(self.url)))

    def _look(self) -> None:
        while not self._over.wait(_LOOK_AGAIN):
            self.seen.append((time.monotonic(), _finished(self.url)))

    def result(self) -> _Run:
        before, after = self.seen[0][1], self.seen[-1][1]
        began = next((at for at, count in self.seen if count > before), self.seen[-1][0])
        ended = next(at for at, count in self.seen if count == after)
        return _Run(after - before, ended - began, self.seen[-1][0] - self.seen[0][0])


def measure() -> list[Figure]:
    """The ratios of requests and of time."""
    environment = environment_folder()
    if not (environment / ".complete").exists():
        raise MeasureError(
            "the environment of vLLM and lm-eval is not there: `python tests/vllm install` makes "
            "it (9 GB, 4 minutes)"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset.write(folder / "csv", _QUESTIONS)
        model = make_model(folder / "model")
        with serving(environment, model, folder / "engine.log") as engine:
            _warm_up(engine)
            ours = _watched(engine, _ours(engine, folder), folder)
            _run(_as_hub_set(engine, folder), folder, engine)
            theirs = _watched(engine, _theirs(engine, folder), folder)
    questions = len(_SUBJECTS) * _QUESTIONS
    if ours.requests < questions or theirs.requests < questions:
        raise MeasureError(f"of {questions} questions: ours {ours}, lm-eval's {theirs}")
    return [
        Figure(
            f"requests to the engine, ours to lm-eval's ({ours.requests} to {theirs.requests})",
            ours.requests / theirs.requests,
            limit=_REQUESTS_LIMIT,
        ),
        Figure(
            f"time of asking, ours to lm-eval's ({ours.asking:.1f} s to {theirs.asking:.1f} s)",
            ours.asking / theirs.asking,
            limit=_TIME_LIMIT,
        ),
        Figure(
            f"whole process, ours to lm-eval's ({ours.whole:.1f} s to {theirs.whole:.1f} s)",
            ours.whole / theirs.whole,
            limit=_TIME_LIMIT,
        ),
    ]


def _warm_up(engine: Engine) -> None:
    """Let the engine make what it makes at its first requests of each kind."""
    text = "one two three " * 300
    for shape in ({"echo": True, "logprobs": 1}, {"logprobs": 20, "allowed_token_ids": [70, 71]}):
        body = {"model": engine.name, "prompt": text, "max_tokens": 1, "temperature": 0, **shape}
        request = urllib.request.Request(
            f"{engine.url}/v1/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with _OPENER.open(request, timeout=_TIMEOUT):
            pass


def _ours(engine: Engine, folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "ascendllm", "validate", "mmlu", f"--base-url={engine.url}"),
        *(f"--model={engine.name}", "--kind=base", "--protocol=lmEval", "--shots=5"),
        *(f"--data={folder / 'csv'}", "--custom-data", f"--subjects={','.join(_SUBJECTS)}"),
        f"--concurrency={_IN_FLIGHT}",
    ]


def _as_hub_set(engine: Engine, folder: Path) -> list[str]:
    python = str(engine.environment / "bin" / "python")
    script = str(REPOSITORY / "tests" / "vllm" / "hub_set.py")
    return [python, "-I", script, str(folder / "csv"), str(folder), *_SUBJECTS]


def _theirs(engine: Engine, folder: Path) -> list[str]:
    model = {
        "model": engine.name,
        "base_url": f"{engine.url}/v1/completions",
        "tokenizer": str(engine.model),
        "tokenizer_backend": "huggingface",
        "add_bos_token": "True",
        "max_length": "4096",
        "num_concurrent": str(_IN_FLIGHT),
    }
    return [
        *(str(engine.environment / "bin" / "lm_eval"), "--model", "local-completions"),
        *("--model_args", ",".join(f"{key}={value}" for key, value in model.items())),
        *("--tasks", ",".join(f"mmlu_{subject}" for subject in _SUBJECTS)),
        *("--num_fewshot", "5", "--output_path", str(folder / "out")),
    ]


def _watched(engine: Engine, command: list[str], folder: Path) -> _Run:
    with _Watch(engine.url) as watch:
        _run(command, folder, engine)
    return watch.result()


def _run(command: list[str], folder: Path, engine: Engine) -> None:
    """Run to the end; our own check ends with 2 where a random model is judged no model."""
    environment = command_environment(engine.environment) | {
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(folder / "home"),
        "PYTHONPATH": str(REPOSITORY / "operator"),
    }
    outcome = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIMEOUT
    )
    if outcome.returncode not in (0, 2):
        raise MeasureError(
            f"{command[0]} ended with {outcome.returncode}: {outcome.stderr[-2000:]}"
        )


def _finished(url: str) -> int:
    """Requests that the engine has finished."""
    with _OPENER.open(f"{url}/metrics", timeout=_TIMEOUT) as answer:
        return int(sum(map(float, _FINISHED.findall(answer.read().decode()))))
