"""The locked Python packages, downloaded by the host's pip.

pip in a build container knows nothing of the host's mirrors, certificates and proxies; the host's
own does. So the host downloads, held to the hashes of the requirements files, and the container
installs from a folder, with no network.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cluster.commands import run
from cluster.imaging.base import Base
from cluster.imaging.host import image_cache, keep_newest

__all__ = ["download_wheels", "platform_tags"]

_KEPT = 6  # 10 to 20 MB each, 170 of the evaluations
_TIMEOUT = 900.0  # seconds; 10 from a near mirror

_PIP = [sys.executable, "-m", "pip"]
_DOWNLOAD = [*_PIP, "download", "--quiet", "--no-deps", "--require-hashes"]


def download_wheels(requirements: Sequence[Path], base: Base, sources: Sequence[Path] = ()) -> Path:
    """A folder with every package that the requirements name, for the base's Python.

    Args:
        requirements: Files of packages that have wheels.
        base: What they are installed on.
        sources: Files of packages that have none; the build makes them.

    Raises:
        ClusterError: One cannot be had, or is not the locked one.
    """
    digest = hashlib.sha256(f"{base.python} {base.glibc} {platform.machine()}".encode())
    for file in (*requirements, *sources):
        digest.update(file.read_bytes())
    folder = image_cache() / f"wheels-{digest.hexdigest()[:16]}"
    if not folder.exists():
        print("downloading the images' Python packages ...", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=image_cache(), prefix="wheels-") as scratch:
            got = Path(scratch, "wheels")
            for file in requirements:
                run([*_wheels_for(base), "--dest", str(got), "-r", str(file)], timeout=_TIMEOUT)
            for file in sources:
                command = [*_DOWNLOAD, "--no-binary", ":all:"]
                run([*command, "--dest", str(got), "-r", str(file)], timeout=_TIMEOUT)
            got.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            got.rename(folder)
    keep_newest("wheels-*", _KEPT, folder)
    return folder


def platform_tags(glibc: str, machine: str) -> list[str]:
    """The wheel platforms that run on this C library, the newest first (PEP 600, PEP 599)."""
    major, minor = (int(part) for part in glibc.split(".")[:2])
    newer = [f"manylinux_{major}_{step}_{machine}" for step in range(minor, 16, -1)]
    return [*newer, f"manylinux2014_{machine}"]


def _wheels_for(base: Base) -> list[str]:
    version = base.python.replace(".", "")
    command = [*_DOWNLOAD, "--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", base.python]
    for abi in (f"cp{version}", "abi3", "none"):
        command += ["--abi", abi]
    for tag in platform_tags(base.glibc, platform.machine()):
        command += ["--platform", tag]
    return command
