"""vLLM's Python environment, in the user's cache folder: 9 GB and 4 minutes."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import run
from cluster.host import Tool, require
from cluster.paths import REPOSITORY
from cluster.python_environment import PythonEnvironment

__all__ = ["IMAGE", "REQUIREMENTS", "environment_folder", "install"]

IMAGE = REPOSITORY / "images" / "vllm-cpu"
"""What the image is made of: its command, its registration and its model script are ours too."""

REQUIREMENTS = Path(__file__).with_name("requirements.txt")

_SOURCE_ONLY = "rouge-score,sqlitedict,word2number"
"""Packages of lm-eval that have no wheels."""

_ENVIRONMENT = PythonEnvironment(
    name="vllm",
    requirements=REQUIREMENTS,
    what="vLLM for CPU, 9 GB, some minutes",
    timeout=1800.0,  # seconds; 240 with two cores and a near mirror
    options=("--no-binary", _SOURCE_ONLY),
)
_REGISTER = IMAGE / "register.py"
_PRELOADED = "/usr/lib/*-linux-gnu/libtcmalloc_minimal.so.4"


@dataclass(frozen=True)
class _Library(Tool):
    """A shared library, found by a pattern of its path."""

    def found(self) -> bool:
        return bool(glob.glob(self.program))


def environment_folder() -> Path:
    """Where the environment for the tree as it is now belongs, complete or not."""
    return _ENVIRONMENT.folder()


def install() -> Path:
    """The environment's folder, complete; made now unless it is.

    Raises:
        ClusterError: It cannot be made; the message holds what pip said.
    """
    require((_Library(_PRELOADED, "libtcmalloc-minimal4"),))
    folder = _ENVIRONMENT.install()
    run([str(folder / "bin" / "python"), str(_REGISTER)])
    return folder
