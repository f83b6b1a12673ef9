"""Builds with a Docker engine, on the Dockerfiles' own base image."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import run, succeeds
from cluster.imaging.catalogue import Image
from cluster.paths import REPOSITORY

__all__ = ["Docker", "docker_answers"]

_TIMEOUT = 1800.0  # seconds; the first build pulls the base image
_PROBE_TIMEOUT = 10.0
_PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")


def docker_answers() -> bool:
    """Whether there is an engine; a client alone does not count."""
    return shutil.which("docker") is not None and succeeds(
        ["docker", "version", "--format", "{{.Server.Version}}"], timeout=_PROBE_TIMEOUT
    )


@dataclass(frozen=True)
class Docker:
    """Images as `docker build` makes them for everyone."""

    @property
    def identity(self) -> str:
        """What the images' keys hold of the way they are built."""
        return "docker"

    def build(self, image: Image, archive: Path) -> None:
        """Build an image and save it as an archive.

        Raises:
            ClusterError: The build failed.
        """
        command = ["docker", "build", "--tag", image.reference, "--file", str(image.dockerfile)]
        for name in _PASSED_ON:
            if name in os.environ:
                command += ["--build-arg", name]  # the value is taken from the environment
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        run([*command, str(REPOSITORY)], timeout=_TIMEOUT, env=environment)
        run(["docker", "save", "--output", str(archive), image.reference], timeout=_TIMEOUT)

    def trim(self) -> None:
        """Nothing to do: the engine looks after its own layers."""
