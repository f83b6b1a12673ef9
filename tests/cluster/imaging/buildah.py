"""Builds with buildah, as root, with no daemon, no registry and no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import run, succeeds
from cluster.errors import ClusterError
from cluster.host import Tool, require
from cluster.imaging.base import Base, base_key, make_base
from cluster.imaging.catalogue import BUILD_REQUIREMENTS, Image
from cluster.imaging.host import image_cache, own_mounts
from cluster.imaging.wheels import download_wheels
from cluster.paths import REPOSITORY

__all__ = ["Buildah"]

_TOOLS = (Tool("buildah", "buildah"), Tool("unshare", "util-linux"))
_TIMEOUT = 1800.0  # seconds, a command
_STORAGE_LIMIT = 4 * 1024**3  # bytes
_LOG_TAIL = 30  # lines shown of a build that failed


@dataclass(frozen=True)
class Buildah:
    """Images on a base of our own, with layers kept in a storage of our own."""

    @property
    def identity(self) -> str:
        """What the images' keys hold of the way they are built."""
        return f"buildah {base_key()}"

    def build(self, image: Image, archive: Path) -> None:
        """Build an image and write it as an OCI archive.

        Raises:
            ClusterError: It cannot be built here, or the build failed.
        """
        if os.geteuid() != 0:
            raise ClusterError("images are built by buildah as root, or by a Docker engine")
        require(_TOOLS)
        base = make_base()
        with _storage(large=image.large) as storage:
            self._build(image, archive, base, storage)

    def _build(self, image: Image, archive: Path, base: Base, storage: Path) -> None:
        base_reference = f"localhost/ascendllm/base:{base.key}"
        if not succeeds(_buildah(storage, "inspect", "--type", "image", base_reference)):
            self._import(base.archive, base_reference, storage)
        needed = [REPOSITORY / image.requirements]
        if not image.large:
            needed.append(REPOSITORY / BUILD_REQUIREMENTS)
        sources = REPOSITORY / image.source_requirements
        wheels = download_wheels(needed, base, [sources] if sources.exists() else [])
        command = ["bud", "--isolation", "chroot", "--layers", "--tag", image.reference]
        command += ["--build-context", f"wheels={wheels}"]
        for argument in (f"BASE={base_reference}", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels"):
            command += ["--build-arg", argument]
        command += ["--file", str(REPOSITORY / image.dockerfile), str(REPOSITORY)]
        _logged(_buildah(storage, *command), image_cache() / f"{image.folder}.log")
        if image.large:
            shutil.rmtree(wheels, ignore_errors=True)
        target = f"oci-archive:{archive}:{image.reference}"
        run(_buildah(storage, "push", "--quiet", image.reference, target), timeout=_TIMEOUT)

    def trim(self) -> None:
        """Throw the kept layers away when they have grown past a limit: all can be made again."""
        storage = _kept_storage()
        if storage.exists() and _size(storage) > _STORAGE_LIMIT:
            shutil.rmtree(storage, ignore_errors=True)

    def _import(self, archive: Path, reference: str, storage: Path) -> None:
        dockerfile = archive.with_name("Dockerfile")
        dockerfile.write_text(f"FROM scratch\nADD {archive.name} /\n", encoding="utf-8")
        command = ["bud", "--isolation", "chroot", "--tag", reference, "--file", str(dockerfile)]
        _logged(_buildah(storage, *command, str(archive.parent)), image_cache() / "base.log")


def _kept_storage() -> Path:
    return image_cache() / "buildah"


@contextmanager
def _storage(*, large: bool) -> Iterator[Path]:
    """The storage of layers; a large image's is gone when left."""
    if not large:
        yield _kept_storage()
        return
    with tempfile.TemporaryDirectory(dir=image_cache(), prefix="buildah-") as folder:
        yield Path(folder)


def _buildah(storage: Path, *arguments: str) -> list[str]:
    where = ["--root", str(storage / "root"), "--runroot", str(storage / "run")]
    return own_mounts("buildah", *where, "--storage-driver", _driver(), *arguments)


def _driver() -> str:
    """`overlay`, or the slow `vfs` where the cache itself lies on an overlay (in a container)."""
    kind = run(["stat", "--file-system", "--format", "%T", str(image_cache())]).strip()
    return "vfs" if kind == "overlayfs" else "overlay"


def _logged(command: list[str], log: Path) -> None:
    """Run a command with all that it says in a file, and show the end of it when it fails."""
    with log.open("wb") as output:
        try:
            outcome = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"buildah did not end within {_TIMEOUT:.0f} s, see {log}") from error
    if outcome.returncode != 0:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join(said[-_LOG_TAIL:]), file=sys.stderr)
        raise ClusterError(f"buildah ended with {outcome.returncode}, see above and {log}")


def _size(folder: Path) -> int:
    """Bytes on disk of everything under a folder."""
    return int(run(["du", "--summarize", "--block-size=1", str(folder)]).split()[0])
