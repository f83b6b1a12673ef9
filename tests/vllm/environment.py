"""vLLM's Python environment, in the user's cache folder: made once for a requirements file.

9 GB and 4 minutes. It is found again by the hash of the requirements; one that is
not complete is made anew, and the last two that were used are kept.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import environment as inherited
from cluster.commands import run
from cluster.host import Tool, require
from cluster.paths import REPOSITORY, cache_folder

__all__ = ["IMAGE", "REQUIREMENTS", "environment_folder", "install"]

IMAGE = REPOSITORY / "images" / "vllm-cpu"
"""What the image is made of: its command, its registration and its model script are ours too."""

REQUIREMENTS = Path(__file__).with_name("requirements.txt")

_REGISTER = IMAGE / "register.py"
_COMPLETE = ".complete"
_KEPT = 2
_INSTALL_TIMEOUT = 1800.0  # seconds; 240 with two cores and a near mirror
_PRELOADED = "/usr/lib/*-linux-gnu/libtcmalloc_minimal.so.4"


@dataclass(frozen=True)
class _Library(Tool):
    """A shared library, found by a pattern of its path."""

    def found(self) -> bool:
        return bool(glob.glob(self.program))


def environment_folder() -> Path:
    """Where the environment for the tree as it is now belongs, complete or not."""
    return _cache() / _key()


def install() -> Path:
    """The environment's folder, complete; made now unless it is.

    Raises:
        ClusterError: It cannot be made; the message holds what pip said.
    """
    require((_Library(_PRELOADED, "libtcmalloc-minimal4"),))
    _cache().mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = environment_folder()
    with _one_at_a_time():
        if not (folder / _COMPLETE).exists():
            _make(folder)
        run([str(folder / "bin" / "python"), str(_REGISTER)])
        _keep_newest(folder)
    return folder


def _make(folder: Path) -> None:
    started = time.monotonic()
    print("installing vLLM for CPU, 9 GB, some minutes ...", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(folder)])
    python = str(folder / "bin" / "python")
    # One package's requirements are overridden, so what the lock names is the whole truth.
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    locked = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    run(
        [*pip, *locked, "--no-binary", _SOURCE_ONLY, "-r", str(REQUIREMENTS)],
        timeout=_INSTALL_TIMEOUT,
        env=inherited(),
    )
    (folder / _COMPLETE).touch()
    print(f"installed vLLM in {time.monotonic() - started:.0f} s", file=sys.stderr)


_SOURCE_ONLY = "rouge-score,sqlitedict,word2number"
"""Packages of lm-eval that have no wheels."""


def _keep_newest(used: Path) -> None:
    """Throw away what was not used for longest; two stay, for another branch's server may run."""
    os.utime(used)
    others = [entry for entry in _cache().iterdir() if entry.is_dir() and entry != used]
    complete = [entry for entry in others if (entry / _COMPLETE).exists()]
    complete.sort(key=lambda entry: entry.stat().st_mtime)
    kept = complete[-(_KEPT - 1) :]
    for old in others:
        if old not in kept:
            shutil.rmtree(old, ignore_errors=True)


def _cache() -> Path:
    return cache_folder() / "vllm"


def _key() -> str:
    """16 hex digits that change with the packages, the machine and Python."""
    digest = hashlib.sha256(f"{platform.machine()} {sys.version_info[:2]}\n".encode())
    digest.update(REQUIREMENTS.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with open(_cache() / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
