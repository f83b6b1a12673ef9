"""Downloads against the hubs' own clients, from the same server: whole processes, start to end.

The files are on the disk and in the page cache; the server sends them by sendfile. Ours compares
every file's SHA-256 and has it on the disk before it counts, which the clients do in part.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from bench.figures import Figure, MeasureError
from unit.download.models import model

__all__ = ["measure"]

_SHARD_BYTES = 256_000_000
_SHARDS = 4
_ROUNDS = 3
_TESTS = Path(__file__).resolve().parents[1]

_CLIENTS = {
    "hf": (
        "import sys; from huggingface_hub import snapshot_download; "
        "snapshot_download('org/llama', local_dir=sys.argv[1], endpoint=sys.argv[2], "
        "ignore_patterns=['*.bin', '*.pth'])"
    ),
    "ms": (
        "import sys; from modelscope_hub import HubApi; "
        "HubApi(endpoint=sys.argv[2]).download_repo('org/llama', repo_type='model', "
        "local_dir=sys.argv[1], ignore_patterns=['*.bin', '*.pth'])"
    ),
}
"""The hub's own client, as its documents say."""


def measure() -> list[Figure]:
    """Bytes a second of both, the best of some rounds, and what ours keeps in memory."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="ascendllm-bench-") as folder:
        root = Path(folder)
        # In a process of its own: a child's peak memory counts from before its program began.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(_make, root / "hub" / "org" / "llama").result()
        with _server(root / "hub") as url:
            for kind, client in _CLIENTS.items():
                theirs: list[float] = []
                ours: list[float] = []
                resident = 0.0
                # In turns, since a machine's pace changes.
                for _ in range(_ROUNDS):
                    seconds, _ = _run([sys.executable, "-c", client], root / "got", url)
                    theirs.append(seconds)
                    command = [sys.executable, "-m", "ascendllm", "download"]
                    command += [f"{kind}://org/llama", "--to"]
                    seconds, megabytes = _run(command, root / "got", url, "--endpoint")
                    ours.append(seconds)
                    resident = max(resident, megabytes)
                total = _SHARD_BYTES * _SHARDS / 1e6
                ratio = 100 * min(theirs) / min(ours)
                figures += [
                    Figure(f"{kind}: the hub's own client", total / min(theirs), "MB/s"),
                    Figure(f"{kind}: ours", total / min(ours), "MB/s"),
                    Figure(f"{kind}: ours to theirs", ratio, "%", 90, True),
                    Figure(f"{kind}: ours, resident at most", resident, "MB", 300),
                ]
    return figures


def _make(folder: Path) -> None:
    for path, content in model(_SHARD_BYTES, _SHARDS).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "unit.download.hub_server", str(folder), "127.0.0.1", "0"]
    with subprocess.Popen(command, cwd=_TESTS, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield str(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


def _run(command: list[str], folder: Path, url: str, *before_url: str) -> tuple[float, float]:
    """Seconds, and megabytes resident at most."""
    shutil.rmtree(folder, ignore_errors=True)
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment = kept | {"HF_HUB_DISABLE_XET": "1", "TQDM_DISABLE": "1", "NO_PROXY": "*"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, str(folder), *before_url, url],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode != 0:
        raise MeasureError(f"{' '.join(command[:4])} ended with {process.returncode}")
    return seconds, usage.ru_maxrss * 1024 / 1e6
