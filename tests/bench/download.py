"""Downloads against the servers' own clients, from the same server: whole processes, start to end.

The files are on the disk and in the page cache; a stand-in sends them by sendfile. The real store
of the tests reads a whole object for each range of it, which would hide the clients' pace. Ours
compares every file's SHA-256 where the server tells it, and has every file on the disk before it
counts, which the clients do in part.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from bench.figures import Figure, MeasureError
from s3.store import ENVIRONMENT
from unit.checks.s3_server import KEYS, REGION
from unit.download.models import model

__all__ = ["measure"]

_SHARD_BYTES = 256_000_000
_SHARDS = 4
_ROUNDS = 5
_TESTS = Path(__file__).resolve().parents[1]

_HUGGING_FACE = (
    "import sys; from huggingface_hub import snapshot_download; "
    "snapshot_download('org/llama', local_dir=sys.argv[1], endpoint=sys.argv[2], "
    "ignore_patterns=['*.bin', '*.pth'])"
)
_MODEL_SCOPE = (
    "import sys; from modelscope_hub import HubApi; "
    "HubApi(endpoint=sys.argv[2]).download_repo('org/llama', repo_type='model', "
    "local_dir=sys.argv[1], ignore_patterns=['*.bin', '*.pth'])"
)


@dataclass(frozen=True)
class _Case:
    """A kind of server, and whom ours is held against there.

    Attributes:
        server: The module that serves a folder.
        theirs: The server's own client, as its documents say; folder and address come behind it.
        behind: And what comes behind these.
        ours: Options of ours beside folder and address.
        source: What ours is asked for.
        environment: Of both.
    """

    server: str
    theirs: tuple[str, ...]
    source: str
    behind: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def _cases() -> dict[str, _Case]:
    amazon = (str(ENVIRONMENT.install() / "bin" / "python"), str(_TESTS / "s3" / "download.py"))
    hub = "unit.download.hub_server"
    return {
        "hf": _Case(hub, (sys.executable, "-c", _HUGGING_FACE), "hf://org/llama"),
        "ms": _Case(hub, (sys.executable, "-c", _MODEL_SCOPE), "ms://org/llama"),
        "s3": _Case(
            "unit.checks.s3_server",
            amazon,
            "s3://data-bucket/org/llama",
            behind=(REGION, "data-bucket", "org/llama/", ".bin", ".pth"),
            ours=("--region", REGION),
            environment=KEYS,
        ),
    }


def measure() -> list[Figure]:
    """Bytes a second of both, the best of some rounds, and what ours keeps in memory."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="ascendllm-bench-") as folder:
        root = Path(folder)
        # In a process of its own: a child's peak memory counts from before its program began.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(_make, root / "hub" / "org" / "llama").result()
        for kind, case in _cases().items():
            with _server(case.server, root / "hub") as url:
                figures += _compared(kind, case, root / "got", url)
    return figures


def _compared(kind: str, case: _Case, target: Path, url: str) -> list[Figure]:
    theirs: list[float] = []
    ours: list[float] = []
    resident = 0.0
    command = [sys.executable, "-m", "ascendllm", "download", case.source, "--to", str(target)]
    command += ["--endpoint", url, *case.ours]
    # In turns, since a machine's pace changes.
    for _ in range(_ROUNDS):
        seconds, _ = _run([*case.theirs, str(target), url, *case.behind], target, case.environment)
        theirs.append(seconds)
        seconds, megabytes = _run(command, target, case.environment)
        ours.append(seconds)
        resident = max(resident, megabytes)
    total = _SHARD_BYTES * _SHARDS / 1e6
    ratio = 100 * min(theirs) / min(ours)
    whose = "the store's" if kind == "s3" else "the hub's"
    return [
        Figure(f"{kind}: {whose} own client", total / min(theirs), "MB/s"),
        Figure(f"{kind}: ours", total / min(ours), "MB/s"),
        Figure(f"{kind}: ours to theirs", ratio, "%", 90, True),
        Figure(f"{kind}: ours, resident at most", resident, "MB", 300),
    ]


def _make(folder: Path) -> None:
    for path, content in model(_SHARD_BYTES, _SHARDS).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


@contextmanager
def _server(module: str, folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", module, str(folder)]
    with subprocess.Popen(command, cwd=_TESTS, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield str(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


def _run(command: list[str], folder: Path, more: Mapping[str, str]) -> tuple[float, float]:
    """Seconds, and megabytes resident at most."""
    shutil.rmtree(folder, ignore_errors=True)
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment = kept | {"HF_HUB_DISABLE_XET": "1", "TQDM_DISABLE": "1", "NO_PROXY": "*"} | more
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode != 0:
        raise MeasureError(f"{' '.join(command[:4])} ended with {process.returncode}")
    return seconds, usage.ru_maxrss * 1024 / 1e6
