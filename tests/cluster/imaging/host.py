"""Where built things are kept, one builder at a time, and mounts that outlive no command."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.paths import cache_folder

__all__ = ["image_cache", "keep_newest", "one_at_a_time", "own_mounts"]


def image_cache() -> Path:
    """The folder of everything that is kept between builds; only its owner can read it."""
    folder = cache_folder() / "images"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def keep_newest(pattern: str, count: int, used: Path) -> None:
    """Throw away what has not been used for the longest time.

    Args:
        pattern: Which entries of the cache are meant.
        count: How many of them stay.
        used: The one in use now.
    """
    os.utime(used)
    entries = sorted(image_cache().glob(pattern), key=lambda entry: entry.stat().st_mtime)
    for old in entries[:-count]:
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one process at a time build images; the others wait and find them built."""
    with open(image_cache() / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def own_mounts(*command: str) -> list[str]:
    """The command in a mount namespace of its own, so that none of its mounts outlives it."""
    return ["unshare", "--mount", "--propagation", "private", "--", *command]
