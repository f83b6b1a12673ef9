"""Which images there are, and when one has to be built again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError
from cluster.paths import REPOSITORY

__all__ = [
    "BUILD_REQUIREMENTS",
    "CPU_VERSION",
    "SIMULATED_VERSION",
    "Image",
    "catalogue",
    "content_key",
]

SIMULATED_VERSION = "v0.18.0rc1-a3"
"""The tag of vLLM-Ascend that the simulator stands in for, `-a3` for its chips."""

CPU_VERSION = "v0.18.0"
"""The tag of the image with the real vLLM."""

BUILD_REQUIREMENTS = Path("images/build-requirements.txt")
"""What makes a wheel of the package, for every image."""

# README.md is only the wheel's description: a word changed in it is no reason for three builds.
_SOURCES = (
    Path("pyproject.toml"),
    Path("LICENSE"),
    BUILD_REQUIREMENTS,
    Path("operator/ascendllm"),
)
_SIMULATOR = Path("operator/ascendllm_simulator")


@dataclass(frozen=True)
class Image:
    """One folder in images/.

    Attributes:
        folder: Its name there.
        reference: What the node and the manifests call it, `localhost/…:TAG`.
        large: Gigabytes: built only when it is named, nothing is kept of the build, one archive.
        packages: Python packages that it holds beside ascendllm, seen from the repository's root.
    """

    folder: str
    reference: str
    large: bool = False
    packages: tuple[Path, ...] = ()

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile, seen from the repository's root."""
        return Path("images", self.folder, "Dockerfile")

    @property
    def requirements(self) -> Path:
        """The locked packages, seen from the repository's root."""
        return Path("images", self.folder, "requirements.txt")

    @property
    def source_requirements(self) -> Path:
        """Those of them without wheels, seen from the repository's root; few images have any."""
        return Path("images", self.folder, "source-requirements.txt")


def catalogue(repository: Path = REPOSITORY) -> tuple[Image, ...]:
    """Every image, and of the large ones what `make demo ENGINE=vllm` needs.

    Raises:
        ClusterError: The package's version cannot be read.
    """
    version = _package_version(repository / "operator/ascendllm/__init__.py")
    return (
        Image("operator", f"localhost/ascendllm/operator:{version}"),
        Image("validator", f"localhost/ascendllm/validator:{version}"),
        Image("evals", f"localhost/ascendllm/evals:{version}"),
        Image("downloader", f"localhost/ascendllm/downloader:{version}"),
        Image(
            "simulator",
            f"localhost/ascendllm/vllm-ascend:{SIMULATED_VERSION}",
            packages=(_SIMULATOR,),
        ),
        Image("vllm-cpu", f"localhost/ascendllm/vllm-cpu:{CPU_VERSION}", large=True),
    )


def content_key(image: Image, base: str, repository: Path = REPOSITORY) -> str:
    """16 hex digits that change when anything that goes into the image does.

    Args:
        image: The image.
        base: What it is built on and by, as a key or a name.
        repository: The checkout.
    """
    digest = hashlib.sha256(f"{image.reference}\n{base}\n".encode())
    sources = () if image.large else _SOURCES  # no large image holds the package
    own = (*image.packages, Path("images", image.folder))
    for path in sorted({*_files(repository, *sources, *own)}):
        file = repository / path
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{path.as_posix()} {file.stat().st_mode & 0o111:o} {content}\n".encode())
    return digest.hexdigest()[:16]


def _files(repository: Path, *paths: Path) -> Iterator[Path]:
    for path in paths:
        if (repository / path).is_file():
            yield path
            continue
        for file in (repository / path).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file.relative_to(repository)


def _package_version(file: Path) -> str:
    found = re.search(r'^__version__ = "([^"]+)"$', file.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ClusterError(f'{file}: no line __version__ = "…"; the images are tagged with it')
    return found[1]
