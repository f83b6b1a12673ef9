"""The Pythons that the package supports, and the operator's packages for each."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from cluster.paths import REPOSITORY
from cluster.python_environment import PythonEnvironment

__all__ = ["newest_supported", "oldest_supported", "python_with_packages"]


def oldest_supported() -> str:
    return _bounds()[0]


def newest_supported() -> str:
    major, minor = _bounds()[1].split(".")
    return f"{major}.{int(minor) - 1}"


def python_with_packages(version: str) -> str | None:
    """A Python of a version with the operator's packages; None where the machine has no such one.

    The packages are installed once, into the user's cache.
    """
    if version == "{}.{}".format(*sys.version_info):
        return sys.executable
    found = _find(version)
    if found is None:
        return None
    environment = PythonEnvironment(
        name=f"python-{version}",
        requirements=REPOSITORY / "images" / "operator" / "requirements.txt",
        what=f"the operator's packages for Python {version}",
        timeout=300.0,
        interpreter=found,
    )
    return str(environment.install() / "bin" / "python")


def _bounds() -> tuple[str, str]:
    """The lowest version, and the one that is too high."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    match = re.fullmatch(r">=(3\.\d+),<(3\.\d+)", project["project"]["requires-python"])
    assert match is not None, "requires-python has a lowest and a highest version"
    return match.group(1), match.group(2)


def _find(version: str) -> str | None:
    pyenv = Path.home() / ".pyenv" / "versions"
    candidates = [shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python3")]
    for candidate in filter(None, candidates):
        # pyenv's shims are there for versions that are not switched on, and then fail.
        probe = [str(candidate), "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        ran = subprocess.run(probe, capture_output=True, text=True, check=False)
        if ran.stdout.strip() == version:
            return str(candidate)
    return None
