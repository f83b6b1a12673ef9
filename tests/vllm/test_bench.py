"""Our bench's figures are those of `vllm bench serve` 0.18.0 on the same server at low load.

One request at a time: the two clients then measure the server and hardly themselves. They take
turns, and the quietest of their rounds are compared, since all three share the machine's cores.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vllm.engine import SERVED, Engine, command_environment
from vllm.environment import IMAGE

ROUNDS = 3
REQUESTS = 10
INPUT, OUTPUT = 128, 128

RELATIVE = 0.25
ABSOLUTE_MS = {"medianTtftMs": 10.0, "medianE2elMs": 10.0, "medianTpotMs": 0.3}
"""Two figures agree when they differ by no more than a quarter of the smaller, or than this.

Their clock of the first token starts before the connection is made and the request is built.
"""


@pytest.fixture(scope="module")
def rounds(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each round's figures, ours and theirs, theirs under our names."""
    folder = tmp_path_factory.mktemp("bench")
    ours(engine, folder)  # the server's first requests are slow
    return [(ours(engine, folder), theirs(engine, folder)) for _ in range(ROUNDS)]


def ours(engine: Engine, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "ascendllm", "validate", "bench", "--base-url", engine.url]
    command += ["--model", SERVED, "--input-tokens", str(INPUT), "--output-tokens", str(OUTPUT)]
    command += ["--concurrency", "1", "--requests", str(REQUESTS), "-o", "json"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def theirs(engine: Engine, folder: Path) -> dict[str, Any]:
    command = [str(IMAGE / "vllm"), "bench", "serve", "--backend", "openai"]
    command += ["--base-url", engine.url, "--endpoint", "/v1/completions", "--model", SERVED]
    command += ["--tokenizer", str(engine.model), "--dataset-name", "random", "--ignore-eos"]
    command += ["--random-input-len", str(INPUT), "--random-output-len", str(OUTPUT)]
    command += ["--num-prompts", str(REQUESTS), "--max-concurrency", "1", "--disable-tqdm"]
    command += ["--percentile-metrics", "ttft,tpot,itl,e2el", "--save-result"]
    command += ["--result-dir", str(folder), "--result-filename", "theirs.json"]
    outcome = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env=command_environment(engine.environment),
        cwd=folder,
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    found = json.loads((folder / "theirs.json").read_text())
    return {camel(key): value for key, value in found.items() if not isinstance(value, list)}


def camel(key: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), key)


Rounds = list[tuple[dict[str, Any], dict[str, Any]]]


@pytest.mark.timeout(600)
def test_their_figures_are_ours_by_name(rounds: Rounds) -> None:
    mine, other = rounds[0]
    timed = {f"{kind}{name}Ms" for kind in ("mean", "median", "std", "p99") for name in TIMED}
    assert timed <= other.keys()
    wanted = timed | {name for name in other if name.endswith("Throughput")}
    wanted |= {"duration", "completed", "failed", "totalInputTokens", "totalOutputTokens"}
    assert len(wanted) == 4 * len(TIMED) + 3 + 5
    assert wanted - mine.keys() == set()
    assert {name for name in wanted if isinstance(other[name], str)} == set()


TIMED = ("Ttft", "Tpot", "Itl", "E2el")


def test_the_totals_are_equal(rounds: Rounds) -> None:
    for mine, other in rounds:
        for name in ("completed", "failed", "totalOutputTokens"):
            assert mine[name] == other[name], name
        assert mine["completed"] == REQUESTS
        assert mine["totalInputTokens"] == REQUESTS * INPUT
        # Theirs are as their tokenizer made them, which misses the length by some.
        assert abs(other["totalInputTokens"] - mine["totalInputTokens"]) <= 2 * REQUESTS


@pytest.mark.parametrize("name", ABSOLUTE_MS)
def test_the_times_agree(rounds: Rounds, name: str) -> None:
    mine = min(one[name] for one, _ in rounds)
    other = min(two[name] for _, two in rounds)
    print(f"{name}: ours {mine:.2f}, theirs {other:.2f}")
    assert min(mine, other) > 0
    assert abs(mine - other) <= max(RELATIVE * min(mine, other), ABSOLUTE_MS[name])
