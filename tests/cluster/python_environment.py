"""Python environments beside the tests' own, for packages that agree with none of ours.

Each is made once for a requirements file, in the user's cache folder. It is found again by the
hash of the requirements; one that is not complete is made anew, and the last two that were used are
kept.
"""

from __future__ import annotations

import fcntl
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
from cluster.paths import cache_folder

__all__ = ["PythonEnvironment"]

_COMPLETE = ".complete"
_KEPT = 2


@dataclass(frozen=True)
class PythonEnvironment:
    """An environment of locked packages.

    Attributes:
        name: Its folder in the cache.
        requirements: The file that locks its packages, by hashes.
        what: What it holds and what that takes, for the person who waits.
        timeout: Seconds after which installing is given up.
        options: Of pip, beside those that hold it to the lock.
        interpreter: The Python that it is an environment of.
    """

    name: str
    requirements: Path
    what: str
    timeout: float
    options: tuple[str, ...] = ()
    interpreter: str = sys.executable

    def folder(self) -> Path:
        """Where the environment for the tree as it is now belongs, complete or not."""
        return self._cache() / self._key()

    def install(self) -> Path:
        """The environment's folder, complete; made now unless it is.

        Raises:
            ClusterError: It cannot be made; the message holds what pip said.
        """
        self._cache().mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self.folder()
        with self._one_at_a_time():
            if not (folder / _COMPLETE).exists():
                self._make(folder)
            self._keep_newest(folder)
        return folder

    def _make(self, folder: Path) -> None:
        started = time.monotonic()
        print(f"installing {self.what} ...", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        run([self.interpreter, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        # Requirements may be overridden, so what the lock names is the whole truth.
        locked = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
        run(
            [*pip, "install", "--quiet", *locked, *self.options, "-r", str(self.requirements)],
            timeout=self.timeout,
            env=inherited(),
        )
        (folder / _COMPLETE).touch()
        print(f"installed in {time.monotonic() - started:.0f} s", file=sys.stderr)

    def _keep_newest(self, used: Path) -> None:
        """Throw away what was not used for longest; two stay: another branch may use the other."""
        os.utime(used)
        others = [entry for entry in self._cache().iterdir() if entry.is_dir() and entry != used]
        complete = [entry for entry in others if (entry / _COMPLETE).exists()]
        complete.sort(key=lambda entry: entry.stat().st_mtime)
        kept = complete[-(_KEPT - 1) :]
        for old in others:
            if old not in kept:
                shutil.rmtree(old, ignore_errors=True)

    def _cache(self) -> Path:
        return cache_folder() / self.name

    def _key(self) -> str:
        """16 hex digits that change with the packages, the machine and Python."""
        digest = hashlib.sha256(f"{platform.machine()} {sys.version_info[:2]}\n".encode())
        if self.interpreter != sys.executable:
            digest.update(self.interpreter.encode())
        digest.update(self.requirements.read_bytes())
        return digest.hexdigest()[:16]

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        with open(self._cache() / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
